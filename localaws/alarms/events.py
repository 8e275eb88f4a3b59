"""Shapes of what an alarm transition sends: the EventBridge detail and the SNS message."""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localaws.alarms.rules import AlarmRule, Decision, State


@dataclass(frozen=True)
class StateRecord:
    """A state of an alarm and why it was entered."""

    state: State
    reason: str
    reason_data: str
    at_s: float


@dataclass(frozen=True)
class Transition:
    """A change of state, with what describes the alarm."""

    name: str
    arn: str
    description: str | None
    account_id: str
    region: str
    rule: AlarmRule
    before: StateRecord
    after: StateRecord


def timestamp(at_s: float) -> str:
    """The time format of alarm events, such as 2026-01-31T09:30:00.125+0000."""
    return dt.datetime.fromtimestamp(at_s, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def reason_data(rule: AlarmRule, decision: Decision, now_s: float) -> str:
    """The machine-readable reason of an evaluated state, as JSON text."""
    document: dict[str, Any] = {
        "version": "1.0",
        "queryDate": timestamp(now_s),
        "period": rule.period_s,
        "recentDatapoints": [value for _, value in reversed(decision.recent)],
        "threshold": rule.threshold,
        "evaluatedDatapoints": [{"timestamp": timestamp(at_s), "value": value} for at_s, value in decision.recent],
    }
    if decision.recent:
        document["startDate"] = timestamp(decision.recent[-1][0])
    if len(rule.queries) == 1:
        document["statistic"] = rule.queries[0]["MetricStat"]["Stat"]
    return json.dumps(document)


def event_detail(change: Transition) -> dict[str, Any]:
    """The `detail` of a "CloudWatch Alarm State Change" event.

    Source:
        Amazon CloudWatch User Guide, "Alarm events and EventBridge".
    """
    configuration: dict[str, Any] = {"metrics": [_metric(query) for query in change.rule.queries]}
    if change.description:
        configuration["description"] = change.description
    return {
        "alarmName": change.name,
        "configuration": configuration,
        "previousState": _state(change.before),
        "state": _state(change.after),
    }


def _state(record: StateRecord) -> dict[str, str]:
    state = {"value": record.state, "reason": record.reason, "timestamp": timestamp(record.at_s)}
    if record.reason_data:
        state["reasonData"] = record.reason_data
    return state


def _metric(query: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": query["Id"], "returnData": bool(query.get("ReturnData", True))}
    if query.get("Label"):
        shown["label"] = query["Label"]
    if "Expression" in query:
        return shown | {"expression": query["Expression"]}
    stat = query["MetricStat"]
    metric = stat["Metric"]
    shown["metricStat"] = {
        "metric": {
            "namespace": metric["Namespace"],
            "name": metric["MetricName"],
            "dimensions": {item["Name"]: item["Value"] for item in metric.get("Dimensions") or ()},
        },
        "period": int(stat["Period"]),
        "stat": stat["Stat"],
    }
    return shown


def sns_message(change: Transition) -> dict[str, Any]:
    """The message an alarm publishes to its SNS topics."""
    rule = change.rule
    trigger: dict[str, Any] = {
        "Period": rule.period_s,
        "EvaluationPeriods": rule.evaluation_periods,
        "DatapointsToAlarm": rule.datapoints_to_alarm,
        "ComparisonOperator": rule.comparison,
        "Threshold": rule.threshold,
        "TreatMissingData": rule.treat_missing_data,
    }
    if len(rule.queries) == 1:
        stat = rule.queries[0]["MetricStat"]
        metric = stat["Metric"]
        trigger |= {
            "MetricName": metric["MetricName"],
            "Namespace": metric["Namespace"],
            "Statistic": stat["Stat"],
            "Dimensions": [{"name": item["Name"], "value": item["Value"]} for item in metric.get("Dimensions") or ()],
        }
    else:
        trigger["Metrics"] = [dict(query) for query in rule.queries]
    return {
        "AlarmName": change.name,
        "AlarmDescription": change.description,
        "AWSAccountId": change.account_id,
        "AlarmArn": change.arn,
        "Region": change.region,
        "NewStateValue": change.after.state,
        "NewStateReason": change.after.reason,
        "OldStateValue": change.before.state,
        "StateChangeTime": timestamp(change.after.at_s),
        "Trigger": trigger,
    }
