"""What a segment's name says, which segment speaks for which time, and which segments are to be joined. Pure.

Times are whole microseconds since the epoch: exact, and sortable as text and as numbers.

Order: each batch gets a generation one above the highest of its day, so that it is newer than all its writer could
see, whatever the clocks say. Writers that could not see each other get the same generation, and the digest of the
content decides, the same way for every reader. A joined segment has the highest generation of what it joins and the
higher level, so that it is newer than each of its parts.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US

SERIES_SUFFIX = ".series.parquet"
EVENTS_SUFFIX = ".events.parquet"

BATCH_LEVEL, HOUR_LEVEL, DAY_LEVEL = 0, 1, 2

MAX_JOINED_POINTS = 16_000_000
"""Joined in memory at 8 bytes each; a day of more stays in its hours."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(
    r"(?P<start>\d{12})-(?P<end>\d{12})-g(?P<generation>\d{8})-l(?P<level>\d)(?P<cover>[wg])"
    r"-p(?P<points>\d+)-e(?P<events>\d+)-(?P<digest>[0-9a-f]{16})"
)

Range = tuple[int, int]
"""`[start, end)` in microseconds."""


def micros(moment: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(micros_: int) -> datetime:
    """The inverse of `micros`, in UTC."""
    return _EPOCH + timedelta(microseconds=micros_)


def day_name(micros_: int) -> str:
    """The UTC day as it stands in keys: `2026-03-01`."""
    return f"{moment(micros_):%Y-%m-%d}"


def day_start(name: str) -> int | None:
    """The inverse of `day_name`; None for a text that is no day."""
    try:
        return micros(datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC))
    except ValueError:
        return None


@dataclass(frozen=True)
class Segment:
    """One immutable segment: a series file, and an events file where there are events."""

    folder: str
    """`tenant/application/day`."""
    start: int
    end: int
    generation: int
    level: int
    points: int
    """Samples in the series file."""
    events: int
    digest: str
    whole: bool = True
    """Whether it covers all of `[start, end)`; if not, the series file's metadata says what it covers."""
    series_bytes: int = 0
    events_bytes: int = 0

    @property
    def bytes(self) -> int:
        """Of both files."""
        return self.series_bytes + self.events_bytes

    @property
    def order(self) -> tuple[int, int, str]:
        """The higher one is newer."""
        return self.generation, self.level, self.digest

    @property
    def stem(self) -> str:
        """The key without the suffix of a file."""
        day = self.start // DAY_US * DAY_US
        return (
            f"{self.folder}/{_clock(self.start - day)}-{_clock(self.end - day)}-g{self.generation:08d}"
            f"-l{self.level}{'w' if self.whole else 'g'}-p{self.points}-e{self.events}-{self.digest}"
        )

    @property
    def series_key(self) -> str:
        """Key of the series file. The segment exists while this does."""
        return self.stem + SERIES_SUFFIX

    @property
    def events_key(self) -> str:
        """Key of the events file; there is none without events."""
        return self.stem + EVENTS_SUFFIX

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its files, the one that makes it exist first."""
        return (self.series_key, self.events_key) if self.events else (self.series_key,)


def segments_of(sizes: Mapping[str, int]) -> list[Segment]:
    """The segments among `key -> bytes`, oldest first. Other keys, and parts without a series file, are left out."""
    found = []
    for key in sizes:
        segment = _parsed(key)
        if segment is not None:
            events_bytes = sizes.get(segment.events_key, 0) if segment.events else 0
            found.append(replace(segment, series_bytes=sizes[key], events_bytes=events_bytes))
    return sorted(found, key=lambda each: (each.folder, each.order))


def _parsed(key: str) -> Segment | None:
    folder, _, name = key.rpartition("/")
    day = day_start(folder.rpartition("/")[2])
    if day is None or not name.endswith(SERIES_SUFFIX):
        return None
    match = _NAME.fullmatch(name.removesuffix(SERIES_SUFFIX))
    if match is None:
        return None
    return Segment(
        folder=folder,
        start=day + _since_midnight(match["start"]),
        end=day + _since_midnight(match["end"]),
        generation=int(match["generation"]),
        level=int(match["level"]),
        points=int(match["points"]),
        events=int(match["events"]),
        digest=match["digest"],
        whole=match["cover"] == "w",
    )


def _clock(since_midnight: int) -> str:
    seconds, fraction = divmod(since_midnight, SECOND_US)
    return f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}{fraction:06d}"


def _since_midnight(clock: str) -> int:
    hours, minutes, seconds, fraction = int(clock[:2]), int(clock[2:4]), int(clock[4:6]), int(clock[6:])
    return (hours * 3600 + minutes * 60 + seconds) * SECOND_US + fraction


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Their union, ascending; what touches or overlaps is one."""
    union: list[Range] = []
    for start, end in sorted(ranges):
        if union and start <= union[-1][1]:
            union[-1] = union[-1][0], max(union[-1][1], end)
        elif start < end:
            union.append((start, end))
    return union


