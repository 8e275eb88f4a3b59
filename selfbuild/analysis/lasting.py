"""Where a level changed that stands out of days of history, with the time of day taken out."""

import numpy as np

from selfbuild.analysis.detect import MIN_RECENT, SMALLEST, Shift
from selfbuild.analysis.screening import Standing
from selfbuild.domain.telemetry import Direction, FloatArray, Series

DAY_S = 86_400
SLOTS = 96
"""Quarters of an hour, whose medians over the days are the usual course of a day."""
MIN_DAYS = 3.0
"""Days of history from which a usual course is believed."""
REGIME_S = 86_400


class LevelChange(Shift):
    """A shift with how it is called and how sure it is."""

    kind: str = "level_shift"
    confidence: float


def lasting_change(series: Series, standing: Standing, *, window_start: float, min_effect: float) -> LevelChange | None:
    """The change of level that lasts to the end of the series, if the window holds one that matters.

    Args:
        series: A long one, which the screen has found to stand out: how sure that is is known.
        standing: How it stands out.
        window_start: Seconds since the epoch; the change may lie a little before it, not more.
        min_effect: Smallest relative change of the level, against the same time of the days before.

    Returns:
        None where the deviation has passed, goes the other way or is too small.
    """
    starts, values = series.sampled()
    inside = starts >= window_start
    if len(values) - int(inside.sum()) < MIN_RECENT or inside.sum() < MIN_RECENT:
        return None
    logs = np.log(np.maximum(values, SMALLEST))
    residuals = logs - _usual(starts, logs, before=window_start)
    cut = _best_cut(residuals, first=int(np.argmax(inside)))
    past, recent = residuals[:cut], residuals[cut:]
    change = float(np.median(recent) - np.median(past))
    sign = -1.0 if series.worse is Direction.DOWN or (series.worse is Direction.BOTH and change < 0) else 1.0
    least = np.log1p(min_effect) if sign > 0 else -np.log1p(-min(min_effect, 0.99))
    if sign * change < least or not _lasts(recent, float(np.median(past)), sign * least / 2, sign):
        return None
    after = float(np.median(values[cut:]))
    started = float(starts[cut])
    regime = float(starts[-1]) - started >= REGIME_S
    return LevelChange(
        before=after / float(np.exp(change)),
        after=after,
        ratio=float(np.exp(change)),
        z=_deviate(past, len(recent), sign * change),
        past_samples=cut,
        recent_samples=len(recent),
        started=started,
        kind="regime_change" if regime else "level_shift",
        confidence=standing.confidence,
    )


def _usual(starts: FloatArray, logs: FloatArray, *, before: float) -> FloatArray:
    """The usual course of a day at each sample; zero for a history too short to know it."""
    known = starts < before
    if not known.any() or starts[known][-1] - starts[0] < MIN_DAYS * DAY_S:
        return np.zeros(len(logs))
    slots = ((starts % DAY_S) * SLOTS // DAY_S).astype(int)
    level = float(np.median(logs[known]))
    course = np.zeros(SLOTS)
    order = np.argsort(slots[known], kind="stable")
    sorted_slots, sorted_logs = slots[known][order], logs[known][order]
    bounds = np.searchsorted(sorted_slots, np.arange(SLOTS + 1))
    for slot in range(SLOTS):
        mine = sorted_logs[bounds[slot] : bounds[slot + 1]]
        if len(mine):
            course[slot] = float(np.median(mine)) - level
    usual: FloatArray = course[slots]
    return usual


def _best_cut(residuals: FloatArray, *, first: int) -> int:
    """The cut within the window that leaves least scatter around the two means."""
    n = len(residuals)
    cuts = np.arange(max(MIN_RECENT, first), n - MIN_RECENT + 1)
    sums = np.cumsum(residuals)
    left, right = sums[cuts - 1] / cuts, (sums[-1] - sums[cuts - 1]) / (n - cuts)
    return int(cuts[np.argmax((right - left) ** 2 * cuts * (n - cuts))])


def _lasts(recent: FloatArray, usual: float, least: float, sign: float) -> bool:
    """Whether the end is still away from the usual level: the last third, by half of the least effect at least."""
    end = recent[-max(MIN_RECENT, len(recent) // 3) :]
    return sign * (float(np.median(end)) - usual) >= sign * least


def _deviate(past: FloatArray, length: int, change: float) -> float:
    """The change in standard deviations of past means over as many samples, at most 99."""
    blocks = past[len(past) % length :].reshape(-1, length).mean(axis=1) if length <= len(past) else past
    spread = float(np.std(blocks, ddof=1)) if len(blocks) > 1 else float(np.std(past))
    return min(99.0, change / max(spread, 1e-6))
