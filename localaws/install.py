"""The only place that replaces parts of moto, each with the reason; `install` does it, importing does not.

Every fact below was measured on moto 5.2.5 (https://github.com/getmoto/moto); a replacement may go when the
fact no longer holds.
"""

import copy
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult
from moto.events import models as events_models
from moto.logs import models as logs_models
from moto.logs.responses import LogsResponse
from werkzeug.exceptions import HTTPException

from localaws.alarms import api as alarms
from localaws.alarms.requests import alarm_rule
from localaws.errors import AwsError, unsupported
from localaws.logs import api as logs
from localaws.logs.events import CompactLogEvent
from localaws.metrics import api as metrics
from localaws.metrics.store import MetricStore
from localaws.runtime import Runtime

log = structlog.get_logger()

Uninstall = Callable[[], None]

_DASHBOARD_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


class Patches:
    """Attributes replaced on classes and modules of moto, and the way back."""

    def __init__(self) -> None:
        self._originals: list[tuple[object, str, Any]] = []

    def replace(self, owner: object, name: str, value: object) -> Any:
        """Sets an attribute and returns what it was, None for one that moto does not have."""
        original = getattr(owner, name, None)
        self._originals.append((owner, name, original))
        setattr(owner, name, value)
        return original

    def undo(self) -> None:
        while self._originals:
            owner, name, original = self._originals.pop()
            if original is None:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


def install(runtime: Runtime) -> Uninstall:
    """Replaces what moto lacks or answers wrongly, for the whole process.

    Returns:
        A function that puts moto back as it was.
    """
    patches = Patches()
    _install_metrics(patches, runtime)
    _install_alarms(patches, runtime)
    _install_logs(patches, runtime)
    _install_insights(patches, runtime)
    _install_events(patches)
    return patches.undo


def _install_metrics(patches: Patches, runtime: Runtime) -> None:
    """moto scans every datum for every query (10 s for 24 h of 3e5 points), lacks percentiles and trimmed
    statistics (HTTP 500), answers metric math with an empty result marked Complete, ignores MaxDatapoints,
    starts buckets at the second of StartTime, and lists a metric with two dimensions once per datum.
    """

    def store(response: CloudWatchResponse) -> MetricStore:
        return runtime.metrics(response.current_account, response.region)

    def put_metric_data(self: CloudWatchResponse) -> ActionResult:
        metrics.put_metric_data(store(self), self._get_params(), now_s=runtime.clock())
        return EmptyResult()

    def get_metric_data(self: CloudWatchResponse) -> ActionResult:
        return ActionResult(metrics.get_metric_data(store(self), self._get_params()))

    def get_metric_statistics(self: CloudWatchResponse) -> ActionResult:
        return ActionResult(metrics.get_metric_statistics(store(self), self._get_params()))

    def list_metrics(self: CloudWatchResponse) -> ActionResult:
        return ActionResult(metrics.list_metrics(store(self), self._get_params(), now_s=runtime.clock()))

    for operation in (put_metric_data, get_metric_data, get_metric_statistics, list_metrics):
        patches.replace(CloudWatchResponse, operation.__name__, operation)

    def put_dashboard(self: CloudWatchResponse) -> ActionResult:
        name = str(self._get_params().get("DashboardName"))
        if not _DASHBOARD_NAME.fullmatch(name):
            raise AwsError("InvalidParameterValue", f"DashboardName {name!r} must match {_DASHBOARD_NAME.pattern}")
        result: ActionResult = original(self)
        return result

    # moto accepts names that CloudWatch refuses, such as one with a slash.
    original = patches.replace(CloudWatchResponse, "put_dashboard", put_dashboard)
    # moto stores Contributor Insights rules and never evaluates them.
    patches.replace(CloudWatchResponse, "put_insight_rule", _refuser("Contributor Insights rules"))


def _refuser(what: str) -> Callable[[Any], None]:
    def refuse(self: Any) -> None:
        raise unsupported(what)

    return refuse


