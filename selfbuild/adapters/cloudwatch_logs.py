"""Counts recurring errors by CloudWatch Logs Insights, within a budget of bytes, and groups them by cause."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from selfbuild.adapters.aws import Calls, lacks_permission
from selfbuild.adapters.cloudwatch_log_groups import affordable, field_name, group_names, literal
from selfbuild.adapters.log_lines import ERROR_LEVELS, MAX_MESSAGE, MAX_STACK, location_of, understood
from selfbuild.analysis.error_groups import merge_groups
from selfbuild.analysis.fingerprint import fingerprint_of
from selfbuild.analysis.masks import mask
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import AccessDenied, MalformedAnswer, NotFound, Unreachable
from selfbuild.domain.telemetry import ErrorGroup

MAX_ROWS = 1000
"""Places that raise errors, most frequent first."""
QUERY_DEADLINE_S = 60.0
FIRST_POLL_S, SLOWEST_POLL_S = 0.1, 2.0
_PLACE = ("error.type", "error.file", "error.line", "error.function", "exception_name", "errorType", "location")
"""Fields that tell places apart: the agent's own, and those of Powertools and the Lambda runtime."""


class ErrorsRead(NamedTuple):
    """What was counted, and what could not be."""

    groups: tuple[ErrorGroup, ...]
    events_matched: int
    notes: tuple[str, ...]


class _Row(NamedTuple):
    """Errors of one place."""

    place: tuple[str, ...]
    component: str
    events: int
    first_seen: datetime
    last_seen: datetime
    line: str
    """The newest of them."""


class ErrorReader:
    """Counts the errors of one application; one use.

    Args:
        calls: Counts the calls.
        application: Whose errors.
        sleep: Waits between polls.
        byte_budget: Most bytes to scan, by estimate; None = no bound.
        now: For the estimate.
    """

    def __init__(
        self,
        calls: Calls,
        application: Application,
        *,
        sleep: Callable[[float], None],
        byte_budget: int | None,
        now: datetime,
    ) -> None:
        self._calls = calls
        self._application = application
        self._sleep = sleep
        self._byte_budget = byte_budget
        self._now = now
        self._notes: list[str] = []
        self.bytes_scanned = 0

    def read(self, start: datetime, end: datetime) -> ErrorsRead:
        """Errors of the tenant in `[start, end)`, grouped by cause, most frequent first.

        The sample that a group shows is untrusted text. Without permission to read the logs there are no groups,
        and a note says so.

        Raises:
            NotFound: none of the log groups exists.
        """
        if start >= end:
            return ErrorsRead((), 0, ())
        query = _query(self._application, start, end)
        try:
            rows = self._rows(query, start, end)
        except AccessDenied as error:
            if not lacks_permission(error):
                raise
            self._notes.append(f"errors from logs are not known: {error}")
            rows = []
        if len(rows) >= MAX_ROWS:
            self._notes.append(f"errors of the {MAX_ROWS} most frequent places were counted, rarer ones were not")
        groups = merge_groups([_group(row, self._application) for row in rows])
        return ErrorsRead(groups, sum(row.events for row in rows), tuple(self._notes))

    def _rows(self, query: str, start: datetime, end: datetime) -> list[_Row]:
        names, notes = group_names(self._calls, self._application.telemetry.log_group)
        self._notes += notes
        since = self._affordable_start(names, start, end)
        if since is None:
            return []
        try:
            return self._run(query, names, since, end)
        except (AccessDenied, NotFound) as error:
            if len(names) == 1 or (isinstance(error, AccessDenied) and not lacks_permission(error)):
                raise
            return self._one_by_one(query, names, since, end)

    def _affordable_start(self, names: Sequence[str], start: datetime, end: datetime) -> datetime | None:
        if self._byte_budget is None:
            return start
        log_group = self._application.telemetry.log_group
        try:
            fits = affordable(self._calls, log_group, names, start, end, budget=self._byte_budget, now=self._now)
        except AccessDenied as error:
            if not lacks_permission(error):
                raise
            self._notes.append(f"the bytes to scan could not be estimated: {error}")
            return start
        self._notes += [fits.note] if fits.note else []
        return fits.start

    def _one_by_one(self, query: str, names: Sequence[str], start: datetime, end: datetime) -> list[_Row]:
        """Rows of the log groups that can be read; of one refusal the whole query fails."""
        rows: list[_Row] = []
        refused: list[AccessDenied | NotFound] = []
        for name in names:
            try:
                rows += self._run(query, [name], start, end)
            except (AccessDenied, NotFound) as error:
                refused.append(error)
                self._notes.append(f"errors from {name!r} were not counted: {error}")
        if len(refused) == len(names):
            raise refused[0]
        return sorted(rows, key=lambda row: (-row.events, row.place))

    def _run(self, query: str, names: Sequence[str], start: datetime, end: datetime) -> list[_Row]:
        answer = self._calls.ask(
            "StartQuery",
            expecting="queryId",
            logGroupNames=list(names),
            startTime=math.floor(start.timestamp()),
            endTime=math.ceil(end.timestamp()),
            queryString=query,
            limit=MAX_ROWS,
        )
        component = self._application.telemetry.component_dimension
        results = self._await(answer["queryId"])
        return [_row({f["field"]: f.get("value", "") for f in fields}, component) for fields in results]

    def _await(self, query_id: str) -> list[list[dict[str, str]]]:
        waited_s, pause_s = 0.0, FIRST_POLL_S
        while True:
            answer = self._calls.ask("GetQueryResults", expecting="status", queryId=query_id)
            status = answer["status"]
            if status == "Complete":
                return self._results(answer)
            if status not in ("Scheduled", "Running"):
                raise Unreachable(f"logs:GetQueryResults: the query ended as {status!r}")
            if waited_s >= QUERY_DEADLINE_S:
                self._calls.ask("StopQuery", expecting="success", queryId=query_id)
                raise Unreachable(f"logs:GetQueryResults: no result within {QUERY_DEADLINE_S:.0f} s")
            self._sleep(pause_s)
            waited_s, pause_s = waited_s + pause_s, min(SLOWEST_POLL_S, pause_s * 2)

    def _results(self, answer: dict[str, Any]) -> list[list[dict[str, str]]]:
        if "results" not in answer:
            raise MalformedAnswer("logs:GetQueryResults: a complete query without results")
        scanned = int(answer.get("statistics", {}).get("bytesScanned", 0))
        self.bytes_scanned += scanned
        if self._byte_budget is not None and scanned > self._byte_budget:
            self._notes.append(f"the log query scanned {scanned:,} bytes, budget {self._byte_budget:,} bytes")
        results: list[list[dict[str, str]]] = answer["results"]
        return results


