"""Alarms: what an event says, whose application it is about, and what a gate remembers of them. Pure."""

import json
from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from selfbuild.domain.applications import Application, DeclaredMetric
from selfbuild.domain.base import ApplicationName, AwareDatetime, TenantId, Value
from selfbuild.domain.errors import MalformedAnswer

STATE_CHANGE = "CloudWatch Alarm State Change"
LAMBDA_FAILURE = "Lambda Function Invocation Result - Failure"
IN_ALARM = "ALARM"
LAMBDA_NAMESPACE = "AWS/Lambda"
LAMBDA_LOG_GROUPS = "/aws/lambda/"
REASON_LENGTH = 500
"""Characters of a reason that travel; CloudWatch's own are below 1,023."""


class AlarmMetric(Value):
    """A metric that an alarm watches."""

    namespace: str
    name: str
    dimensions: dict[str, str] = {}


class AlarmNote(Value):
    """What a cycle is told of an alarm."""

    name: str
    changed_at: AwareDatetime
    reason: str = ""


class Alarm(Value):
    """An alarm that went into ALARM, or a function whose invocation failed for good."""

    event_id: str
    """Of EventBridge; made of name and time for an alarm that was found by asking CloudWatch."""
    name: str
    changed_at: AwareDatetime
    """When it went into this state, by the clock of CloudWatch."""
    reason: str = ""
    metrics: tuple[AlarmMetric, ...] = ()
    """Empty for a composite alarm and for a failed function."""
    function_name: str | None = None
    """The Lambda function that failed."""

    def note(self) -> AlarmNote:
        """What a cycle is told."""
        return AlarmNote(name=self.name, changed_at=self.changed_at, reason=self.reason)


class Unmatched(Value):
    """No application, or no single one, is meant by an alarm."""

    reason: str
    """Names the remedy."""


# Events


def read_event(body: str) -> Alarm | None:
    """The alarm that an event tells of; None for an event that is no reason to act, such as a return to OK.

    Raises:
        MalformedAnswer: it is no event, or an event without what the kind promises; the text holds none of its values.
    """
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswer("the message is not JSON") from error
    if not isinstance(event, dict):
        raise MalformedAnswer("the message is not a JSON object")
    kind = event.get("detail-type")
    if not isinstance(kind, str):
        raise MalformedAnswer("the message has no detail-type: it is no event of EventBridge")
    try:
        if kind == STATE_CHANGE:
            return _StateChange.model_validate(event).alarm()
        if kind == LAMBDA_FAILURE:
            return _LambdaFailure.model_validate(event).alarm()
    except ValidationError as error:
        raise MalformedAnswer(f"{kind}: {_first_problem(error)}") from error
    return None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['type']}"


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _MetricStat(_Wire):
    metric: AlarmMetric


class _MetricQuery(_Wire):
    metric_stat: Annotated[_MetricStat | None, Field(alias="metricStat")] = None


class _Configuration(_Wire):
    metrics: tuple[_MetricQuery, ...] = ()


class _State(_Wire):
    value: str
    reason: str = ""
    timestamp: AwareDatetime


class _StateChangeDetail(_Wire):
    alarm_name: Annotated[str, Field(alias="alarmName", min_length=1, max_length=255)]
    configuration: _Configuration = _Configuration()
    state: _State


class _StateChange(_Wire):
    """Source: Amazon CloudWatch User Guide, "Alarm events and EventBridge"."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    detail: _StateChangeDetail

    def alarm(self) -> Alarm | None:
        if self.detail.state.value != IN_ALARM:
            return None
        return Alarm(
            event_id=self.id,
            name=self.detail.alarm_name,
            changed_at=self.detail.state.timestamp,
            reason=self.detail.state.reason[:REASON_LENGTH],
            metrics=tuple(each.metric_stat.metric for each in self.detail.configuration.metrics if each.metric_stat),
        )


class _RequestContext(_Wire):
    function_arn: Annotated[str, Field(alias="functionArn", pattern=r"^arn:[^:]+:lambda:[^:]*:[^:]*:function:[^:]+")]
    condition: str = ""


class _LambdaFailureDetail(_Wire):
    request_context: Annotated[_RequestContext, Field(alias="requestContext")]
    response_payload: Annotated[Any, Field(alias="responsePayload")] = None


class _LambdaFailure(_Wire):
    """Source: AWS Lambda Developer Guide, "Retaining records of asynchronous invocations"."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    time: AwareDatetime
    detail: _LambdaFailureDetail

    def alarm(self) -> Alarm:
        context, payload = self.detail.request_context, self.detail.response_payload
        function = context.function_arn.split(":")[6]
        said = payload.get("errorType") if isinstance(payload, dict) else None
        return Alarm(
            event_id=self.id,
            name=f"lambda/{function}",
            changed_at=self.time,
            reason=f"{context.condition or 'failed'}: {said or 'no error type'}"[:REASON_LENGTH],
            function_name=function,
        )


# Whose alarm it is


