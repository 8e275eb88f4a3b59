"""Slow worsening over days that no comparison of neighbouring windows shows, with the time of day taken out."""

import math
from statistics import NormalDist

import numpy as np

from selfbuild.domain.base import Value
from selfbuild.domain.telemetry import Direction, FloatArray, Measure, Series

DAY_S = 86_400
SLOT_S = 3_600
"""Samples are first gathered to medians of one hour: single slow periods are another matter."""
MIN_DAYS = 4.0
"""Shorter histories cannot tell a trend from the difference of two days."""
MIN_DAY_SLOTS = 6
"""Hours that must be measured before a day counts."""
MIN_SLOTS_SHARE = 0.5
"""Share of the hours that must be measured."""
MIN_DAILY_EFFECT = 0.015
"""Smallest worsening worth a word: 1.5 % a day, 11 % a week."""
MIN_Z = 3.0
"""Of the corrected Mann-Kendall statistic; the false alarms this leaves stand in benchmarks/trends.py."""
MAX_AUTOCORRELATION = 0.97
MAX_PAIR_SAMPLES = 400
"""Samples of which all pairs are compared; longer series are thinned evenly."""
SMALLEST = 1e-3


class Trend(Value):
    """A robust straight line through samples."""

    slope: float
    """Per unit of the times."""
    low: float
    high: float
    """95 % interval of the slope, widened for what neighbouring samples have in common."""
    z: float
    """Standard normal deviate of the Mann-Kendall test, corrected in the same way; positive for a rise."""
    autocorrelation: float
    """Of neighbouring samples after the trend is taken out, 0-1."""
    samples: int


class Creep(Value):
    """A level that gets worse day by day."""

    component: str
    measure: Measure
    metric: str
    daily_ratio: float
    """Relative change a day, 0.05 = 5 % worse every day; negative where lower is worse."""
    low: float
    high: float
    """95 % interval of `daily_ratio`."""
    days: float
    first_level: float
    """Fitted, unit of the series."""
    last_level: float
    z: float
    confidence: float
    sentence: str


def find_creep(series: Series) -> Creep | None:
    """Slow worsening of a series over days.

    Each hour is compared with the same hour of the other days, so a daily season and its missing hours do no harm.
    A series that made one step is left to the detectors of shifts.

    Args:
        series: At least four days in periods of an hour or less, positive values; compared as ratios.

    Returns:
        None where there is too little, where the direction of worse is unknown (`both`), where the level is steady
        or gets better, and where the trend cannot be told from what the series does anyway.
    """
    if series.worse is Direction.BOTH or series.period_s > SLOT_S:
        return None
    slots = _hourly(series)
    if slots is None:
        return None
    times, logs = _without_season(*slots)
    if len(times) == 0 or times[-1] - times[0] < MIN_DAYS - 0.5:
        return None
    trend = fit_trend(times, logs)
    sign = 1.0 if series.worse is Direction.UP else -1.0
    nearest = min(sign * trend.low, sign * trend.high)
    if sign * trend.z < MIN_Z or nearest <= 0 or sign * math.expm1(trend.slope) < MIN_DAILY_EFFECT:
        return None
    if _is_step(times, logs, trend.slope):
        return None
    return _creep(series, trend, days=float(times[-1] - times[0]), level=float(np.median(np.log(slots[1]))))


def fit_trend(times: FloatArray, values: FloatArray) -> Trend:
    """Theil-Sen line with the Mann-Kendall test, both corrected for autocorrelation.

    Args:
        times: Ascending, any unit; at least three.
        values: As long, finite. All equal: slope 0, z 0.

    Source:
        P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau" (1968); the variance is
        multiplied as for means of a first-order autoregression, (1 + r) / (1 - r), after Hamed and Rao (1998).
    """
    if len(times) > MAX_PAIR_SAMPLES:
        chosen = np.linspace(0, len(times) - 1, MAX_PAIR_SAMPLES).round().astype(int)
        times, values = times[chosen], values[chosen]
    n = len(times)
    first, second = np.triu_indices(n, 1)
    rises = values[second] - values[first]
    slopes = np.sort(rises / (times[second] - times[first]))
    slope = float(np.median(slopes))
    rest = values - slope * times
    correlation = _autocorrelation(times, rest - np.median(rest))
    inflation = (1 + correlation) / (1 - correlation)
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18 * inflation)
    score = float(np.sign(rises).sum())
    reach = NormalDist().inv_cdf(0.975) * deviation
    low = slopes[max(0, math.floor((len(slopes) - reach) / 2))]
    high = slopes[min(len(slopes) - 1, math.ceil((len(slopes) + reach) / 2))]
    return Trend(
        slope=slope,
        low=float(low),
        high=float(high),
        z=math.copysign(max(0.0, abs(score) - 1), score) / deviation,
        autocorrelation=correlation,
        samples=n,
    )