def _query(application: Application, start: datetime, end: datetime) -> str:
    """StartQuery takes whole seconds, both included; the window is cut to the millisecond here."""
    telemetry = application.telemetry
    component, tenant = field_name(telemetry.component_dimension), field_name(telemetry.tenant_dimension)
    levels = ", ".join(literal(spelt) for level in ERROR_LEVELS for spelt in (level, level.lower()))
    return (
        f"filter {tenant} = {literal(application.tenant_id)} and level in [{levels}]\n"
        f"| filter @timestamp >= {round(start.timestamp() * 1000)} and @timestamp < {round(end.timestamp() * 1000)}\n"
        "| stats count(*) as events, min(@timestamp) as first_seen, max(@timestamp) as last_seen, "
        f"latest(@message) as newest by {component}, {', '.join(_PLACE)}\n"
        f"| sort events desc | limit {MAX_ROWS}"
    )


def _row(values: dict[str, str], component_field: str) -> _Row:
    try:
        events = int(float(values["events"]))
        first_seen, last_seen = _instant(values["first_seen"]), _instant(values["last_seen"])
    except (KeyError, ValueError) as error:
        raise MalformedAnswer(f"logs:GetQueryResults: a row without count or times: {error!r}") from error
    place = tuple(values.get(name, "") for name in _PLACE)
    return _Row(place, values.get(component_field, ""), events, first_seen, last_seen, values.get("newest", ""))


def _instant(text: str) -> datetime:
    """Insights gives times as milliseconds since the epoch in aggregates and as UTC text in fields."""
    try:
        return datetime.fromtimestamp(float(text) / 1000, UTC)
    except ValueError:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _group(row: _Row, application: Application) -> ErrorGroup:
    event = understood(row.line, row.last_seen, application.telemetry)
    error_type = (event.error_type if event else None) or row.place[0]
    message = event.message if event else ""
    stack = event.stack if event else None
    return ErrorGroup(
        fingerprint=fingerprint_of(error_type, message, stack),
        component=row.component,
        error_type=error_type or "unknown",
        message=mask(message)[:MAX_MESSAGE],
        location=(event.location if event else None) or location_of(*row.place[1:4]),
        count=row.events,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        tenants=(application.tenant_id,),
        stack=stack[-MAX_STACK:] if stack else None,
    )