def application_of(alarm: Alarm, applications: Sequence[Application]) -> Application | Unmatched:
    """The one application that an alarm is about.

    A failed function belongs to the application that logs to its group. A metric alarm belongs to the tenant that its
    dimensions name, whatever its name says; among those, to who claims its name (`telemetry.alarms`), else to who
    publishes its metrics. Two candidates are as good as none: tenants are never mixed.
    """
    if alarm.function_name is not None:
        group = LAMBDA_LOG_GROUPS + alarm.function_name
        return _only([each for each in applications if each.telemetry.log_group == group], alarm)
    allowed = [each for each in applications if _tenant_in(alarm, each) is not False]
    named = [each for each in allowed if any(fnmatchcase(alarm.name, name) for name in each.telemetry.alarms)]
    publishing = [each for each in allowed if any(_publishes(each, metric) for metric in alarm.metrics)]
    of_tenant = [each for each in publishing if _tenant_in(alarm, each)]
    return _only(named or of_tenant or publishing, alarm)


def _tenant_in(alarm: Alarm, application: Application) -> bool | None:
    """Whether the alarm's metrics are this tenant's; None where they name no tenant."""
    dimension = application.telemetry.tenant_dimension
    tenants = {metric.dimensions[dimension] for metric in alarm.metrics if dimension in metric.dimensions}
    return tenants == {application.tenant_id} if tenants else None


def _publishes(application: Application, metric: AlarmMetric) -> bool:
    telemetry = application.telemetry
    if metric.namespace == telemetry.namespace:
        return True
    function = metric.dimensions.get("FunctionName") if metric.namespace == LAMBDA_NAMESPACE else None
    if function is not None and telemetry.log_group == LAMBDA_LOG_GROUPS + function:
        return True
    return any(_is_declared(declared, metric) for declared in telemetry.metrics)


def _is_declared(declared: DeclaredMetric, metric: AlarmMetric) -> bool:
    """A metric of a service of AWS is told by its fixed dimensions: its namespace is everybody's."""
    return (
        declared.namespace == metric.namespace
        and declared.name == metric.name
        and bool(declared.dimensions)
        and declared.dimensions.items() <= metric.dimensions.items()
    )


def _only(found: Sequence[Application], alarm: Alarm) -> Application | Unmatched:
    if len(found) == 1:
        return found[0]
    remedy = (
        f"name a log group /aws/lambda/{alarm.function_name} in one application"
        if alarm.function_name is not None
        else f"add {alarm.name!r} to [application.telemetry] alarms of the one that is meant"
    )
    if not found:
        return Unmatched(reason=f"no application publishes what it watches: {remedy}")
    keys = ", ".join(sorted(each.key for each in found))
    return Unmatched(reason=f"it could mean {keys}: {remedy}, or put the tenant into the alarm's dimensions")


# Gate

MAX_REMEMBERED = 500
"""Alarm names and event ids a gate keeps: more than an account's alarms on one application."""


class GateEntry(Value):
    """One alarm as a gate has met it."""

    name: str
    count: int
    """How often it was told, duplicates included."""
    first_at: AwareDatetime
    last_at: AwareDatetime
    served_at: AwareDatetime
    """When it last counted as a new one."""


class GateState(Value):
    """All that a gate knows; its query answers with it, and it is handed on when the history gets long."""

    entries: tuple[GateEntry, ...] = ()
    event_ids: tuple[str, ...] = ()
    received: int = 0
    duplicates: int = 0
    """Told again within the window, or delivered twice."""
    joined: int = 0
    """Handed to a cycle that ran already."""
    held: int = 0
    """Within the window of a cycle that has ended; if they last, the reconciler starts another."""
    cycles: tuple[str, ...] = ()
    """Run ids of the cycles started."""
    refusals: tuple[str, ...] = ()
    """Why no cycle was started, newest last."""
    quiet_until: AwareDatetime | None = None
    """The end of the window: until then one cycle is enough."""
    running: bool = False
    """A cycle of the application runs, as far as the gate knows."""
    look_again_at: AwareDatetime | None = None
    """When a cycle that found nothing is repeated, once, since telemetry may come later than the alarm."""
    look_again_for: tuple[AlarmNote, ...] = ()

    def with_alarm(self, alarm: Alarm, now: datetime, *, window_s: int) -> tuple["GateState", bool]:
        """The state after an alarm, and whether it is a new one."""
        known = {each.name: each for each in self.entries}
        entry = known.get(alarm.name)
        again = alarm.event_id in self.event_ids or (
            entry is not None and (now - entry.served_at).total_seconds() < window_s
        )
        known[alarm.name] = GateEntry(
            name=alarm.name,
            count=1 + (entry.count if entry else 0),
            first_at=entry.first_at if entry else now,
            last_at=now,
            served_at=entry.served_at if entry and again else now,
        )
        ids = self.event_ids if alarm.event_id in self.event_ids else (*self.event_ids, alarm.event_id)
        entries = sorted(known.values(), key=lambda each: (each.last_at, each.name))
        changed = {
            "entries": tuple(entries[-MAX_REMEMBERED:]),
            "event_ids": ids[-MAX_REMEMBERED:],
            "received": self.received + 1,
            "duplicates": self.duplicates + again,
        }
        return self.model_copy(update=changed), not again


class GateRequest(Value):
    """Input of the workflow AlarmGate."""

    tenant_id: TenantId
    application: ApplicationName
    window_s: Annotated[int, Field(ge=0)]
    """CLOUDWATCH_EVENT_DEDUP_WINDOW_SECONDS."""
    state: GateState = GateState()
    """What the run before knew."""


__all__ = [
    "LAMBDA_FAILURE",
    "STATE_CHANGE",
    "Alarm",
    "AlarmMetric",
    "AlarmNote",
    "GateEntry",
    "GateRequest",
    "GateState",
    "Unmatched",
    "application_of",
    "read_event",
]