def _install_alarms(patches: Patches, runtime: Runtime) -> None:
    """moto never evaluates an alarm, never runs its actions, creates it in state OK, resets its state on
    every PutMetricAlarm, and lets one filter of DescribeAlarms hide the others.
    """

    def put_metric_alarm(self: CloudWatchResponse) -> ActionResult:
        params = self._get_params()
        rule = alarm_rule(params)
        # moto refuses extended statistics other than percentiles; the alarm gets it back below.
        extended = params.pop("ExtendedStatistic", None)
        backend = self.cloudwatch_backend
        previous = backend.alarms.get(params["AlarmName"])
        result: ActionResult = original(self)
        alarm = backend.alarms[params["AlarmName"]]
        alarm.extended_statistic = extended
        runtime.watcher.configure(alarm, rule, previous)
        return result

    def set_alarm_state(self: CloudWatchResponse) -> ActionResult:
        alarms.set_alarm_state(self.cloudwatch_backend, runtime.watcher, self._get_params())
        return EmptyResult()

    def describe_alarms(self: CloudWatchResponse) -> ActionResult:
        return ActionResult(alarms.describe_alarms(self.cloudwatch_backend, self._get_params()))

    def describe_alarms_for_metric(self: CloudWatchResponse) -> ActionResult:
        return ActionResult(alarms.describe_alarms_for_metric(self.cloudwatch_backend, self._get_params()))

    def describe_alarm_history(self: CloudWatchResponse) -> ActionResult:
        return ActionResult(alarms.describe_alarm_history(self.cloudwatch_backend, self._get_params()))

    original = patches.replace(CloudWatchResponse, "put_metric_alarm", put_metric_alarm)
    for operation in (set_alarm_state, describe_alarms, describe_alarms_for_metric, describe_alarm_history):
        patches.replace(CloudWatchResponse, operation.__name__, operation)


def _body(response: LogsResponse) -> Mapping[str, Any]:
    parsed: Mapping[str, Any] = json.loads(response.body or "{}")
    return parsed


def _install_logs(patches: Patches, runtime: Runtime) -> None:
    """moto extracts no metrics (embedded format, metric filters), matches every event with a JSON, regex or
    exclusion pattern, has no size limits, misreports rejected events, keeps duplicates of a metric filter,
    and spends an instance dictionary on every event.
    """

    def put_log_events(self: LogsResponse) -> str:
        store = runtime.metrics(self.current_account, self.region)
        return json.dumps(runtime.log_writer.put_log_events(self.logs_backend, store, _body(self)))

    def filter_log_events(self: LogsResponse) -> str:
        return json.dumps(logs.filter_log_events(self.logs_backend, _body(self)))

    def put_metric_filter(self: LogsResponse) -> str:
        logs.put_metric_filter(self.logs_backend, _body(self))
        return ""

    patches.replace(logs_models, "LogEvent", CompactLogEvent)
    for operation in (put_log_events, filter_log_events, put_metric_filter):
        patches.replace(LogsResponse, operation.__name__, operation)
    # moto answers with events that its own filter patterns select, once, in place of a stream.
    patches.replace(LogsResponse, "start_live_tail", _refuser("StartLiveTail"))


def _install_insights(patches: Patches, runtime: Runtime) -> None:
    """moto ignores filter, stats and parse of a query, accepts malformed ones, and has no StopQuery."""
    book = runtime.queries

    def start_query(self: LogsResponse) -> str:
        return json.dumps(book.start(self.logs_backend, _body(self)))

    def get_query_results(self: LogsResponse) -> str:
        return json.dumps(book.results(self.logs_backend, _body(self)))

    def stop_query(self: LogsResponse) -> str:
        return json.dumps(book.stop(self.logs_backend, _body(self)))

    def describe_queries(self: LogsResponse) -> str:
        return json.dumps(book.describe(self.logs_backend, _body(self)))

    for operation in (start_query, get_query_results, stop_query, describe_queries):
        patches.replace(LogsResponse, operation.__name__, operation)


def _install_events(patches: Patches) -> None:
    """moto sends events to the targets of a disabled rule, fails with the second SQS target of a rule because
    the first rewrites the event, raises into the sender when a queue is gone, ignores Input and InputPath,
    stores targets that it cannot serve, and needs jsonpath_ng to pass an event on unchanged.
    """

    def send_to_targets(self: events_models.Rule, original_event: Any, transform_input: bool = True) -> None:
        if self.state == "DISABLED":
            return
        for target in self.targets:
            single = copy.copy(self)
            single.targets = [target]
            event = copy.deepcopy(original_event)
            event.pop("ingestion-time", None)
            try:
                original(single, event, False)
            except (ServiceException, HTTPException) as error:
                log.warning("event.delivery_failed", rule=self.name, error_message=str(error))

    def put_targets(self: events_models.Rule, targets: list[dict[str, Any]]) -> None:
        for target in targets:
            if target["Arn"].split(":")[2] not in ("sqs", "logs", "events"):
                raise unsupported(f"EventBridge targets other than SQS, log groups and buses: {target['Arn']!r}")
            for name in ("Input", "InputPath", "InputTransformer"):
                if target.get(name):
                    raise unsupported(f"{name} of EventBridge targets")
        put_original(self, targets)

    original = patches.replace(events_models.Rule, "send_to_targets", send_to_targets)
    put_original = patches.replace(events_models.Rule, "put_targets", put_targets)
