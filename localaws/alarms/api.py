"""The CloudWatch alarm operations over moto's alarm records."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from moto.cloudwatch.models import Alarm, CloudWatchBackend

from localaws.alarms.rules import State
from localaws.alarms.watcher import AlarmWatcher, HistoryItem, watch_of
from localaws.errors import AwsError, unsupported
from localaws.metrics.api import epoch_s, moment
from localaws.metrics.queries import decode_token, dimensions_of, encode_token

Params = Mapping[str, Any]
Answer = dict[str, Any]

_STATES: dict[str, State] = {"OK": "OK", "ALARM": "ALARM", "INSUFFICIENT_DATA": "INSUFFICIENT_DATA"}
_MAX_RECORDS = 100


def describe_alarms(backend: CloudWatchBackend, params: Params) -> Answer:
    """DescribeAlarms: every filter given must match; 100 a page at most."""
    for name in ("ChildrenOfAlarmName", "ParentsOfAlarmName"):
        if params.get(name):
            raise unsupported(f"{name}: there are no composite alarms")
    if set(params.get("AlarmTypes") or ()) - {"MetricAlarm"}:
        raise unsupported(f"the alarm types {params['AlarmTypes']}")
    if params.get("AlarmNames") and params.get("AlarmNamePrefix"):
        raise AwsError("ValidationError", "AlarmNames and AlarmNamePrefix are mutually exclusive.")
    found = [alarm for _, alarm in sorted(backend.alarms.items()) if _matches(alarm, params)]
    shown, token = _page(found, params)
    answer: Answer = {"MetricAlarms": shown, "CompositeAlarms": []}
    return answer | token


def _matches(alarm: Alarm, params: Params) -> bool:
    names, state = params.get("AlarmNames"), params.get("StateValue")
    actions = [*alarm.alarm_actions, *alarm.ok_actions, *alarm.insufficient_data_actions]
    action_prefix = params.get("ActionPrefix")
    return (
        (not names or alarm.name in names)
        and alarm.name.startswith(params.get("AlarmNamePrefix") or "")
        and (not state or alarm.state_value == state)
        and (not action_prefix or any(arn.startswith(action_prefix) for arn in actions))
    )


def _page(items: Sequence[Any], params: Params) -> tuple[list[Any], Answer]:
    size = int(params.get("MaxRecords") or _MAX_RECORDS)
    if not 1 <= size <= _MAX_RECORDS:
        raise AwsError("ValidationError", f"MaxRecords must be between 1 and {_MAX_RECORDS}.")
    offset = decode_token(params.get("NextToken"))
    token = {"NextToken": encode_token(offset + size)} if len(items) > offset + size else {}
    return list(items[offset : offset + size]), token


def describe_alarms_for_metric(backend: CloudWatchBackend, params: Params) -> Answer:
    """DescribeAlarmsForMetric: the alarms on exactly this metric."""
    for name in ("Statistic", "ExtendedStatistic", "Period", "Unit"):
        if params.get(name):
            raise unsupported(f"{name} of DescribeAlarmsForMetric")
    wanted = dimensions_of(params.get("Dimensions"))
    found = [
        alarm
        for alarm in backend.alarms.values()
        if (alarm.namespace, alarm.metric_name) == (params["Namespace"], params["MetricName"])
        and tuple(sorted((str(item.name), str(item.value)) for item in alarm.dimensions)) == wanted
    ]
    return {"MetricAlarms": found, "CompositeAlarms": []}


def set_alarm_state(backend: CloudWatchBackend, watcher: AlarmWatcher, params: Params) -> None:
    """SetAlarmState: a transition like any other, with its event and its actions."""
    alarm = backend.alarms.get(params["AlarmName"])
    if alarm is None:
        raise AwsError("ResourceNotFound", f"Unknown alarm {params['AlarmName']!r}.", status=404)
    state = _STATES.get(params["StateValue"])
    if state is None:
        raise AwsError(
            "ValidationError",
            f"Value '{params['StateValue']}' at 'stateValue' must satisfy enum value set: {sorted(_STATES)}",
        )
    data = params.get("StateReasonData") or ""
    try:
        json.loads(data or "{}")
    except ValueError as error:
        raise AwsError("InvalidFormat", f"StateReasonData is not JSON: {error}") from error
    watcher.set_state(backend, alarm, state, reason=params["StateReason"], data=data)


def describe_alarm_history(backend: CloudWatchBackend, params: Params) -> Answer:
    """DescribeAlarmHistory of one or all alarms, newest first unless ScanBy says otherwise."""
    found = [
        (item.at_s, alarm.name, item)
        for alarm in list(backend.alarms.values())
        if params.get("AlarmName") in (None, alarm.name) and (watch := watch_of(alarm)) is not None
        for item in list(watch.history)
        if _in_history_range(item, params)
    ]
    newest_first = (params.get("ScanBy") or "TimestampDescending") == "TimestampDescending"
    found.sort(key=lambda entry: entry[:2], reverse=newest_first)
    shown, token = _page(found, params)
    items = [
        {
            "AlarmName": name,
            "AlarmType": "MetricAlarm",
            "Timestamp": moment(at_s),
            "HistoryItemType": item.kind,
            "HistorySummary": item.summary,
            "HistoryData": item.data,
        }
        for at_s, name, item in shown
    ]
    answer: Answer = {"AlarmHistoryItems": items}
    return answer | token


def _in_history_range(item: HistoryItem, params: Params) -> bool:
    start, end = params.get("StartDate"), params.get("EndDate")
    return (
        params.get("HistoryItemType") in (None, item.kind)
        and (start is None or item.at_s >= epoch_s(start))
        and (end is None or item.at_s <= epoch_s(end))
    )
