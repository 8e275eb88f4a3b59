"""CloudWatch statistics over one period of samples: parsing their names and computing their values."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from localaws.errors import AwsError

Kind = Literal["Average", "Sum", "Minimum", "Maximum", "SampleCount", "P", "TM", "WM", "TC", "TS", "PR"]

_SIMPLE: dict[str, Kind] = {
    "Average": "Average",
    "Sum": "Sum",
    "Minimum": "Minimum",
    "Maximum": "Maximum",
    "SampleCount": "SampleCount",
}
_TRIMMED: dict[str, Kind] = {"TM": "TM", "WM": "WM", "TC": "TC", "TS": "TS", "PR": "PR"}
_NUMBER = r"\d+(?:\.\d{1,10})?"
_SHORT = re.compile(rf"(p|tm|wm|tc|ts)({_NUMBER})", re.IGNORECASE)
_RANGE = re.compile(rf"(TM|WM|TC|TS|PR)\(({_NUMBER})?(%)?:({_NUMBER})?(%)?\)", re.IGNORECASE)

Weighted = tuple[float, float]
"""A value and how often it occurred."""


@dataclass(frozen=True)
class Statistic:
    """A parsed statistic name."""

    kind: Kind
    low: float | None = None
    """Lower bound, excluded when absolute; None means unbounded. The rank in percent for kind P."""
    high: float | None = None
    """Upper bound, included; None means unbounded."""
    is_percent: bool = False
    """True when the bounds are percentiles, false when they are values."""


@dataclass(frozen=True, slots=True)
class StatisticSet:
    """Samples that were aggregated before they were published."""

    at_s: float
    count: float
    total: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Bucket:
    """The samples of one period; `values` and `counts` have equal length."""

    values: Sequence[float]
    counts: Sequence[float]
    sets: Sequence[StatisticSet] = ()

    def sample_count(self) -> float:
        return math.fsum(self.counts) + math.fsum(s.count for s in self.sets)

    def total(self) -> float:
        return math.fsum(v * c for v, c in zip(self.values, self.counts, strict=True)) + math.fsum(
            s.total for s in self.sets
        )


def parse_statistic(name: str) -> Statistic:
    """Reads a statistic name such as `Sum`, `p99.9`, `tm90`, `TC(12.5:)` or `IQM`.

    Raises:
        AwsError: The name is none that CloudWatch knows.
    """
    if name in _SIMPLE:
        return Statistic(_SIMPLE[name])
    if name.upper() == "IQM":
        return Statistic("TM", 25.0, 75.0, is_percent=True)
    if short := _SHORT.fullmatch(name):
        rank = float(short[2])
        if rank > 100:
            raise _bad(name)
        if short[1].lower() == "p":
            return Statistic("P", rank)
        return Statistic(_TRIMMED[short[1].upper()], None, rank, is_percent=True)
    if bounds := _RANGE.fullmatch(name):
        return _parse_range(name, bounds)
    raise _bad(name)


def _parse_range(name: str, found: re.Match[str]) -> Statistic:
    kind = _TRIMMED[found[1].upper()]
    low, high = found[2], found[4]
    percents = {bool(mark) for bound, mark in ((low, found[3]), (high, found[5])) if bound is not None}
    stray = (low is None and found[3]) or (high is None and found[5])
    if len(percents) != 1 or stray:
        raise _bad(name)
    is_percent = percents.pop()
    lower = None if low is None else float(low)
    upper = None if high is None else float(high)
    if lower is not None and upper is not None and lower >= upper:
        raise _bad(name)
    if is_percent and (kind == "PR" or max(lower or 0.0, upper or 0.0) > 100):
        raise _bad(name)
    return Statistic(kind, lower, upper, is_percent=is_percent)


def _bad(name: str) -> AwsError:
    return AwsError("ValidationError", f"The value {name!r} for parameter Stat is not supported.")


def compute(statistic: Statistic, bucket: Bucket) -> float | None:
    """The statistic of one period.

    Args:
        statistic: What to compute.
        bucket: The samples of the period, in any order.

    Returns:
        None where CloudWatch shows no datapoint: no samples, nothing inside the bounds of a mean, or a
        distribution statistic over statistic sets whose distribution is unknown. Counts and sums of an empty
        selection are 0.

    Source:
        Amazon CloudWatch User Guide, "CloudWatch statistics definitions". Percentiles interpolate linearly
        between closest ranks; absolute bounds exclude the lower and include the upper value.
    """
    count = bucket.sample_count()
    if count <= 0:
        return None
    kind = statistic.kind
    if kind == "SampleCount":
        return count
    if kind == "Sum":
        return bucket.total()
    if kind == "Average":
        return bucket.total() / count
    if kind == "Minimum":
        return min([*bucket.values, *(s.minimum for s in bucket.sets)])
    if kind == "Maximum":
        return max([*bucket.values, *(s.maximum for s in bucket.sets)])
    if bucket.sets:
        return None
    pairs = sorted((v, c) for v, c in zip(bucket.values, bucket.counts, strict=True) if c > 0)
    if kind == "P":
        return _percentile(pairs, count, statistic.low or 0.0)
    return _trimmed(statistic, pairs, count)


def _percentile(pairs: Sequence[Weighted], count: float, rank_percent: float) -> float:
    position = round(rank_percent / 100 * (count - 1), 9) if count > 1 else 0.0
    below = math.floor(position)
    value = _value_at(pairs, below)
    fraction = position - below
    if fraction == 0:
        return value
    return value + fraction * (_value_at(pairs, below + 1) - value)


def _value_at(pairs: Sequence[Weighted], index: int) -> float:
    seen = 0.0
    for value, weight in pairs:
        seen += weight
        if index < seen:
            return value
    return pairs[-1][0]


def _trimmed(statistic: Statistic, pairs: Sequence[Weighted], count: float) -> float | None:
    kept = list(_by_rank(statistic, pairs, count) if statistic.is_percent else _by_value(statistic, pairs))
    kept_count = math.fsum(weight for _, weight in kept)
    kind = statistic.kind
    if kind == "TC":
        return kept_count
    if kind == "PR":
        return 100.0 * kept_count / count
    if kind == "WM":
        return _winsorized_mean(statistic, pairs, kept, count)
    total = math.fsum(value * weight for value, weight in kept)
    if kind == "TS":
        return total
    return total / kept_count if kept_count else None


def _by_value(statistic: Statistic, pairs: Iterable[Weighted]) -> Iterator[Weighted]:
    low = -math.inf if statistic.low is None else statistic.low
    high = math.inf if statistic.high is None else statistic.high
    return ((value, weight) for value, weight in pairs if low < value <= high)


def _by_rank(statistic: Statistic, pairs: Iterable[Weighted], count: float) -> Iterator[Weighted]:
    """Keeps ranks from floor(low % of n) to ceil(high % of n); rounding hides binary fractions."""
    first = math.floor(round((statistic.low or 0.0) * count / 100, 9))
    end = math.ceil(round((100.0 if statistic.high is None else statistic.high) * count / 100, 9))
    seen = 0.0
    for value, weight in pairs:
        inside = min(seen + weight, end) - max(seen, first)
        if inside > 0:
            yield value, inside
        seen += weight


def _winsorized_mean(
    statistic: Statistic, pairs: Sequence[Weighted], kept: Sequence[Weighted], count: float
) -> float | None:
    """Mean with outliers set to the nearest bound: the bound itself, or the outermost value kept by rank."""
    if statistic.is_percent:
        if not kept:
            return None
        low, high = kept[0][0], kept[-1][0]
    else:
        low = -math.inf if statistic.low is None else statistic.low
        high = math.inf if statistic.high is None else statistic.high
    return math.fsum(min(max(value, low), high) * weight for value, weight in pairs) / count
