"""Puts segments in place: batches as they come, and joins of what is over."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np

from selfbuild.adapters.telemetry_store.objects import SegmentObjects, unreachable
from selfbuild.adapters.telemetry_store.parquet import ParquetFiles, SeriesRow
from selfbuild.adapters.telemetry_store.reading import LiveEvents, SegmentReader
from selfbuild.adapters.telemetry_store.samples import Overlay
from selfbuild.adapters.telemetry_store.segments import BATCH_LEVEL, Join, Range, Segment, joined
from selfbuild.domain.errors import Unreachable
from selfbuild.domain.telemetry import LogEvent

LEASE_S = 600
"""Longer than the joins of an application take; a compactor that crashed blocks its successor for so long."""

_APPEND_ATTEMPTS = 5


class SegmentWriter:
    """Writes segments. Threads may share it."""

    def __init__(self, objects: SegmentObjects, parquet: ParquetFiles, reader: SegmentReader) -> None:
        self._objects = objects
        self._parquet = parquet
        self._reader = reader

    def keep(self, folder: str, span: Range, *, rows: Iterable[SeriesRow], events: Sequence[LogEvent]) -> None:
        """Keep a batch's part of one day as the newest segment of that day."""
        overlay = Overlay(*span)
        overlay.add(rows)
        kept = list(overlay.rows())
        with self._workspace() as work:
            if events:
                self._parquet.write_events(work / "events", events, application=folder.split("/")[1])
            self._parquet.write_series(work / "series", kept, covers=[span])
            segment = Segment(
                folder=folder,
                start=span[0],
                end=span[1],
                generation=0,
                level=BATCH_LEVEL,
                points=_points(kept),
                events=len(events),
                digest=_digest(work),
            )
            self._publish(segment, work)

    def join(self, join: Join) -> int:
        """Put one segment in the place of several; how many went.

        Raises:
            Vanished: another compactor was first.
            CorruptFile: one of them cannot be read; all stay.
        """
        parts = join.segments
        start, end = min(each.start for each in parts), max(each.end for each in parts)
        cover = joined(span for each in parts for span in self._reader.cover(each))
        with self._workspace() as work:
            rows = list(self._reader.overlay(parts, start, end).rows())
            self._parquet.write_series(work / "series", rows, covers=cover)
            events = self._join_events(work / "events", self._reader.live_events(parts, start, end))
            segment = Segment(
                folder=parts[0].folder,
                start=start,
                end=end,
                generation=parts[-1].generation,
                level=join.level,
                points=_points(rows),
                events=events,
                digest=_digest(work),
                whole=cover == [(start, end)],
            )
            self._put(segment, work)
        gone = [each for each in parts if each.stem != segment.stem]
        self._objects.remove(key for each in gone for key in each.keys)
        return len(gone)

    def _publish(self, segment: Segment, work: Path) -> None:
        known = self._reader.of_day(segment.folder)
        if _repeats(segment, known):
            return
        former: Segment | None = None
        for _ in range(_APPEND_ATTEMPTS):
            segment = replace(segment, generation=max((each.generation for each in known), default=0) + 1)
            self._put(segment, work)
            if former is not None:
                self._objects.remove(former.keys)
            seen, known = {each.stem for each in known}, self._reader.of_day(segment.folder)
            # A join that ended meanwhile stands above this batch, which is newer than the parts it joined.
            if not any(_stands_above(each, segment) for each in known if each.stem not in seen):
                return
            former = segment
        raise Unreachable(f"telemetry of {segment.folder} was joined again and again while a batch was written")

    def _join_events(self, path: Path, live: Sequence[LiveEvents]) -> int:
        if not live:
            return 0
        if all(each.whole and len(each.ranges) == 1 for each in live):
            # They follow each other, so that nothing needs to be sorted, which would take memory for all of them.
            ordered = self._reader.event_pieces(sorted(live, key=lambda each: each.ranges))
            return self._parquet.chain_events(path, [file for file, _ in ordered])
        return self._parquet.join_events(path, self._reader.event_pieces(live))

    def _put(self, segment: Segment, work: Path) -> None:
        """Events first: the segment exists once its series file does."""
        for name, key in (("events", segment.events_key), ("series", segment.series_key)):
            if key in segment.keys:
                source = work / f"{name}-{segment.generation}"
                os.link(work / name, source)
                self._objects.put(key, source)

    @contextmanager
    def _workspace(self) -> Iterator[Path]:
        scratch = self._objects.scratch()
        try:
            work = Path(tempfile.mkdtemp(dir=scratch))
        except OSError as error:
            raise unreachable(scratch, "written", error) from error
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


class Lease:
    """The right to join an application's segments, for a time. It spares work; nothing else hangs on it."""

    def __init__(self, objects: SegmentObjects, application: str, *, now: datetime) -> None:
        self._objects = objects
        self._key = f"{application}/compacting.lease"
        self._now = now.timestamp()
        expires_at = (now + timedelta(seconds=LEASE_S)).timestamp()
        self._content = json.dumps({"owner": uuid4().hex, "expires_at": expires_at}).encode()

    def take(self) -> bool:
        """Take the lease, or take it over when it has expired; whether this call got it."""
        if self._objects.claim(self._key, self._content):
            return True
        seen = self._objects.claimed(self._key)
        if seen is not None and _expires_at(seen) > self._now:
            return False
        if seen is not None and not self._objects.reclaim(self._key, seen=seen):
            return False
        return self._objects.claim(self._key, self._content)

    def give_back(self) -> None:
        """Give back what `take` got; without effect when another took it over."""
        self._objects.reclaim(self._key, seen=self._content)


def _expires_at(content: bytes) -> float:
    try:
        return float(json.loads(content)["expires_at"])
    except (ValueError, KeyError, TypeError):
        return 0.0


def _repeats(segment: Segment, known: Sequence[Segment]) -> bool:
    """Whether the newest segment over the same range has the same content."""
    over = [each for each in known if each.start < segment.end and each.end > segment.start]
    newest = max(over, key=lambda each: each.order, default=None)
    return newest is not None and (newest.start, newest.end, newest.digest) == (
        segment.start,
        segment.end,
        segment.digest,
    )


def _stands_above(other: Segment, segment: Segment) -> bool:
    overlaps = other.start < segment.end and other.end > segment.start
    return other.level > BATCH_LEVEL and overlaps and other.order > segment.order


def _points(rows: Iterable[SeriesRow]) -> int:
    return sum(int(np.count_nonzero(~np.isnan(row.samples))) for row in rows)


def _digest(work: Path) -> str:
    digest = hashlib.sha256()
    for name in ("series", "events"):
        if (work / name).exists():
            digest.update((work / name).read_bytes())
    return digest.hexdigest()[:16]
