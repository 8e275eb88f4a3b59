"""Log lines as the agent keeps them: understood, of one tenant, sampled by kind."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from selfbuild.analysis.log_events import LogDefaults, understand
from selfbuild.analysis.masks import mask
from selfbuild.domain.applications import TelemetryConfig
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.telemetry import LogEvent

ERROR_LEVELS = ("ERROR", "CRITICAL", "FATAL")
KEPT_LEVELS = (*ERROR_LEVELS, "WARNING", "WARN")
"""Upper case; lines spell them in upper or in lower case."""
MAX_MESSAGE, MAX_STACK = 500, 8000


def understood(line: str | Mapping[str, Any], at: datetime, telemetry: TelemetryConfig) -> LogEvent | None:
    """The line as an event at the time that the log store gave it; None for one that names no tenant."""
    defaults = LogDefaults(
        component="",
        component_keys=(telemetry.component_dimension, "service", "function_name"),
        tenant_keys=(telemetry.tenant_dimension,),
        release_keys=(telemetry.release_dimension,),
    )
    event = understand(line, received_at=at, defaults=defaults)
    return None if event is None else event.model_copy(update={"at": at})


def location_of(file: str, line: str, function: str) -> CodeLocation | None:
    """The place in the repository, if the path is relative to its root."""
    path = file.replace("\\", "/")
    if not path or path.startswith(("/", "<")) or ":" in path or ".." in path.split("/"):
        return None
    return CodeLocation(path=path, line=int(line) if line.isdecimal() else None, function=function or None)


def kind_of(event: LogEvent) -> tuple[str, ...]:
    """What events have in common that one may stand for the others."""
    if event.error_type and event.location:
        return event.component, event.level, event.error_type, str(event.location)
    return event.component, event.level, event.error_type or "", mask(event.message)


def sampled(events: Iterable[LogEvent], *, rate: float) -> tuple[LogEvent, ...]:
    """At `rate` of each kind, evenly over time and at least one; the weights of a kind add up to its events.

    The same events give the same sample.
    """
    ordered = sorted(events, key=lambda event: event.at)
    if rate >= 1:
        return tuple(ordered)
    kinds: dict[tuple[str, ...], list[LogEvent]] = {}
    for event in ordered:
        kinds.setdefault(kind_of(event), []).append(event)
    kept = [event for own in kinds.values() for event in _evenly(own, rate)]
    return tuple(sorted(kept, key=lambda event: event.at))


def _evenly(events: Sequence[LogEvent], rate: float) -> list[LogEvent]:
    count = max(1, round(len(events) * rate))
    weight = sum(event.weight for event in events) / count
    chosen = [events[(2 * n + 1) * len(events) // (2 * count)] for n in range(count)]
    return [event.model_copy(update={"weight": weight}) for event in chosen]
