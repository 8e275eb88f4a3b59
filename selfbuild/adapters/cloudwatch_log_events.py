"""Reads log events of one tenant by FilterLogEvents, within bounds of pages, bytes, events and time."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from selfbuild.adapters.aws import Calls, lacks_permission
from selfbuild.adapters.cloudwatch_log_groups import field_name, literal
from selfbuild.adapters.log_lines import understood
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import AccessDenied, NotFound
from selfbuild.domain.telemetry import LogEvent

MAX_PAGE_EVENTS = 10_000
"""Events of one FilterLogEvents answer (CloudWatch quota)."""


@dataclass(frozen=True)
class ReadLimits:
    """What one reading may take, over all its log groups."""

    pages: int = 40
    """FilterLogEvents scans about 1 MB a page and may answer empty pages for long; its quota is 5 to 25 calls a
    second."""
    events: int = 20_000
    text_bytes: int = 32 << 20
    wall_s: float = 20.0


class Line(NamedTuple):
    """A line as it was logged."""

    at: datetime
    text: str
    event: LogEvent


class LinesRead(NamedTuple):
    """What was read, and what was left out."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def level_pattern(application: Application, levels: Sequence[str]) -> str:
    """A filter pattern for the tenant's JSON lines of `levels`, spelt in upper or in lower case.

    Raises:
        InvalidRequest: tenant or dimension cannot stand in a pattern.
    """
    tenant = f"$.{field_name(application.telemetry.tenant_dimension)} = {literal(application.tenant_id)}"
    spelt = [spelling for level in levels for spelling in (level, level.lower())]
    either = " || ".join(f"$.level = {literal(level)}" for level in spelt)
    return f"{{ ({tenant}) && ({either}) }}"


class LineReader:
    """One reading of one application's lines."""

    def __init__(
        self,
        calls: Calls,
        application: Application,
        *,
        limits: ReadLimits,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._calls = calls
        self._application = application
        self._limits = limits
        self._monotonic = monotonic
        self._lines: list[Line] = []
        self._pages = 0
        self._text_bytes = 0

    def read(self, groups: Iterable[str], *, levels: Sequence[str], start: datetime, end: datetime) -> LinesRead:
        """The tenant's lines of `levels` in `[start, end)`, of every log group, oldest first within each.

        A log group that is missing or may not be read is left out with a note as long as another one can be read,
        one that may not be read also where it is the only one.

        Raises:
            NotFound: none of the log groups exists.
        """
        pattern = level_pattern(self._application, levels)
        notes: list[str] = []
        missing: list[NotFound] = []
        deadline = self._monotonic() + self._limits.wall_s
        names = list(groups)
        for name in names:
            try:
                note = self._read_group(name, pattern, start, end, deadline)
            except NotFound as error:
                missing.append(error)
                note = str(error)
            except AccessDenied as error:
                if not lacks_permission(error):
                    raise
                note = f"log events of {name!r} were not read: {error}"
            notes += [note] if note else []
        if missing and len(missing) == len(names):
            raise missing[0]
        return LinesRead(tuple(self._lines), tuple(notes))

    def _read_group(self, name: str, pattern: str, start: datetime, end: datetime, deadline: float) -> str | None:
        """A note where bounds left events out."""
        room = self._limits.pages - self._pages
        if room < 1:
            return f"log events of {name!r} were not read: {self._limits.pages} pages were read before"
        pages = self._calls.pages(
            "FilterLogEvents",
            expecting="events",
            token="nextToken",
            most=room,
            logGroupName=name,
            filterPattern=pattern,
            startTime=_milliseconds(start),
            endTime=_milliseconds(end) - 1,
            limit=min(MAX_PAGE_EVENTS, self._limits.events),
        )
        reached = start
        for answer in pages:
            self._pages += 1
            for event in answer["events"]:
                reached = max(reached, self._keep(event))
            limit = self._limit_reached(deadline)
            if answer.get("nextToken") and limit:
                return f"log events of {name!r} after {reached:%Y-%m-%dT%H:%M:%S.%fZ} were not read: {limit}"
        return None

    def _keep(self, answer: dict[str, Any]) -> datetime:
        text = answer.get("message", "")
        at = datetime.fromtimestamp(answer.get("timestamp", 0) / 1000, UTC)
        self._text_bytes += len(text)
        event = understood(text, at, self._application.telemetry)
        if event is not None and event.tenant_id == self._application.tenant_id:
            self._lines.append(Line(at, text, event))
        return at

    def _limit_reached(self, deadline: float) -> str | None:
        limits = self._limits
        if self._pages >= limits.pages:
            return f"{limits.pages} pages were read"
        if len(self._lines) >= limits.events:
            return f"{limits.events:,} events were read"
        if self._text_bytes >= limits.text_bytes:
            return f"{limits.text_bytes:,} bytes were read"
        return f"{limits.wall_s:g} s had passed" if self._monotonic() >= deadline else None


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
