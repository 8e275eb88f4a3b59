"""The newest log events in memory, for queries that must not wait for the store."""

import threading
from datetime import datetime

from selfbuild.domain.telemetry import LogEvent, TelemetryBatch


class HotEvents:
    """Keeps the newest events of each tenant and application, at most `limit` of each. Threads may share it.

    Args:
        limit: MAX_TELEMETRY_BUFFER_SIZE.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"the limit must be at least 1, not {limit}")
        self._limit = limit
        self._lock = threading.Lock()
        self._events: dict[tuple[str, str], list[LogEvent]] = {}
        self._dropped: dict[tuple[str, str], int] = {}

    def keep(self, batch: TelemetryBatch) -> None:
        """Take in the events of a batch; they replace those of its range."""
        key = batch.tenant_id, batch.application
        with self._lock:
            others = [event for event in self._events.get(key, ()) if not batch.start <= event.at < batch.end]
            events = sorted([*others, *batch.events], key=_at)
            excess = max(0, len(events) - self._limit)
            self._events[key] = events[excess:]
            self._dropped[key] = self._dropped.get(key, 0) + excess

    def newest(self, tenant_id: str, application: str, *, limit: int = 1000) -> tuple[LogEvent, ...]:
        """The newest first."""
        with self._lock:
            return tuple(reversed(self._events.get((tenant_id, application), [])[-limit:] if limit > 0 else []))

    def held(self, tenant_id: str, application: str) -> int:
        """How many are in memory."""
        with self._lock:
            return len(self._events.get((tenant_id, application), ()))

    def dropped(self, tenant_id: str, application: str) -> int:
        """How many had to go since the start because newer ones came. They are in the store."""
        with self._lock:
            return self._dropped.get((tenant_id, application), 0)


def _at(event: LogEvent) -> datetime:
    return event.at
