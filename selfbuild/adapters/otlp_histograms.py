"""Histograms of OTLP as counts over ranges: differences of cumulative ones, merging, percentiles by interpolation."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from selfbuild.domain.telemetry import FloatArray

SPREAD = 64
"""Places that stand for the samples of one bucket at most: a percentile is exact to that part of a bucket."""
MAX_EXPONENT = 1000.0
"""Bounds of exponential buckets are kept within 2 to the power of this: beyond, a float overflows."""


class Histogram(NamedTuple):
    """Counts of one data point."""

    samples: float
    """How many."""
    total: float | None
    """Sum of the samples."""
    low: float | None
    """The least sample, where it is known."""
    high: float | None
    bounds: tuple[float, ...] = ()
    """Explicit upper bounds, ascending."""
    counts: tuple[float, ...] = ()
    """One more than `bounds`; empty where the point has no buckets."""
    scale: int | None = None
    """Of an exponential histogram; None = an explicit one."""
    exponents: Mapping[int, float] = {}
    """Bucket index -> count of positive samples."""
    negative: Mapping[int, float] = {}
    zeros: float = 0.0

    def minus(self, earlier: "Histogram") -> "Histogram | None":
        """What was added since `earlier`; None where that is no earlier state of this one."""
        if (self.scale is None) != (earlier.scale is None) or self.samples < earlier.samples:
            return None
        total = None if self.total is None or earlier.total is None else self.total - earlier.total
        rest = Histogram(self.samples - earlier.samples, total, None, None)
        if self.scale is None:
            if self.bounds != earlier.bounds or len(self.counts) != len(earlier.counts):
                return None
            counts = tuple(now - then for now, then in zip(self.counts, earlier.counts, strict=True))
            return rest._replace(bounds=self.bounds, counts=counts) if min(counts, default=0) >= 0 else None
        return self._minus_exponential(earlier, rest)

    def _minus_exponential(self, earlier: "Histogram", rest: "Histogram") -> "Histogram | None":
        assert self.scale is not None
        assert earlier.scale is not None
        shift = earlier.scale - self.scale
        if shift < 0:
            return None
        positive = _less(self.exponents, _coarser(earlier.exponents, shift))
        negative = _less(self.negative, _coarser(earlier.negative, shift))
        zeros = self.zeros - earlier.zeros
        if positive is None or negative is None or zeros < 0:
            return None
        return rest._replace(scale=self.scale, exponents=positive, negative=negative, zeros=zeros)

    def ranges(self) -> list[tuple[float, float, float]]:
        """(low, high, count) of each bucket with samples; empty where nothing is known of their values."""
        if self.samples == 1 and self.total is not None:
            return [(self.total, self.total, 1.0)]
        found = self._explicit_ranges() if self.scale is None else self._exponential_ranges(self.scale)
        if not found and self.low is not None and self.high is not None and self.samples:
            return [(self.low, self.high, self.samples)]
        return found

    def _explicit_ranges(self) -> list[tuple[float, float, float]]:
        if not self.bounds or len(self.counts) != len(self.bounds) + 1:
            return []
        low = self.low if self.low is not None else min(0.0, self.bounds[0])
        high = self.high if self.high is not None else self.bounds[-1]
        edges = [min(low, self.bounds[0]), *self.bounds, max(high, self.bounds[-1])]
        return [
            (_within(edges[n], self.low, self.high), _within(edges[n + 1], self.low, self.high), count)
            for n, count in enumerate(self.counts)
            if count > 0
        ]

    def _exponential_ranges(self, scale: int) -> list[tuple[float, float, float]]:
        found = [(-_bound(n + 1, scale), -_bound(n, scale), count) for n, count in sorted(self.negative.items())]
        found += [(0.0, 0.0, self.zeros)]
        found += [(_bound(n, scale), _bound(n + 1, scale), count) for n, count in sorted(self.exponents.items())]
        return [
            (_within(low, self.low, self.high), _within(high, self.low, self.high), count)
            for low, high, count in found
            if count > 0
        ]


class Samples(NamedTuple):
    """Values that stand for samples, ascending, each with the samples that it stands for."""

    values: FloatArray
    weights: FloatArray

    @classmethod
    def of(cls, ranges: Iterable[tuple[float, float, float]]) -> "Samples":
        """Samples spread evenly over each range."""
        values: list[FloatArray] = [np.empty(0)]
        weights: list[FloatArray] = [np.empty(0)]
        for low, high, count in ranges:
            places = 1 if high <= low else max(1, min(SPREAD, round(count)))
            steps = (np.arange(places) + 0.5) / places
            values.append(low + (high - low) * steps)
            weights.append(np.full(places, count / places))
        together, heavy = np.concatenate(values), np.concatenate(weights)
        order = np.argsort(together, kind="stable")
        return cls(together[order], heavy[order])

    @property
    def total(self) -> float:
        """Samples in all."""
        return float(self.weights.sum())

    def percentile(self, percent: float) -> float | None:
        """Linear interpolation between the closest ranks, as CloudWatch does; None without samples."""
        if not len(self.values):
            return None
        last = np.cumsum(self.weights)
        rank = percent / 100 * max(0.0, float(last[-1]) - 1)
        below, above = (self._at(last, edge) for edge in (math.floor(rank), math.ceil(rank)))
        return below + (rank - math.floor(rank)) * (above - below)

    def above(self, threshold: float) -> float:
        """How many samples are greater."""
        return float(self.weights[self.values > threshold].sum())

    def _at(self, last: FloatArray, rank: float) -> float:
        place = int(np.searchsorted(last, rank + 1e-9, side="right"))
        return float(self.values[min(place, len(self.values) - 1)])


def _less(now: Mapping[int, float], then: Mapping[int, float]) -> dict[int, float] | None:
    if any(count > now.get(index, 0.0) for index, count in then.items()):
        return None
    return {index: count - then.get(index, 0.0) for index, count in now.items()}


def _coarser(counts: Mapping[int, float], shift: int) -> dict[int, float]:
    """The buckets as a scale lower by `shift` has them."""
    merged: dict[int, float] = {}
    for index, count in counts.items():
        merged[index >> shift] = merged.get(index >> shift, 0.0) + count
    return merged


def _bound(index: int, scale: int) -> float:
    """Lower bound of a bucket: 2 ** (index / 2 ** scale)."""
    return float(2.0 ** max(-MAX_EXPONENT, min(MAX_EXPONENT, math.ldexp(index, -scale))))


def _within(value: float, low: float | None, high: float | None) -> float:
    raised = value if low is None else max(value, low)
    return raised if high is None else min(raised, high)


def total_of(histograms: Sequence[Histogram]) -> float | None:
    """Sum of all samples; None where one of them does not tell."""
    totals = [histogram.total for histogram in histograms if histogram.samples]
    return None if None in totals else math.fsum(total for total in totals if total is not None)
