"""What segments say together: which speak for which time, their samples laid over each other, their live events."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import structlog

from selfbuild.adapters.telemetry_store.objects import SegmentObjects, Vanished
from selfbuild.adapters.telemetry_store.parquet import CorruptFile, ParquetFiles
from selfbuild.adapters.telemetry_store.samples import Overlay
from selfbuild.adapters.telemetry_store.segments import (
    Range,
    Segment,
    clipped,
    day_name,
    live_ranges,
    segments_of,
)
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import MalformedAnswer, Unreachable
from selfbuild.domain.telemetry import Measure

CHUNK_POINTS = 4_000_000
"""Samples read at once: 32 MB, twice while they are handed over."""

CHUNK_FILES = 64
"""Files read at once: each row costs its names, however few samples it has."""

_ATTEMPTS = 10
"""Joins and expiry that may come between listing and reading before the reader gives up."""

_T = TypeVar("_T")
_log = structlog.get_logger()


@dataclass(frozen=True)
class LiveEvents:
    """A segment with events, and the ranges for which it is the newest."""

    segment: Segment
    ranges: tuple[Range, ...]
    whole: bool
    """Whether no newer segment replaces any of its events."""


class SegmentReader:
    """Reads segments. Threads may share it.

    Args:
        objects: Where the segments lie.
        parquet: Reads their files.
        skip_corrupt: Read on without segments that cannot be read, and name them in `problems`.
    """

    def __init__(self, objects: SegmentObjects, parquet: ParquetFiles, *, skip_corrupt: bool) -> None:
        self._objects = objects
        self._parquet = parquet
        self._skip_corrupt = skip_corrupt
        self._covers: dict[str, list[Range]] = {}
        self.problems: dict[str, str] = {}
        """Stem of a segment that cannot be read -> why, and the remedy."""

    def settled(self, read: Callable[[], _T]) -> _T:
        """The result of `read`, begun anew when a segment was joined or expired under it.

        Raises:
            MalformedAnswer: a segment cannot be read, and corrupt ones are not to be skipped.
            Unreachable: segments kept vanishing.
        """
        vanished = 0
        while True:
            try:
                return read()
            except Vanished as error:
                vanished += 1
                if vanished == _ATTEMPTS:
                    text = f"telemetry segments vanish again and again between listing and reading: {error}"
                    raise Unreachable(text) from error
            except CorruptFile as error:
                problem = self.note(error)
                if not self._skip_corrupt:
                    raise MalformedAnswer(problem) from error

    def note(self, error: CorruptFile) -> str:
        """Remember a segment that cannot be read; the text for people."""
        key = "/".join(error.path.parts[-4:])
        stem = key.removesuffix(".series.parquet").removesuffix(".events.parquet")
        text = f"telemetry segment {key} cannot be read: {error.reason}: remove its files and collect its range again"
        if stem not in self.problems:
            _log.warning("segment.failed", segment=key, error_message=error.reason)
        self.problems[stem] = text
        return text

    def forget(self, present: Iterable[str]) -> None:
        """Forget what is known of segments that are not among the stems present."""
        stems = set(present)
        self.problems = {stem: text for stem, text in self.problems.items() if stem in stems}
        self._covers = {stem: cover for stem, cover in self._covers.items() if stem in stems}

    def segments(self, application: Application, start: int, end: int) -> list[Segment]:
        """The segments that reach into `[start, end)`, by day and then oldest first."""
        if start >= end:
            return []
        listing = self._objects.entries(f"{application.key}/", days=(day_name(start), day_name(end - 1)))
        found = [each for each in segments_of(listing) if each.start < end and each.end > start]
        return [each for each in found if not (self._skip_corrupt and each.stem in self.problems)]

    def of_day(self, folder: str) -> list[Segment]:
        """The segments of one day, oldest first."""
        application, _, day = folder.rpartition("/")
        return segments_of(self._objects.entries(f"{application}/", days=(day, day)))

    def cover(self, segment: Segment) -> list[Range]:
        """What the segment covers."""
        if segment.whole:
            return [(segment.start, segment.end)]
        if segment.stem not in self._covers:
            self._covers[segment.stem] = self._parquet.covers(self._series_files([segment])[0])
        return self._covers[segment.stem]

    def overlay(
        self,
        segments: Iterable[Segment],
        start: int,
        end: int,
        *,
        component: str | None = None,
        measure: Measure | None = None,
        period_s: int | None = None,
    ) -> Overlay:
        """The segments' samples of `[start, end)`, in the segments' order."""
        overlay = Overlay(start, end)
        for chunk in _chunks(each for each in segments if each.points):
            files = self._series_files(chunk)
            overlay.add(self._parquet.rows(files, component=component, measure=measure, period_s=period_s))
        return overlay

    def live_events(self, segments: Sequence[Segment], start: int, end: int) -> list[LiveEvents]:
        """Whose events of `[start, end)` count, day by day, the oldest day first."""
        found = []
        for _, day in groupby(segments, key=lambda each: each.folder):
            covers = [(segment, self.cover(segment)) for segment in day]
            live = live_ranges(covers)
            for segment, cover in covers:
                ranges = tuple(clipped(live[segment], start, end))
                if ranges and segment.events:
                    found.append(LiveEvents(segment, ranges, whole=live[segment] == cover))
        return found

    def event_pieces(self, live: Sequence[LiveEvents]) -> list[tuple[Path, Range]]:
        """Each events file with a range for which it counts."""
        paths = self._objects.local({each.segment.events_key: each.segment.events_bytes for each in live})
        return [(path, span) for path, each in zip(paths, live, strict=True) for span in each.ranges]

    def _series_files(self, segments: Sequence[Segment]) -> list[Path]:
        return self._objects.local({each.series_key: each.series_bytes for each in segments})


def _chunks(segments: Iterable[Segment]) -> Iterator[list[Segment]]:
    chunk: list[Segment] = []
    points = 0
    for segment in segments:
        if chunk and (points + segment.points > CHUNK_POINTS or len(chunk) == CHUNK_FILES):
            yield chunk
            chunk, points = [], 0
        chunk.append(segment)
        points += segment.points
    if chunk:
        yield chunk
