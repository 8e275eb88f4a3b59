"""Log events in moto's streams: their compact form, their retention and reads across streams."""

import heapq
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from moto.logs.models import LogGroup, LogStream, logs_backends

_ids = itertools.count(1)


class CompactLogEvent:
    """Stands in for moto's LogEvent, whose instance dictionary doubles the memory of a short line."""

    __slots__ = ("event_id", "ingestion_time", "message", "timestamp")

    def __init__(self, ingestion_time: int, log_event: dict[str, Any]) -> None:
        self.event_id = next(_ids)
        self.ingestion_time = ingestion_time
        self.timestamp: int = log_event["timestamp"]
        self.message: str = log_event["message"]

    def to_filter_dict(self) -> dict[str, Any]:
        return {
            "eventId": f"{self.event_id:056d}",
            "ingestionTime": self.ingestion_time,
            "message": self.message,
            "timestamp": self.timestamp,
        }

    def to_response_dict(self) -> dict[str, Any]:
        return {"ingestionTime": self.ingestion_time, "message": self.message, "timestamp": self.timestamp}


def events_of(streams: Iterable[LogStream], start_ms: int, end_ms: int) -> Iterator[tuple[LogStream, Any]]:
    """Events with `start_ms <= timestamp <= end_ms`, in no particular order."""
    for stream in streams:
        for event in stream.events:
            if start_ms <= event.timestamp <= end_ms:
                yield stream, event


def all_groups() -> Iterator[LogGroup]:
    """Every log group of every account and region."""
    for account in list(logs_backends.values()):
        for backend in list(account.values()):
            yield from list(backend.groups.values())


def drop_expired(groups: Iterable[LogGroup], now_ms: int, *, max_age_ms: int, max_events: int) -> int:
    """Drops events older than their group's retention or `max_age_ms`, then the oldest beyond `max_events`.

    Returns:
        The events that remain.
    """
    streams: list[LogStream] = []
    for group in groups:
        days = group.retention_in_days
        age_ms = min(max_age_ms, int(days) * 86_400_000) if days else max_age_ms
        for stream in group.streams.values():
            _drop_before(stream, now_ms - age_ms)
            streams.append(stream)
    remaining = sum(len(stream.events) for stream in streams)
    if remaining > max_events:
        excess = remaining - max_events * 9 // 10
        times = (event.timestamp for stream in streams for event in stream.events)
        cutoff_ms = heapq.nsmallest(excess, times)[-1] + 1
        for stream in streams:
            _drop_before(stream, cutoff_ms)
        remaining = sum(len(stream.events) for stream in streams)
    return remaining


def _drop_before(stream: LogStream, cutoff_ms: int) -> None:
    if any(event.timestamp < cutoff_ms for event in stream.events):
        stream.events = [event for event in stream.events if event.timestamp >= cutoff_ms]
