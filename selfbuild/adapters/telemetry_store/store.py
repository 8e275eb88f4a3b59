"""The rolling telemetry store: `ports.TelemetryStore` on Parquet segments in a folder or in S3.

Any number of processes append, read, compact and expire at once; nothing waits for anything. What holds:

- Of a series and period the newest segment with a sample wins; an absent sample replaces nothing.
- Of the events of an instant the newest segment that covers it has all.
- A crash leaves at most files that nobody sees, removed an hour later by `compact`, or, in the middle of a join, both
  the joined segment and some of its parts: the joined one is newer, and nothing is doubled.
- A segment that was joined or expired between listing and reading makes the reading start again.
"""

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import structlog

from selfbuild.adapters.telemetry_store.objects import SegmentObjects, Vanished
from selfbuild.adapters.telemetry_store.parquet import (
    DEFAULT_MEMORY_MIB,
    CorruptFile,
    ParquetFiles,
    SeriesKey,
    SeriesRow,
)
from selfbuild.adapters.telemetry_store.reading import LiveEvents, SegmentReader
from selfbuild.adapters.telemetry_store.segments import (
    DAY_US,
    Join,
    Range,
    Segment,
    clipped,
    day_name,
    day_start,
    joined,
    joins_of_day,
    micros,
    moment,
    segments_of,
)
from selfbuild.adapters.telemetry_store.writing import Lease, SegmentWriter
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import InvalidRequest
from selfbuild.domain.telemetry import FloatArray, LogEvent, Measure, Series, Span, TelemetryBatch
from selfbuild.ports import StoreSize

_log = structlog.get_logger()