def without(ranges: Iterable[Range], taken: Sequence[Range]) -> list[Range]:
    """What of `ranges` lies outside `taken`, which is ascending and disjoint."""
    left = []
    for start, end in ranges:
        for taken_start, taken_end in taken:
            if taken_end <= start:
                continue
            if taken_start >= end:
                break
            if start < taken_start:
                left.append((start, taken_start))
            start = taken_end
        if start < end:
            left.append((start, end))
    return left


def clipped(ranges: Iterable[Range], start: int, end: int) -> list[Range]:
    """What of `ranges` lies in `[start, end)`."""
    return [(max(a, start), min(b, end)) for a, b in ranges if max(a, start) < min(b, end)]


def live_ranges(covers: Sequence[tuple[Segment, Sequence[Range]]]) -> dict[Segment, list[Range]]:
    """Segment -> the ranges it speaks for: each instant belongs to the newest segment that covers it.

    Args:
        covers: Each segment of one day with what it covers.
    """
    live: dict[Segment, list[Range]] = {}
    taken: list[Range] = []
    for segment, cover in sorted(covers, key=lambda each: each[0].order, reverse=True):
        live[segment] = without(cover, taken)
        taken = joined([*taken, *cover])
    return live


@dataclass(frozen=True)
class Join:
    """Segments that are to become one."""

    segments: tuple[Segment, ...]
    """Oldest first."""
    level: int


def joins_of_day(segments: Sequence[Segment], *, day: int, now: int) -> list[Join]:
    """What is to be joined of one day's segments: all of them once the day is over, else each hour that is over.

    An hour waits when a segment that reaches beyond it is newer than some of its segments and older than others:
    joined, they could not be ordered against it. The day's join has all of them and ends that.
    """
    if day + DAY_US <= now and _points(segments) <= MAX_JOINED_POINTS:
        return [_join(segments, DAY_LEVEL)] if len(segments) > 1 else []
    hours: dict[int, list[Segment]] = {}
    for segment in segments:
        hour = segment.start // HOUR_US * HOUR_US
        if hour + HOUR_US <= now and segment.end <= hour + HOUR_US:
            hours.setdefault(hour, []).append(segment)
    return [
        _join(group, HOUR_LEVEL)
        for hour, group in sorted(hours.items())
        if len(group) > 1 and not _divided(group, segments, hour) and _points(group) <= MAX_JOINED_POINTS
    ]


def _points(segments: Iterable[Segment]) -> int:
    return sum(each.points for each in segments)


def _join(segments: Sequence[Segment], level: int) -> Join:
    return Join(tuple(sorted(segments, key=lambda each: each.order)), level)


def _divided(group: Sequence[Segment], segments: Sequence[Segment], hour: int) -> bool:
    lowest, highest = min(each.order for each in group), max(each.order for each in group)
    return any(
        lowest < each.order < highest and each.start < hour + HOUR_US and each.end > hour
        for each in segments
        if each not in group
    )
