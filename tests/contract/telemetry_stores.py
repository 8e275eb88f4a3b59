"""Batches and stores for the suites of the telemetry store."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from selfbuild.adapters.aws import make_client
from selfbuild.adapters.telemetry_store import FolderObjects, ParquetTelemetryStore, S3Objects, SegmentObjects
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.telemetry import LogEvent, Measure, Series, TelemetryBatch
from tests.fakes.values import an_application

DAY = datetime(2026, 3, 1, tzinfo=UTC)
APPLICATION = an_application()
BUCKET = "telemetry"
HOSTILE = "a'b\"; DROP TABLE x; --/../\n\t☃😀\x00[*]?$1"


def at(hours: float = 0, minutes: float = 0) -> datetime:
    return DAY + timedelta(hours=hours, minutes=minutes)


def a_series(points: Mapping[datetime, float], component: str = "summary", **fields: Any) -> Series:
    defaults: dict[str, Any] = {"measure": Measure.LATENCY_P95, "unit": "Milliseconds", "period_s": 60}
    starts = {moment.timestamp(): value for moment, value in points.items()}
    return Series.of(starts, component=component, **(defaults | fields))


def minutes_of(start: datetime, *values: float) -> dict[datetime, float]:
    return {start + timedelta(minutes=place): value for place, value in enumerate(values)}


def an_event(moment: datetime, message: str = "boom", **fields: Any) -> LogEvent:
    defaults: dict[str, Any] = {"component": "summary", "tenant_id": "t-1", "level": "ERROR"}
    return LogEvent(at=moment, message=message, **(defaults | fields))


def a_full_event(moment: datetime) -> LogEvent:
    return an_event(
        moment,
        HOSTILE,
        component=HOSTILE,
        tenant_id=HOSTILE,
        error_type="KeyError",
        location=CodeLocation(path="meetnotes/actions.py", line=12, function="assign"),
        stack="Traceback\n  File",
        release="r-1",
        trace_id="1-abc",
        weight=12.5,
    )


def a_batch(start: datetime, end: datetime, **fields: Any) -> TelemetryBatch:
    defaults = {"tenant_id": APPLICATION.tenant_id, "application": APPLICATION.name}
    return TelemetryBatch(start=start, end=end, **(defaults | fields))


def a_minute(start: datetime, *, value: float | None = None, events: int = 1, **fields: Any) -> TelemetryBatch:
    series = () if value is None else (a_series({start: value}),)
    happened = tuple(an_event(start + timedelta(seconds=n), f"{start:%H:%M} {n}") for n in range(events))
    return a_batch(start, start + timedelta(minutes=1), **({"series": series, "events": happened} | fields))


@contextmanager
def s3_client(endpoint_url: str) -> Iterator[Any]:
    client = make_client("s3", region="us-east-1", endpoint_url=endpoint_url)
    try:
        yield client
    finally:
        client.close()


class Place:
    """Where segments lie, openable by any number of stores as by processes of their own."""

    def __init__(self, objects: Callable[[Path], SegmentObjects], folder: Path) -> None:
        self._objects = objects
        self._folder = folder
        self._opened: list[ParquetTelemetryStore] = []

    def objects(self) -> SegmentObjects:
        return self._objects(self._folder / f"process-{len(self._opened)}")

    def open(self, objects: SegmentObjects | None = None, **fields: Any) -> ParquetTelemetryStore:
        store = ParquetTelemetryStore(objects or self.objects(), **fields)
        self._opened.append(store)
        return store

    def close(self) -> None:
        for store in self._opened:
            store.close()

    @classmethod
    def in_folder(cls, folder: Path) -> "Place":
        return cls(lambda _: FolderObjects(folder / "telemetry"), folder)

    @classmethod
    def in_s3(cls, client: Any, folder: Path) -> "Place":
        return cls(lambda cache: S3Objects(client, BUCKET, prefix="deployment/", cache=cache), folder)
