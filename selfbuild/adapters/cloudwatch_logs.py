"""Reads recurring errors from CloudWatch Logs: Insights counts them, FilterLogEvents brings samples."""

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from selfbuild.adapters.aws import required, translated_errors
from selfbuild.analysis.fingerprint import fingerprint_of, mask
from selfbuild.domain.applications import Application
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.errors import InvalidRequest, MalformedAnswer, Unreachable
from selfbuild.domain.telemetry import ErrorGroup

MAX_ROWS = 1000
"""Places that raise errors, most frequent first."""
MAX_SAMPLES = 100
MAX_SAMPLE_PAGES = 10
"""FilterLogEvents may answer empty pages for long: it scans about 1 MB a page."""
MAX_STACK = 8000
MAX_MESSAGE = 500
QUERY_DEADLINE_S = 60.0
FIRST_POLL_S, SLOWEST_POLL_S = 0.1, 2.0
_FIELD = re.compile(r"[A-Za-z_]\w*")


class _Place(NamedTuple):
    """What Insights groups by: where an error was raised."""

    component: str
    error_type: str
    file: str
    line: str
    function: str


class _Row(NamedTuple):
    place: _Place
    events: int
    first_seen: datetime
    last_seen: datetime
    message: str
    stack: str | None


class _Sample(NamedTuple):
    message: str
    stack: str | None


class LogReader:
    """Reads of one request, with what they cost. Not shared between threads."""

    def __init__(self, client: Any, *, sleep: Callable[[float], None]) -> None:
        self._client = client
        self._sleep = sleep
        self.api_calls = 0
        self.bytes_scanned = 0
        self.events_matched = 0

    def error_groups(self, application: Application, *, start: datetime, end: datetime) -> tuple[ErrorGroup, ...]:
        """Errors of the application's tenant in `[start, end)`, grouped by cause, most frequent first.

        The sample that a group shows is untrusted text.
        """
        rows = self._count(application, start, end)
        if not rows:
            return ()
        samples = self._samples(application, start, end)
        groups: dict[tuple[str, str], ErrorGroup] = {}
        for row in rows:
            group = _group(row, samples.get(row.place), application.tenant_id)
            key = (group.component, group.fingerprint)
            groups[key] = _merged(groups[key], group) if key in groups else group
        return tuple(sorted(groups.values(), key=lambda g: (-g.count, g.component, g.fingerprint)))

    def _count(self, application: Application, start: datetime, end: datetime) -> list[_Row]:
        telemetry = application.telemetry
        component, tenant = _field(telemetry.component_dimension), _field(telemetry.tenant_dimension)
        query = (
            f'filter level = "ERROR" and {tenant} = {json.dumps(application.tenant_id)}\n'
            "| stats count(*) as events, min(@timestamp) as first_seen, max(@timestamp) as last_seen, "
            "latest(error.message) as sample_message, latest(stack) as sample_stack "
            f"by {component}, error.type, error.file, error.line, error.function\n"
            f"| sort events desc | limit {MAX_ROWS}"
        )
        self.api_calls += 1
        with translated_errors("logs:StartQuery"):
            answer = self._client.start_query(
                logGroupName=telemetry.log_group,
                startTime=math.floor(start.timestamp()),
                endTime=math.ceil(end.timestamp()),
                queryString=query,
                limit=MAX_ROWS,
            )
        results = self._await(required(answer, "queryId", operation="logs:StartQuery"))
        rows = [_row({f["field"]: f.get("value", "") for f in fields}, component) for fields in results]
        self.events_matched += sum(row.events for row in rows)
        return rows

    def _await(self, query_id: str) -> list[list[dict[str, str]]]:
        waited_s, pause_s = 0.0, FIRST_POLL_S
        while True:
            self.api_calls += 1
            with translated_errors("logs:GetQueryResults"):
                answer = self._client.get_query_results(queryId=query_id)
            status = required(answer, "status", operation="logs:GetQueryResults")
            if status == "Complete":
                self.bytes_scanned += int(answer.get("statistics", {}).get("bytesScanned", 0))
                results: list[list[dict[str, str]]] = required(answer, "results", operation="logs:GetQueryResults")
                return results
            if status not in ("Scheduled", "Running"):
                raise Unreachable(f"logs:GetQueryResults: the query ended as {status!r}")
            if waited_s >= QUERY_DEADLINE_S:
                self._stop(query_id)
                raise Unreachable(f"logs:GetQueryResults: no result within {QUERY_DEADLINE_S:.0f} s")
            self._sleep(pause_s)
            waited_s, pause_s = waited_s + pause_s, min(SLOWEST_POLL_S, pause_s * 2)

    def _stop(self, query_id: str) -> None:
        self.api_calls += 1
        with translated_errors("logs:StopQuery"):
            self._client.stop_query(queryId=query_id)

    def _samples(self, application: Application, start: datetime, end: datetime) -> dict[_Place, _Sample]:
        telemetry = application.telemetry
        tenant = _field(telemetry.tenant_dimension)
        request: dict[str, Any] = {
            "logGroupName": telemetry.log_group,
            "filterPattern": f'{{ $.level = "ERROR" && $.{tenant} = {json.dumps(application.tenant_id)} }}',
            "startTime": math.floor(start.timestamp() * 1000),
            "endTime": math.ceil(end.timestamp() * 1000) - 1,
            "limit": MAX_SAMPLES,
        }
        samples: dict[_Place, _Sample] = {}
        events_read = 0
        for _ in range(MAX_SAMPLE_PAGES):
            self.api_calls += 1
            with translated_errors("logs:FilterLogEvents"):
                answer = self._client.filter_log_events(**request)
            events = required(answer, "events", operation="logs:FilterLogEvents")
            events_read += len(events)
            for event in events:
                _keep_sample(samples, event.get("message", ""), telemetry.component_dimension)
            if not answer.get("nextToken") or events_read >= MAX_SAMPLES:
                break
            request["nextToken"] = answer["nextToken"]
        return samples


