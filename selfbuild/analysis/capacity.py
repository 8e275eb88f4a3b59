"""Resources that run out: in use too highly now, or by a trend that leads there. Pure; missing is never zero."""

import math
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from selfbuild.analysis.creep import Trend, fit_trend
from selfbuild.domain.base import Value
from selfbuild.domain.telemetry import FloatArray, Series

HIGH_PERCENT = 80.0
"""In use above which a resource counts as exhausted."""
CLEAR_PERCENT = 70.0
"""In use below which it has recovered: between the two nothing changes."""
SUSTAINED_SAMPLES = 6
"""Samples in a row of which the median, and all but one, must be on the other side of the bound."""
FULL_PERCENT = 100.0
HOUR_S = 3_600
DAY_S = 86_400
MIN_HOURS = 6
"""Hours with samples below which no trend is fitted."""
MIN_Z = 3.5
"""Of the corrected Mann-Kendall statistic: stricter than for creep, since it is said how long is left."""
MIN_RISE_POINTS = 3.0
"""Smallest rise over the history, in per cent points."""
MAX_INTERVAL_RATIO = 6.0
"""Upper over lower bound of the slope above which the time left says nothing."""
MAX_DAYS_LEFT = 30.0
"""A resource that lasts longer is no concern yet."""
MIN_DROP_POINTS = 5.0
"""A fall within one hour by this much, and by half of the range in use, is a restart or a collection."""
MIN_RESTARTS = 2
MIN_TOOTH_HOURS = 3
MIN_TEETH_Z = 5.0
"""Of the trends of all stretches together: cuts at the deepest falls make the stretches of mere noise rise."""
MIN_COVERED = 0.6
"""Share of the hours that must lie in stretches long enough to have a trend: else it is noise that falls."""
MIN_RISING_TEETH = 0.8
"""Share of the stretches between restarts that must rise."""


class Pattern(StrEnum):
    """How a resource fills up."""

    STEADY = "steady"
    """It rises and does not come back."""
    RESTARTS = "restarts"
    """It rises and is set back again and again, as memory that leaks until the process is restarted."""


class Exhaustion(Value):
    """A resource that is highly in use at the end of the series and has been for a while."""

    component: str
    metric: str
    since: float
    """Start of the first high period, seconds since the epoch."""
    level_percent: float
    """Median since then."""
    highest_percent: float
    samples: int
    """Since then; absent ones are not counted."""
    confidence: float
    sentence: str


class Forecast(Value):
    """When a resource will be full if it goes on as it does."""

    component: str
    metric: str
    pattern: Pattern
    points_per_day: float
    points_per_day_low: float
    points_per_day_high: float
    """95 % interval."""
    level_percent: float
    """At the end of the series: as measured, or of the fitted line, around which a daily season may swing."""
    days_left: float
    days_left_low: float
    days_left_high: float
    """From the interval of the slope and the scatter around it; until the limit that was asked for."""
    restarts: int
    confidence: float
    sentence: str


class _Rise(NamedTuple):
    pattern: Pattern
    slope: float
    low: float
    high: float
    level: float
    scatter: float
    """Standard deviation of the hours around the line, in per cent points."""
    restarts: int
    rising_share: float


def find_exhaustion(
    series: Series, *, high_percent: float = HIGH_PERCENT, clear_percent: float = CLEAR_PERCENT
) -> Exhaustion | None:
    """A resource in use above the bound at the end of the series, not for one spike.

    Args:
        series: Per cent in use, 0-100.
        high_percent: Above it the resource counts as exhausted once six samples in a row, but for one, are.
        clear_percent: Below it, in the same way, it has recovered.

    Returns:
        None with fewer than six samples, and where the resource recovered before the end.
    """
    present = series.present
    starts, levels = series.starts[present], series.values.array[present]
    since = _high_since(levels, high_percent, clear_percent)
    if since is None:
        return None
    during = levels[since:]
    level, highest = float(np.median(during)), float(during.max())
    above = int((during > high_percent).sum())
    lasted_h = (float(starts[-1]) + series.period_s - float(starts[since])) / HOUR_S
    return Exhaustion(
        component=series.component,
        metric=series.metric,
        since=float(starts[since]),
        level_percent=level,
        highest_percent=highest,
        samples=len(during),
        confidence=min(0.99, (above + 1) / (len(during) + 2) + 0.05),
        sentence=(
            f"{series.component}: {series.metric or series.measure.value} has been at {level:.0f} % (highest "
            f"{highest:.0f} %) for {lasted_h:.1f} h; {above} of {len(during)} samples were above {high_percent:.0f} %"
        ),
    )


