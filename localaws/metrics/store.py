"""Columnar, bounded, thread-safe storage of metric samples; it knows nothing of AWS requests."""

import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from localaws.metrics.statistics import Bucket, Statistic, StatisticSet, compute

Dimensions = tuple[tuple[str, str], ...]
"""Name and value pairs, sorted by name."""


@dataclass(frozen=True)
class MetricId:
    """What tells one metric from another: a missing dimension is a different metric."""

    namespace: str
    name: str
    dimensions: Dimensions = ()


@dataclass(frozen=True)
class Retention:
    """How much a process keeps before it drops the oldest."""

    max_age_s: float = 14 * 86_400.0
    max_points: int = 1_000_000
    """Metric samples over all metrics of the process."""
    max_log_events: int = 1_000_000
    """Log events over all streams of the process."""


def _doubles() -> "array[float]":
    return array("d")


@dataclass
class Series:
    """The samples of one metric: three parallel columns of 8 bytes each, sorted by time when read."""

    metric: MetricId
    times: "array[float]" = field(default_factory=_doubles)
    values: "array[float]" = field(default_factory=_doubles)
    counts: "array[float]" = field(default_factory=_doubles)
    sets: list[StatisticSet] = field(default_factory=list)
    units: set[str] = field(default_factory=set)
    last_at_s: float = 0.0
    is_sorted: bool = True

    def add(self, at_s: float, value: float, count: float) -> None:
        if self.times and at_s < self.times[-1]:
            self.is_sorted = False
        self.times.append(at_s)
        self.values.append(value)
        self.counts.append(count)
        self.last_at_s = max(self.last_at_s, at_s)

    def add_set(self, item: StatisticSet) -> None:
        self.sets.append(item)
        self.is_sorted = False
        self.last_at_s = max(self.last_at_s, item.at_s)

    def sort(self) -> None:
        if self.is_sorted:
            return
        order = sorted(range(len(self.times)), key=self.times.__getitem__)
        self.times = array("d", map(self.times.__getitem__, order))
        self.values = array("d", map(self.values.__getitem__, order))
        self.counts = array("d", map(self.counts.__getitem__, order))
        self.sets.sort(key=lambda item: item.at_s)
        self.is_sorted = True

    def points_before(self, cutoff_s: float) -> int:
        self.sort()
        return bisect_left(self.times, cutoff_s) + bisect_left(self.sets, cutoff_s, key=lambda s: s.at_s)

    def drop_before(self, cutoff_s: float) -> int:
        dropped = self.points_before(cutoff_s)
        index = bisect_left(self.times, cutoff_s)
        for column in (self.times, self.values, self.counts):
            del column[:index]
        self.sets = [item for item in self.sets if item.at_s >= cutoff_s]
        return dropped

    def buckets(self, start_s: float, end_s: float, period_s: int) -> Iterator[tuple[float, Bucket]]:
        """Non-empty periods that overlap `[start_s, end_s)`, aligned to multiples of the period."""
        self.sort()
        index, end = bisect_left(self.times, start_s), bisect_left(self.times, end_s)
        sets = [item for item in self.sets if start_s <= item.at_s < end_s]
        while index < end or sets:
            first = min(
                self.times[index] if index < end else sets[0].at_s,
                sets[0].at_s if sets else self.times[index],
            )
            begins = first // period_s * period_s
            stop = bisect_left(self.times, begins + period_s, index, end)
            inside = [item for item in sets if item.at_s < begins + period_s]
            yield begins, Bucket(self.values[index:stop], self.counts[index:stop], inside)
            index, sets = stop, sets[len(inside) :]


class MetricStore:
    """Samples of all metrics of one account and region."""

    def __init__(self, clock: Callable[[], float], retention: Retention) -> None:
        self._clock = clock
        self.retention = retention
        self._series: dict[MetricId, Series] = {}
        self._lock = threading.RLock()
        self._point_count = 0
        self._next_expiry_s = 0.0

    @property
    def point_count(self) -> int:
        """Samples held; a statistic set counts as one."""
        return self._point_count

    def put(self, metric: MetricId, at_s: float, samples: Sequence[tuple[float, float]], *, unit: str | None) -> None:
        """Adds `(value, count)` samples of one instant."""
        with self._lock:
            series = self._series_of(metric, unit)
            for value, count in samples:
                series.add(at_s, value, count)
            self._grow(len(samples))

    def put_set(self, metric: MetricId, item: StatisticSet, *, unit: str | None) -> None:
        """Adds an aggregate; one whose samples all have the same value keeps its distribution."""
        if item.minimum == item.maximum:
            self.put(metric, item.at_s, [(item.minimum, item.count)], unit=unit)
            return
        with self._lock:
            self._series_of(metric, unit).add_set(item)
            self._grow(1)

    def query(
        self, metric: MetricId, statistic: Statistic, *, start_s: float, end_s: float, period_s: int
    ) -> dict[float, float]:
        """Values of a statistic by the start of their period, in time order; empty for an unknown metric."""
        with self._lock:
            series = self._series.get(metric)
            if series is None:
                return {}
            found = ((at_s, compute(statistic, b)) for at_s, b in series.buckets(start_s, end_s, period_s))
            return {at_s: value for at_s, value in found if value is not None}

    def units(self, metric: MetricId) -> frozenset[str]:
        """Units the metric was published with."""
        with self._lock:
            series = self._series.get(metric)
            return frozenset(series.units) if series else frozenset()

    def metrics(self, *, active_since_s: float = 0.0) -> list[MetricId]:
        """Metrics with samples, in the order of their first sample."""
        with self._lock:
            return [metric for metric, s in self._series.items() if s.last_at_s >= active_since_s]

    def _series_of(self, metric: MetricId, unit: str | None) -> Series:
        series = self._series.get(metric)
        if series is None:
            series = self._series[metric] = Series(metric)
        series.units.add(unit or "None")
        return series

    def _grow(self, added: int) -> None:
        self._point_count += added
        now_s = self._clock()
        if now_s >= self._next_expiry_s:
            # A full pass over all series is too dear for every put; an hour late is soon enough.
            self._next_expiry_s = now_s + 3_600
            self._drop_before(now_s - self.retention.max_age_s)
        if self._point_count > self.retention.max_points:
            self._drop_before(self._cutoff(self._point_count - self.retention.max_points * 9 // 10))

    def _cutoff(self, excess: int) -> float:
        """The earliest time before which at least `excess` samples lie, to a millisecond."""
        low = min(s.times[0] if s.times else s.sets[0].at_s for s in self._sorted() if s.times or s.sets)
        high = max(s.last_at_s for s in self._series.values()) + 0.001
        while high - low > 0.001:
            middle = (low + high) / 2
            if sum(s.points_before(middle) for s in self._series.values()) >= excess:
                high = middle
            else:
                low = middle
        return high

    def _sorted(self) -> Iterator[Series]:
        for series in self._series.values():
            series.sort()
            yield series

    def _drop_before(self, cutoff_s: float) -> None:
        for metric, series in list(self._series.items()):
            self._point_count -= series.drop_before(cutoff_s)
            if not series.times and not series.sets:
                del self._series[metric]
