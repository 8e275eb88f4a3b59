"""Groups error events by cause. Pure; groups of two batches can be merged in any order."""

from collections.abc import Iterable

from selfbuild.analysis.fingerprint import fingerprint_of
from selfbuild.analysis.masks import mask
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.telemetry import ErrorGroup, LogEvent

ERROR_LEVELS = frozenset({"ERROR", "CRITICAL"})
UNKNOWN_TYPE = "unknown"
MAX_MESSAGE = 500
MAX_STACK = 8_000
MAX_TENANTS = 1_000
"""Tenants that a group names; of more, the first by name."""


def group_errors(events: Iterable[LogEvent]) -> tuple[ErrorGroup, ...]:
    """The errors among the events, grouped by component and cause, most frequent first.

    Events below ERROR are passed over. A group counts the events that its lines stand for, rounded, at least one.
    """
    groups: dict[tuple[str, str], ErrorGroup] = {}
    weights: dict[tuple[str, str], float] = {}
    for event in events:
        if event.level not in ERROR_LEVELS:
            continue
        group = _group_of(event)
        key = (group.component, group.fingerprint)
        groups[key] = _merged(groups[key], group) if key in groups else group
        weights[key] = weights.get(key, 0.0) + event.weight
    return _sorted(group.model_copy(update={"count": max(1, round(weights[key]))}) for key, group in groups.items())


def merge_groups(*batches: Iterable[ErrorGroup]) -> tuple[ErrorGroup, ...]:
    """The groups of several batches as if their events had come in one; the order of the batches does not matter."""
    merged: dict[tuple[str, str], ErrorGroup] = {}
    for batch in batches:
        for group in batch:
            key = (group.component, group.fingerprint)
            merged[key] = _merged(merged[key], group) if key in merged else group
    return _sorted(merged.values())


def _group_of(event: LogEvent) -> ErrorGroup:
    error_type = event.error_type or ""
    return ErrorGroup(
        fingerprint=fingerprint_of(error_type, event.message, event.stack),
        component=event.component,
        error_type=error_type or UNKNOWN_TYPE,
        message=mask(event.message)[:MAX_MESSAGE],
        location=event.location,
        count=1,
        first_seen=event.at,
        last_seen=event.at,
        tenants=(event.tenant_id,),
        stack=event.stack[-MAX_STACK:] if event.stack else None,
    )


def _merged(first: ErrorGroup, second: ErrorGroup) -> ErrorGroup:
    """Every field by a rule that neither order nor grouping of the merges can change."""
    stacks = [stack for stack in (first.stack, second.stack) if stack]
    locations = [location for location in (first.location, second.location) if location is not None]
    tenants = {*first.tenants, *second.tenants}
    return ErrorGroup(
        fingerprint=first.fingerprint,
        component=first.component,
        error_type=min(first.error_type, second.error_type),
        message=min(first.message, second.message),
        location=min(locations, key=_place, default=None),
        count=first.count + second.count,
        first_seen=min(first.first_seen, second.first_seen),
        last_seen=max(first.last_seen, second.last_seen),
        tenants=tuple(sorted(tenants)[:MAX_TENANTS]),
        stack=max(stacks, key=lambda stack: (len(stack), stack), default=None),
    )


def _place(location: CodeLocation) -> tuple[str, int, str]:
    return location.path, location.line or 0, location.function or ""


def _sorted(groups: Iterable[ErrorGroup]) -> tuple[ErrorGroup, ...]:
    return tuple(sorted(groups, key=lambda group: (-group.count, group.component, group.fingerprint)))