def _high_since(levels: FloatArray, high: float, clear: float) -> int | None:
    """Place of the first sample of the high stretch that lasts to the end."""
    since: int | None = None
    for end in range(SUSTAINED_SAMPLES, len(levels) + 1):
        recent = levels[end - SUSTAINED_SAMPLES : end]
        if since is None and _beyond(recent, high):
            since = end - SUSTAINED_SAMPLES + int(np.argmax(recent > high))
        elif since is not None and _beyond(-recent, -clear):
            since = None
    return since


def _beyond(recent: FloatArray, bound: float) -> bool:
    return float(np.median(recent)) > bound and int((recent > bound).sum()) >= SUSTAINED_SAMPLES - 1


def forecast_exhaustion(series: Series, *, limit_percent: float = FULL_PERCENT) -> Forecast | None:
    """When a resource will reach the limit, with its interval.

    With two days or more the trend is that of the same hours of different days, so that a daily rise is no trend;
    with less, a rise of one day could be its season, so only a rise that is set back by restarts is spoken of.

    Args:
        series: Per cent in use, 0-100, in periods of an hour or less.
        limit_percent: What counts as full.

    Returns:
        None where the trend is not clear, its interval too wide, or the limit more than 30 days away.
    """
    if series.period_s > HOUR_S:
        return None
    times, levels = _hourly(series)
    if len(times) < MIN_HOURS:
        return None
    restarts = _restarts(levels)
    if len(restarts) >= MIN_RESTARTS and not _recur_daily(times[restarts]):
        return _by_teeth(series, times, levels, restarts, limit_percent)
    return _by_days(series, times, levels, limit_percent)


def _hourly(series: Series) -> tuple[FloatArray, FloatArray]:
    """Days since the epoch, and medians, of the hours that have samples."""
    present = series.present
    hours = np.floor(series.starts[present] / HOUR_S)
    levels = series.values.array[present]
    found, firsts = np.unique(hours, return_index=True)
    medians = [float(np.median(part)) for part in np.split(levels, firsts[1:])] if len(found) else []
    return found * (HOUR_S / DAY_S), np.array(medians, dtype=np.float64)


def _restarts(levels: FloatArray) -> FloatArray:
    """Places of the first hour after each sudden fall, as integers."""
    spread = float(np.quantile(levels, 0.98) - np.quantile(levels, 0.02))
    # Two hours: a restart within an hour leaves its median between the levels before and after.
    falls = levels[:-2] - levels[2:]
    sharp = np.flatnonzero(falls > max(MIN_DROP_POINTS, spread / 2))
    first = sharp[np.flatnonzero(np.diff(sharp, prepend=-10) > 1)] if len(sharp) else sharp
    return np.asarray(first + 2)


def _recur_daily(times: FloatArray) -> bool:
    """Whether all falls come at one time of the day, at most one a day: a season or a nightly job, not a leak."""
    hours = times % 1.0 * 2 * math.pi
    together = math.hypot(float(np.cos(hours).mean()), float(np.sin(hours).mean()))
    return together > 0.9 and bool((np.diff(times) > 0.8).all())


def _by_teeth(
    series: Series, times: FloatArray, levels: FloatArray, restarts: FloatArray, limit: float
) -> Forecast | None:
    """The rise between restarts; how long the stretch that runs would last without one."""
    bounds = [0, *(int(r) for r in restarts), len(levels)]
    trends = []
    for first, last in pairwise(bounds):
        # The hour before the next restart may hold part of it.
        end = last - 1 if last < len(levels) else last
        if end - first >= MIN_TOOTH_HOURS:
            trends.append(fit_trend(times[first:end], levels[first:end]))
    slopes = np.array([t.slope for t in trends])
    rising = slopes[slopes > 0]
    if len(slopes) < MIN_RESTARTS or len(rising) < MIN_RISING_TEETH * len(slopes):
        return None
    together = sum(t.z for t in trends) / math.sqrt(len(trends))
    if together < MIN_TEETH_Z or sum(t.samples for t in trends) < MIN_COVERED * len(levels):
        return None
    slope = float(np.median(slopes))
    low, high = float(np.quantile(rising, 0.1)), float(np.quantile(rising, 0.9))
    rise = _Rise(
        pattern=Pattern.RESTARTS,
        slope=slope,
        low=low,
        high=high,
        level=float(levels[-1]),
        scatter=float(np.median(np.abs(np.diff(levels)))),
        restarts=len(restarts),
        rising_share=len(rising) / len(slopes),
    )
    return _forecast(series, rise, limit)


