"""Keeps moto's alarms in the state their metrics call for, and sends out what each transition sets off."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from moto.cloudwatch.models import Alarm, CloudWatchBackend, cloudwatch_backends
from moto.core.exceptions import ServiceException
from moto.events.models import events_backends
from moto.sns.models import sns_backends
from werkzeug.exceptions import HTTPException

from localaws.alarms.events import StateRecord, Transition, event_detail, reason_data, sns_message
from localaws.alarms.rules import AlarmRule, State, closed_until_s, decide, evaluation_start_s
from localaws.errors import AwsError
from localaws.metrics.api import epoch_s, moment
from localaws.metrics.queries import evaluate
from localaws.metrics.store import MetricStore

log = structlog.get_logger()

StoreOf = Callable[[str, str], MetricStore]
"""The metric store of an account id and a region."""

_MAX_HISTORY = 1_000


@dataclass(frozen=True)
class HistoryItem:
    """One line of DescribeAlarmHistory."""

    at_s: float
    kind: str
    summary: str
    data: str


@dataclass
class Watch:
    """What is kept about an alarm beyond moto's own record."""

    rule: AlarmRule
    evaluated_until_s: float = 0.0
    history: list[HistoryItem] = field(default_factory=list)


def watch_of(alarm: Alarm) -> Watch | None:
    """The watch of an alarm; None for one that was not created through PutMetricAlarm."""
    watch = getattr(alarm, "localaws_watch", None)
    return watch if isinstance(watch, Watch) else None


class AlarmWatcher:
    """Evaluates every alarm once per closed period, in a thread of its own."""

    def __init__(self, store_of: StoreOf, clock: Callable[[], float], *, interval_s: float = 0.2) -> None:
        self._store_of = store_of
        self._clock = clock
        self._interval_s = interval_s
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="localaws-alarms", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            self.evaluate_due()

    def evaluate_due(self) -> None:
        """Evaluates the alarms that have a newly closed period."""
        for account in list(cloudwatch_backends.values()):
            for backend in list(account.values()):
                for alarm in list(backend.alarms.values()):
                    watch = watch_of(alarm)
                    if watch is not None:
                        self._evaluate(backend, alarm, watch)

    def configure(self, alarm: Alarm, rule: AlarmRule, previous: Alarm | None) -> None:
        """Takes over an alarm that moto has just stored, keeping the state of the one it replaces."""
        with self._lock:
            now_s = self._clock()
            watch = Watch(rule)
            before = watch_of(previous) if previous is not None else None
            if previous is not None and before is not None:
                watch.history = before.history
                for name in ("state_value", "state_reason", "state_reason_data", "state_updated_timestamp"):
                    setattr(alarm, name, getattr(previous, name))
            else:
                alarm.state_value = "INSUFFICIENT_DATA"
                alarm.state_reason = "Unchecked: Initial alarm creation"
                alarm.state_reason_data = ""
                alarm.state_updated_timestamp = moment(now_s)
            verb = "updated" if before else "created"
            _note(watch, HistoryItem(now_s, "ConfigurationUpdate", f'Alarm "{alarm.name}" {verb}', "{}"))
            alarm.localaws_watch = watch  # type: ignore[attr-defined]

    def set_state(self, backend: CloudWatchBackend, alarm: Alarm, state: State, *, reason: str, data: str) -> None:
        """Puts an alarm into a state by hand; its next closed period decides anew."""
        watch = watch_of(alarm)
        if watch is not None:
            with self._lock:
                self._enter(backend, alarm, watch, StateRecord(state, reason, data, self._clock()))

    def _evaluate(self, backend: CloudWatchBackend, alarm: Alarm, watch: Watch) -> None:
        rule, now_s = watch.rule, self._clock()
        end_s = closed_until_s(rule, now_s)
        if end_s <= watch.evaluated_until_s:
            return
        store = self._store_of(backend.account_id, backend.region_name)
        start_s = evaluation_start_s(rule, end_s)
        try:
            points = evaluate(rule.queries, store, start_s=start_s, end_s=end_s)[0].points
        except AwsError as error:
            log.warning("alarm.evaluation_failed", alarm=alarm.name, error_message=error.message)
            alarm.state_reason = f"Evaluation error: {error.message}"
            watch.evaluated_until_s = end_s
            return
        decision = decide(rule, points, end_s)
        with self._lock:
            watch.evaluated_until_s = end_s
            if decision is not None:
                data = reason_data(rule, decision, now_s)
                self._enter(backend, alarm, watch, StateRecord(decision.state, decision.reason, data, now_s))

    def _enter(self, backend: CloudWatchBackend, alarm: Alarm, watch: Watch, after: StateRecord) -> None:
        before = StateRecord(
            alarm.state_value,  # type: ignore[arg-type]
            alarm.state_reason,
            alarm.state_reason_data,
            epoch_s(alarm.state_updated_timestamp),
        )
        alarm.state_reason, alarm.state_reason_data = after.reason, after.reason_data
        if before.state == after.state:
            return
        alarm.state_value = after.state
        alarm.state_updated_timestamp = moment(after.at_s)
        summary = f"Alarm updated from {before.state} to {after.state}"
        _note(watch, HistoryItem(after.at_s, "StateUpdate", summary, _history_data(before, after)))
        account_id, region = backend.account_id, backend.region_name
        change = Transition(
            alarm.name, alarm.alarm_arn, alarm.description, account_id, region, watch.rule, before, after
        )
        _send_event(change)
        if alarm.actions_enabled:
            for topic in _topics(alarm, after.state):
                _publish(change, topic, watch)
        log.debug("alarm.state_changed", alarm=alarm.name, before=before.state, after=after.state)


def _note(watch: Watch, item: HistoryItem) -> None:
    watch.history.append(item)
    del watch.history[:-_MAX_HISTORY]


def _history_data(before: StateRecord, after: StateRecord) -> str:
    def shown(record: StateRecord) -> dict[str, object]:
        state: dict[str, object] = {"stateValue": record.state, "stateReason": record.reason}
        if record.reason_data:
            state["stateReasonData"] = json.loads(record.reason_data)
        return state

    return json.dumps({"version": "1.0", "oldState": shown(before), "newState": shown(after)})


def _topics(alarm: Alarm, state: State) -> list[str]:
    if state == "ALARM":
        return list(alarm.alarm_actions)
    return list(alarm.ok_actions if state == "OK" else alarm.insufficient_data_actions)


def _send_event(change: Transition) -> None:
    entry = {
        "Source": "aws.cloudwatch",
        "DetailType": "CloudWatch Alarm State Change",
        "Detail": json.dumps(event_detail(change)),
        "Resources": [change.arn],
    }
    events_backends[change.account_id][change.region].put_events([entry])


def _publish(change: Transition, topic_arn: str, watch: Watch) -> None:
    topic = sns_backends[change.account_id][change.region].topics.get(topic_arn)
    failure = "the topic does not exist" if topic is None else None
    if topic is not None:
        try:
            topic.publish(json.dumps(sns_message(change)), subject=f'{change.after.state}: "{change.name}"')
        except (ServiceException, HTTPException) as error:
            failure = str(error)
    if failure:
        log.warning("alarm.action_failed", alarm=change.name, topic=topic_arn, error_message=failure)
    summary = f"{'Failed to execute' if failure else 'Successfully executed'} action {topic_arn}"
    data = json.dumps({"actionState": "Failed" if failure else "Succeeded", "error": failure})
    _note(watch, HistoryItem(change.after.at_s, "Action", summary, data))