def _field(name: str) -> str:
    """A field name that may stand in a query as it is."""
    if not _FIELD.fullmatch(name):
        raise InvalidRequest(f"{name!r} cannot be used as a log field: dimension names must be words of [A-Za-z0-9_]")
    return name


def _row(values: dict[str, str], component_field: str) -> _Row:
    place = _Place(
        component=values.get(component_field, ""),
        error_type=values.get("error.type", ""),
        file=values.get("error.file", ""),
        line=values.get("error.line", ""),
        function=values.get("error.function", ""),
    )
    try:
        events = int(float(values["events"]))
        first_seen, last_seen = _instant(values["first_seen"]), _instant(values["last_seen"])
    except (KeyError, ValueError) as error:
        raise MalformedAnswer(f"logs:GetQueryResults: a row without count or times: {error!r}") from error
    stack = values.get("sample_stack") or None
    return _Row(place, events, first_seen, last_seen, values.get("sample_message", ""), stack)


def _instant(text: str) -> datetime:
    """Insights gives times as milliseconds since the epoch in aggregates and as UTC text in fields."""
    try:
        return datetime.fromtimestamp(float(text) / 1000, UTC)
    except ValueError:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _keep_sample(samples: dict[_Place, _Sample], line: str, component_field: str) -> None:
    """Remember the line unless its place has a sample with a stack; what is no such line is passed over."""
    try:
        event = json.loads(line)
    except ValueError:
        return
    if not isinstance(event, dict) or not isinstance(event.get("error"), dict):
        return
    error = event["error"]
    component = str(event.get(component_field, ""))
    place = _Place(component, *(str(error.get(key, "")) for key in ("type", "file", "line", "function")))
    known = samples.get(place)
    if known is None or known.stack is None:
        stack = event.get("stack")
        samples[place] = _Sample(str(error.get("message", "")), stack if isinstance(stack, str) else None)


def _group(row: _Row, sample: _Sample | None, tenant_id: str) -> ErrorGroup:
    message = sample.message if sample else row.message
    stack = (sample.stack if sample else None) or row.stack
    return ErrorGroup(
        fingerprint=fingerprint_of(row.place.error_type, message, stack),
        component=row.place.component,
        error_type=row.place.error_type or "unknown",
        message=mask(message)[:MAX_MESSAGE],
        location=_location(row.place),
        count=row.events,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        tenants=(tenant_id,),
        stack=stack[-MAX_STACK:] if stack else None,
    )


def _location(place: _Place) -> CodeLocation | None:
    """The place in the repository, if the path is relative to its root."""
    path = place.file.replace("\\", "/")
    if not path or path.startswith(("/", "<")) or ":" in path or ".." in path.split("/"):
        return None
    line = int(place.line) if place.line.isdecimal() else None
    return CodeLocation(path=path, line=line, function=place.function or None)


def _merged(first: ErrorGroup, second: ErrorGroup) -> ErrorGroup:
    """Both groups under the place of the more frequent one, which comes first."""
    return first.model_copy(
        update={
            "count": first.count + second.count,
            "first_seen": min(first.first_seen, second.first_seen),
            "last_seen": max(first.last_seen, second.last_seen),
            "stack": first.stack or second.stack,
        }
    )