def _by_days(series: Series, times: FloatArray, levels: FloatArray, limit: float) -> Forecast | None:
    if times[-1] - times[0] < 2.0 - 1 / 24:
        return None
    rest = _without_season(times, levels)
    trend = fit_trend(times, rest)
    gained = trend.slope * float(times[-1] - times[0])
    if trend.z < MIN_Z or trend.low <= 0 or gained < MIN_RISE_POINTS or _one_step(rest, times, trend):
        return None
    last_day = times > times[-1] - 1.0
    level = float(np.median((levels - trend.slope * times)[last_day])) + trend.slope * (float(times[-1]) + 0.5 / 24)
    line = rest - trend.slope * times
    rise = _Rise(
        pattern=Pattern.STEADY,
        slope=trend.slope,
        low=trend.low,
        high=trend.high,
        level=level,
        scatter=1.4826 * float(np.median(np.abs(line - np.median(line)))),
        restarts=0,
        rising_share=1.0,
    )
    return _forecast(series, rise, limit)


def _without_season(times: FloatArray, levels: FloatArray) -> FloatArray:
    """Levels with the usual deviation of each hour of the day taken out; the line is fitted along."""
    hour = np.round((times % 1.0) * 24).astype(int) % 24
    slope, rest = 0.0, levels
    for _ in range(3):
        flat = levels - slope * times
        season = np.array([float(np.median(flat[hour == h])) if (hour == h).any() else 0.0 for h in range(24)])
        rest = levels - season[hour]
        slope = float(np.polyfit(times, rest, 1)[0])
    return rest


def _one_step(rest: FloatArray, times: FloatArray, trend: Trend) -> bool:
    """Whether one step explains the rise better than the line: what changed once need not go on."""
    n = len(rest)
    cuts = np.arange(2, n - 1)
    sums = np.cumsum(rest)
    left, right = sums[cuts - 1] / cuts, (sums[-1] - sums[cuts - 1]) / (n - cuts)
    gain = float(((right - left) ** 2 * cuts * (n - cuts) / n).max())
    line = rest - trend.slope * times
    return float(((rest - rest.mean()) ** 2).sum()) - gain < float(((line - line.mean()) ** 2).sum())


def _forecast(series: Series, rise: _Rise, limit: float) -> Forecast | None:
    if rise.low <= 0 or rise.high / rise.low > MAX_INTERVAL_RATIO:
        return None
    left = max(0.0, limit - rise.level)
    days = left / rise.slope
    soonest = max(0.0, left - 2 * rise.scatter) / rise.high
    latest = (left + 2 * rise.scatter) / rise.low
    if days > MAX_DAYS_LEFT:
        return None
    how = f", set back {rise.restarts} times," if rise.restarts else ""
    without = "without another restart " if rise.restarts else ""
    return Forecast(
        component=series.component,
        metric=series.metric,
        pattern=rise.pattern,
        points_per_day=rise.slope,
        points_per_day_low=rise.low,
        points_per_day_high=rise.high,
        level_percent=rise.level,
        days_left=days,
        days_left_low=soonest,
        days_left_high=latest,
        restarts=rise.restarts,
        confidence=min(0.95, rise.rising_share * (0.5 + 0.5 * rise.low / rise.high)),
        sentence=(
            f"{series.component}: {series.metric or series.measure.value} rises by {rise.slope:.3g} points a day "
            f"({rise.low:.3g} to {rise.high:.3g}){how} and stands at {rise.level:.0f} %; {without}it reaches "
            f"{limit:.0f} % in {_time(days)} ({_time(soonest)} to {_time(latest)})"
        ),
    )


def _time(days: float) -> str:
    return f"{days:.1f} days" if days >= 2 else f"{days * 24:.1f} h"