def _autocorrelation(times: FloatArray, rest: FloatArray) -> float:
    """Of samples one usual step apart, corrected for the bias of short series; between 0 and the largest believed."""
    steps = np.diff(times)
    adjacent = steps <= 1.5 * float(np.median(steps))
    spread = float((rest * rest).mean())
    if spread <= 0 or not adjacent.any():
        return 0.0
    raw = float((rest[1:] * rest[:-1])[adjacent].mean()) / spread
    # Taking out a mean biases by (1 + 4 r) / n, taking out a fitted slope by about as much again.
    return float(np.clip(raw + 2 * (1 + 4 * raw) / len(rest), 0.0, MAX_AUTOCORRELATION))


def _hourly(series: Series) -> tuple[FloatArray, FloatArray] | None:
    """Days since the epoch and medians of the hours with at least half of their samples; None for too few."""
    per_slot = SLOT_S // series.period_s
    present = series.present
    hours = np.floor(series.starts / SLOT_S).astype(int)
    found, counts = np.unique(hours[present], return_counts=True)
    kept = found[counts >= MIN_SLOTS_SHARE * per_slot]
    if len(kept) < MIN_SLOTS_SHARE * MIN_DAYS * DAY_S / SLOT_S:
        return None
    values = series.values.array
    order = np.searchsorted(hours, [kept, kept + 1])
    medians = [float(np.nanmedian(values[a:b])) for a, b in order.T]
    return kept * (SLOT_S / DAY_S), np.maximum(np.array(medians), SMALLEST)


def _without_season(times: FloatArray, levels: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logarithms with the usual level of each hour of the day taken out; hours of single days are left out.

    The season is fitted together with a straight line, so that hours that were measured on other days than the rest
    do not look like a season.
    """
    logs = np.log(levels)
    hour = np.round((times % 1.0) * 24).astype(int) % 24
    slope = 0.0
    usable = np.isin(hour, np.flatnonzero(np.bincount(hour, minlength=24) >= 2))
    times, logs, hour = times[usable], logs[usable], hour[usable]
    rest = logs
    for _ in range(3):
        flat = logs - slope * times
        season = np.array([float(np.median(flat[hour == h])) if (hour == h).any() else 0.0 for h in range(24)])
        rest = logs - season[hour]
        slope = float(np.polyfit(times, rest, 1)[0]) if len(times) > 2 else 0.0
    return times, rest


def _is_step(times: FloatArray, logs: FloatArray, slope: float) -> bool:
    """Whether one step fits better than the line; a slow rise leaves a quarter of its scatter to a step."""
    line = logs - slope * times
    n = len(logs)
    cuts = np.arange(MIN_DAY_SLOTS, n - MIN_DAY_SLOTS)
    sums = np.cumsum(logs)
    left, right = sums[cuts - 1] / cuts, (sums[-1] - sums[cuts - 1]) / (n - cuts)
    gain = float(((right - left) ** 2 * cuts * (n - cuts) / n).max())
    return float(((logs - logs.mean()) ** 2).sum()) - gain < float(((line - line.mean()) ** 2).sum())


def _creep(series: Series, trend: Trend, *, days: float, level: float) -> Creep:
    ratio, low, high = (math.expm1(x) for x in (trend.slope, trend.low, trend.high))
    first, last = (math.exp(level + side * trend.slope * days / 2) for side in (-1, 1))
    verb = "rises" if ratio > 0 else "falls"
    return Creep(
        component=series.component,
        measure=series.measure,
        metric=series.metric,
        daily_ratio=ratio,
        low=low,
        high=high,
        days=days,
        first_level=first,
        last_level=last,
        z=trend.z,
        confidence=min(0.99, 2 * NormalDist().cdf(abs(trend.z)) - 1),
        sentence=(
            f"{series.component}: {series.metric or series.measure.value} {verb} by {abs(ratio):.1%} a day "
            f"({min(abs(low), abs(high)):.1%} to {max(abs(low), abs(high)):.1%}), from {first:.3g} to {last:.3g} "
            f"within {days:.1f} days, compared at the same hours of the day"
        ),
    )