class ParquetTelemetryStore:
    """Implements `ports.TelemetryStore`. Threads may share it; close it after use.

    A series starts with its first sample in the window and ends with its last; one without any is left out. A batch
    over several days is kept as one segment a day, each complete in itself. Samples and events outside the batch's
    range are no part of it: they are dropped, events with a warning. Infinite samples count as absent.

    Args:
        objects: Where the segments lie.
        memory_mib: What DuckDB may use.
        skip_corrupt: Read on without segments that cannot be read; they are named in `problems`. Otherwise reading
            one raises MalformedAnswer. Joining always leaves an hour or day with a corrupt segment as it is and
            goes on with the others.
    """

    def __init__(
        self, objects: SegmentObjects, *, memory_mib: int = DEFAULT_MEMORY_MIB, skip_corrupt: bool = False
    ) -> None:
        self._objects = objects
        self._spill = Path(tempfile.mkdtemp(prefix="selfbuild-telemetry-"))
        self._parquet = ParquetFiles(spill=self._spill / "duckdb", memory_mib=memory_mib)
        self._reader = SegmentReader(objects, self._parquet, skip_corrupt=skip_corrupt)
        self._writer = SegmentWriter(objects, self._parquet, self._reader)
        self._removed = weakref.finalize(self, shutil.rmtree, self._spill, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give memory and temporary files back."""
        self._parquet.close()
        self._removed()

    @property
    def problems(self) -> tuple[str, ...]:
        """The segments found so far that cannot be read, each with the remedy."""
        return tuple(self._reader.problems[stem] for stem in sorted(self._reader.problems))

    def append(self, batch: TelemetryBatch) -> None:
        """Keep a batch. The same batch again, or a later one over the same periods, replaces what was there.

        Raises:
            InvalidRequest: an empty range, or a series off the grid of whole periods since the epoch.
            Unreachable: the folder or bucket cannot be written.
        """
        start, end = micros(batch.start), micros(batch.end)
        if start >= end:
            raise InvalidRequest(f"a batch must end after it starts: {batch.start} to {batch.end}")
        rows = [_row_of(series) for series in batch.series]
        outside = sum(not start <= micros(event.at) < end for event in batch.events)
        if outside:
            _log.warning("batch.clipped", tenant_id=batch.tenant_id, application=batch.application, events=outside)
        for day in range(start // DAY_US * DAY_US, end, DAY_US):
            span = max(start, day), min(end, day + DAY_US)
            events = [event for event in batch.events if span[0] <= micros(event.at) < span[1]]
            folder = f"{batch.tenant_id}/{batch.application}/{day_name(day)}"
            self._writer.keep(folder, span, rows=rows, events=events)

    def coverage(self, application: Application, *, start: datetime, end: datetime) -> tuple[Span, ...]:
        """The parts of `[start, end)` that batches cover, whether or not there were samples: silence was observed."""
        since, until = micros(start), micros(end)

        def read() -> list[Range]:
            segments = self._reader.segments(application, since, until)
            return joined(span for segment in segments for span in self._reader.cover(segment))

        spans = clipped(self._reader.settled(read), since, until)
        return tuple(Span(start=moment(a), end=moment(b)) for a, b in spans)

    def series(
        self,
        application: Application,
        *,
        start: datetime,
        end: datetime,
        component: str | None = None,
        measure: Measure | None = None,
    ) -> tuple[Series, ...]:
        """Series whose periods start in `[start, end)`, sorted by component, measure, metric and period length."""
        since, until = micros(start), micros(end)

        def read() -> tuple[Series, ...]:
            segments = self._reader.segments(application, since, until)
            return self._reader.overlay(segments, since, until, component=component, measure=measure).series()

        return self._reader.settled(read)

    def grid(
        self, application: Application, *, start: datetime, end: datetime, period_s: int
    ) -> tuple[tuple[SeriesKey, ...], FloatArray]:
        """All series of one period length as one array: the fast way to read a week.

        Returns:
            The keys, sorted, and samples (keys × periods), NaN where there is none. The columns are the whole periods
            since the epoch that start in `[start, end)`. A series whose unit changed has a row for each unit.
        """
        since, until = micros(start), micros(end)

        def read() -> tuple[tuple[SeriesKey, ...], FloatArray]:
            segments = self._reader.segments(application, since, until)
            return self._reader.overlay(segments, since, until, period_s=period_s).grid(period_s)

        return self._reader.settled(read)

    def events(
        self,
        application: Application,
        *,
        start: datetime,
        end: datetime,
        component: str | None = None,
        limit: int = 1000,
    ) -> tuple[LogEvent, ...]:
        """Log events of `[start, end)`, newest first. Reads day by day backwards, no further than `limit` needs."""

        def read() -> list[LogEvent]:
            found: list[LogEvent] = []
            for live in reversed(self._live_by_day(application, start, end)):
                if len(found) < limit:
                    pieces = self._reader.event_pieces(live)
                    found += self._parquet.events(pieces, component=component, limit=limit - len(found))
            return found

        return tuple(self._reader.settled(read))

    def event_files(self, application: Application, *, start: datetime, end: datetime) -> list[Path]:
        """Files that together hold each log event of `[start, end)` once, and maybe others: filter by `at`.

        Their columns are `EVENT_COLUMNS`. A file may be joined or expired at any time: ask again when one is gone.
        Where segments overlap, their events are joined into a temporary file that lives as long as this store.
        """

        def read() -> list[Path]:
            live = [each for day in self._live_by_day(application, start, end) for each in day]
            paths = [path for path, _ in self._reader.event_pieces([each for each in live if each.whole])]
            cut = self._reader.event_pieces([each for each in live if not each.whole])
            return list(dict.fromkeys(paths)) + ([self._joined_events(cut)] if cut else [])

        return self._reader.settled(read)

    def compact(self, *, now: datetime) -> int:
        """Join the segments of hours and days that are over, remove what crashes left; how many segments went.

        A lease for each application keeps two compactors from doing the same work; what they do is right without it.
        """
        gone = 0
        listing = self._by_day()
        self._reader.forget(each.stem for day in listing.values() for each in day)
        for application, folders in groupby(sorted(listing), key=lambda folder: folder.rpartition("/")[0]):
            joins = [
                join
                for folder in folders
                for join in joins_of_day(listing[folder], day=_day_of(folder), now=micros(now))
            ]
            lease = Lease(self._objects, application, now=now)
            if joins and lease.take():
                try:
                    gone += sum(self._join(join) for join in joins)
                finally:
                    lease.give_back()
        leftovers = self._objects.clean()
        if gone or leftovers:
            _log.info("telemetry.compacted", segments=gone, leftovers=leftovers)
        return gone

    def expire(self, *, before: datetime) -> int:
        """Delete the days that ended by `before`; how many segments went."""
        gone = 0
        for folder, segments in self._by_day().items():
            if _day_of(folder) + DAY_US <= micros(before):
                self._objects.remove(key for segment in segments for key in segment.keys)
                gone += len(segments)
        return gone

    def size(self, application: Application | None = None) -> StoreSize:
        """What is held, from names and file sizes alone: what a later batch replaced counts until it is joined."""
        segments = segments_of(self._objects.entries("" if application is None else f"{application.key}/"))
        return StoreSize(
            segments=len(segments),
            bytes=sum(each.bytes for each in segments),
            points=sum(each.points for each in segments),
            events=sum(each.events for each in segments),
            oldest=moment(min(each.start for each in segments)) if segments else None,
            newest=moment(max(each.end for each in segments)) if segments else None,
        )

    def _by_day(self) -> Mapping[str, list[Segment]]:
        segments = segments_of(self._objects.entries())
        return {folder: list(day) for folder, day in groupby(segments, key=lambda each: each.folder)}

    def _join(self, join: Join) -> int:
        try:
            return self._writer.join(join)
        except Vanished:
            return 0
        except CorruptFile as error:
            self._reader.note(error)
            return 0

    def _live_by_day(self, application: Application, start: datetime, end: datetime) -> list[list[LiveEvents]]:
        since, until = micros(start), micros(end)
        live = self._reader.live_events(self._reader.segments(application, since, until), since, until)
        return [list(day) for _, day in groupby(live, key=lambda each: each.segment.folder)]

    def _joined_events(self, pieces: list[tuple[Path, Range]]) -> Path:
        name = hashlib.sha256(repr(pieces).encode()).hexdigest()[:32]
        path = self._spill / f"{name}.parquet"
        if not path.exists():
            handle, draft = tempfile.mkstemp(dir=self._spill)
            os.close(handle)
            self._parquet.join_events(Path(draft), pieces)
            os.replace(draft, path)
        return path


def _day_of(folder: str) -> int:
    day = day_start(folder.rpartition("/")[2])
    if day is None:
        raise ValueError(f"{folder!r} does not end in a day")
    return day


def _row_of(series: Series) -> SeriesRow:
    if series.period_s < 1 or series.start % series.period_s:
        raise InvalidRequest(
            f"series {series.component!r} {series.measure.value} starts at {series.start}, which is no whole number"
            f" of periods of {series.period_s} s since the epoch: collect closed periods"
        )
    samples = series.values.array
    finite = np.isfinite(samples)
    return SeriesRow(
        key=SeriesKey(series.component, series.measure.value, series.metric, series.period_s, series.unit),
        direction=series.direction.value if series.direction else "",
        start_s=int(series.start),
        samples=samples if finite.all() else np.where(finite, samples, np.nan),
    )
