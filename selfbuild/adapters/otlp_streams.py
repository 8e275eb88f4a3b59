"""Data points of OTLP put into periods: cumulative streams as increments, duplicates once, order restored."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from selfbuild.adapters.declared import percentile_of
from selfbuild.adapters.otlp_histograms import Samples, total_of
from selfbuild.adapters.otlp_json import MetricPoint

NS = 1_000_000_000
LONGEST_RATIO = 1.1
"""An exporter's interval of a period's length is never met exactly."""
Points = dict[float, float]
"""Start of a period, seconds since the epoch -> value."""
_TO_MILLISECONDS = {"s": 1e3, "ms": 1.0, "us": 1e-3, "ns": 1e-6}


class Cell(NamedTuple):
    """What was measured and added in one period, of whatever streams are looked at together."""

    points: tuple[MetricPoint, ...]

    def amount(self) -> float:
        """Increments added up; of a histogram its samples are counted."""
        return sum(p.histogram.samples if p.histogram else p.value or 0.0 for p in self.points)

    def samples(self, scale: float = 1.0) -> Samples | None:
        """All samples; None where a histogram does not tell how its samples are spread."""
        ranges: list[tuple[float, float, float]] = []
        for point in self.points:
            if point.histogram is None:
                ranges.append((point.value or 0.0, point.value or 0.0, 1.0))
                continue
            found = point.histogram.ranges()
            if point.histogram.samples and not found:
                return None
            ranges += found
        return Samples.of((low * scale, high * scale, count) for low, high, count in ranges)

    def mean(self, scale: float = 1.0) -> float | None:
        """Mean of all samples; None where a histogram has no sum, or where there is no sample."""
        histograms = [p.histogram for p in self.points if p.histogram is not None]
        values = [p.value for p in self.points if p.value is not None]
        total = total_of(histograms)
        count = sum(histogram.samples for histogram in histograms) + len(values)
        return None if total is None or not count else (total + sum(values)) * scale / count

    def statistic(self, name: str) -> float | None:
        """A statistic as CloudWatch names it; None where the points do not tell it."""
        percent = percentile_of(name)
        if name == "Average":
            return self.mean()
        if name == "Sum":
            histograms = [p.histogram for p in self.points if p.histogram is not None]
            total = total_of(histograms)
            return None if total is None else total + sum(p.value or 0.0 for p in self.points)
        samples = self.samples()
        if samples is None or not len(samples.values):
            return None
        if percent is not None:
            return samples.percentile(percent)
        edges = {"Minimum": float(samples.values[0]), "Maximum": float(samples.values[-1])}
        return edges.get(name, samples.total if name == "SampleCount" else None)


def milliseconds_per(unit: str) -> float:
    """How many milliseconds one of `unit` is; 1 for a unit that is no time."""
    return _TO_MILLISECONDS.get(unit, 1.0)


def increments(points: Iterable[MetricPoint], problems: Counter[str]) -> Iterator[MetricPoint]:
    """Values and increments in the order of time, each once; the state of cumulative streams by its differences.

    A stream that starts anew counts from nothing. The first state of a stream counts from its own start.
    """
    streams: dict[tuple[Any, ...], dict[tuple[int, int], MetricPoint]] = {}
    for point in points:
        at = (point.time_ns, 0 if point.kind == "total" else point.start_ns)
        streams.setdefault((*point.stream, point.kind), {})[at] = point
    for own in streams.values():
        ordered = [own[at] for at in sorted(own)]
        if ordered[0].kind != "total":
            yield from ordered
            continue
        before: MetricPoint | None = None
        for point in ordered:
            yield _increment(before, point, problems)
            before = point


def _increment(before: MetricPoint | None, now: MetricPoint, problems: Counter[str]) -> MetricPoint:
    if before is None:
        return now._replace(kind="increase")
    restarted = now.start_ns > before.start_ns and now.start_ns >= before.time_ns
    added = None if restarted else _added(before, now)
    if added is not None:
        return added._replace(kind="increase", start_ns=before.time_ns)
    problems["cumulative streams that started anew"] += 1
    return now._replace(kind="increase", start_ns=max(now.start_ns, before.time_ns))


def _added(before: MetricPoint, now: MetricPoint) -> MetricPoint | None:
    """The difference; None where the later state does not continue the earlier one."""
    if now.histogram is not None and before.histogram is not None:
        difference = now.histogram.minus(before.histogram)
        return None if difference is None else now._replace(histogram=difference)
    if now.value is None or before.value is None or now.value < before.value:
        return None
    return now._replace(value=now.value - before.value)


def within_period(points: Iterable[MetricPoint], period_s: int, problems: Counter[str]) -> Iterator[MetricPoint]:
    """The points without the increments that cover more than a period, and so belong to none."""
    longest_ns = period_s * NS * LONGEST_RATIO
    for point in points:
        if point.kind == "value" or not point.start_ns or point.time_ns - point.start_ns <= longest_ns:
            yield point
        else:
            problems[f"{point.name}: points that cover more than a period of {period_s} s"] += 1


def by_period(points: Iterable[MetricPoint], starts: Sequence[float], period_s: int) -> dict[float, Cell]:
    """The points of each period that has any; an increment belongs to the period in which it ends."""
    if not starts:
        return {}
    first_ns, period_ns = round(starts[0] * NS), period_s * NS
    cells: dict[int, list[MetricPoint]] = {}
    for point in points:
        instant = point.kind == "value" or not point.start_ns
        place = (point.time_ns - first_ns - (0 if instant else 1)) // period_ns
        if not 0 <= place < len(starts) or (point.value is None and point.histogram is None):
            continue
        cells.setdefault(place, []).append(point)
    return {starts[place]: Cell(tuple(own)) for place, own in sorted(cells.items())}
