"""Finds lasting shifts of a level in one series. Pure arithmetic; what a shift means is said elsewhere.

A shift is judged by the mean of the newest samples against the distribution of past means over as many samples,
so that a service that wanders is not mistaken for one that broke.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median, stdev
from typing import Literal, NamedTuple

from selfbuild.domain.base import Value

MIN_PAST = 4
MIN_RECENT = 3
"""Samples before and after a shift without which nothing can be said."""
MIN_BLOCKS = 8
"""Past means from which their own spread is used; below it the spread of single samples has to do."""
MIN_AUTOCORRELATION_SAMPLES = 20
"""Below this the correlation of neighbouring samples cannot be measured and counts as none."""
MAX_AUTOCORRELATION = 0.8
SHORT_SERIES = 60
"""Samples up to which a shift may lie anywhere, even before the window: a short history has no old news."""
NOISE_FLOOR = 0.05
"""Smallest spread of log samples that is believed, so that a flat history does not make every wobble certain."""
SMALLEST = 1e-3
"""Samples are compared as ratios; those at or below zero are taken for this (1 µs in milliseconds)."""
MIN_Z = 4.0
"""Certainty asked of the best of all change points tried. The chance that pure noise reaches it on one side is
3 in 100,000 for each; measured false alarms stand in the tests."""


class Shift(Value):
    """A lasting change of level at the end of a series."""

    before: float
    """Median before the shift, in the unit of the series."""
    after: float
    """Median since."""
    ratio: float
    """after / before by the geometric means; above 1 is a rise."""
    z: float
    """Standard normal deviate of the change, positive for a change in the direction looked for."""
    past_samples: int
    recent_samples: int
    started: float
    """Start of the first changed period, seconds since the epoch."""


class _Split(NamedTuple):
    first_recent: int
    z: float
    log_ratio: float


def find_shift(
    starts: Sequence[float],
    values: Sequence[float],
    *,
    window_start: float,
    direction: Literal["up", "down"],
    min_effect: float,
) -> Shift | None:
    """The most certain lasting shift, if there is one that matters.

    Args:
        starts: Start of each period, ascending; a period without a sample is absent, never zero.
        values: As long as `starts`, finite.
        window_start: Where the window begins; the shift must last to the end of the series, which must reach
            into the window.
        direction: The direction that counts as worse.
        min_effect: Smallest relative change, 0.2 = 20 %: of both the geometric means and the medians.

    Returns:
        None for a flat series, for one that is too short (see `enough_samples`) and for one that ended
        before the window.
    """
    if not enough_samples(starts, window_start=window_start):
        return None
    sign = 1.0 if direction == "up" else -1.0
    logs = [sign * math.log(max(value, SMALLEST)) for value in values]
    in_window = sum(start >= window_start for start in starts)
    longest = min(len(logs) - MIN_PAST, max(in_window, SHORT_SERIES))
    effect = math.log1p(min_effect) if direction == "up" else -math.log1p(-min(min_effect, 0.99))
    best: _Split | None = None
    for length in _lengths(longest):
        split = _split(logs, len(logs) - length)
        if split.log_ratio >= effect and (best is None or split.z > best.z):
            best = split
    if best is None or best.z < MIN_Z:
        return None
    if median(logs[best.first_recent :]) - median(logs[: best.first_recent]) < effect:
        return None
    return Shift(
        before=median(values[: best.first_recent]),
        after=median(values[best.first_recent :]),
        ratio=math.exp(sign * best.log_ratio),
        z=best.z,
        past_samples=best.first_recent,
        recent_samples=len(logs) - best.first_recent,
        started=starts[best.first_recent],
    )


def enough_samples(starts: Sequence[float], *, window_start: float) -> bool:
    """Whether a shift could be found at all: enough samples, the newest of them in the window."""
    return len(starts) >= MIN_PAST + MIN_RECENT and starts[-1] >= window_start


def _lengths(longest: int) -> list[int]:
    """Lengths of the changed part to try: each up to 24 samples, then a fifth more each time."""
    lengths, length = [], MIN_RECENT
    while length <= longest:
        lengths.append(length)
        length = max(length + 1, length * 6 // 5) if length >= 24 else length + 1
    return lengths


def _split(logs: Sequence[float], index: int) -> _Split:
    past, recent = logs[:index], logs[index:]
    blocks = _block_means(past, len(recent))
    if len(blocks) >= MIN_BLOCKS:
        change = fmean(recent) - fmean(blocks)
        spread = max(stdev(blocks), NOISE_FLOOR / math.sqrt(len(recent)))
        t, freedom = change / (spread * math.sqrt(1 + 1 / len(blocks))), len(blocks) - 1
    else:
        change = fmean(recent) - fmean(past)
        spread = max(_spread(past, recent), NOISE_FLOOR)
        t, freedom = change / (spread * math.sqrt(1 / len(past) + 1 / len(recent))), len(logs) - 2
    return _Split(index, _normal_deviate(t, freedom), change)


def _block_means(past: Sequence[float], length: int) -> list[float]:
    """Means of the newest whole blocks of `length` samples that do not overlap."""
    first = len(past) % length
    return [fmean(past[i : i + length]) for i in range(first, len(past), length)]


def _spread(past: Sequence[float], recent: Sequence[float]) -> float:
    """Standard deviation around the two means, widened by what neighbouring samples have in common."""
    residuals = _residuals(past) + _residuals(recent)
    squares = math.fsum(x * x for x in residuals)
    variance = squares / (len(residuals) - 2)
    if len(residuals) < MIN_AUTOCORRELATION_SAMPLES or squares == 0:
        return math.sqrt(variance)
    neighbours = math.fsum(a * b for a, b in pairwise(residuals))
    correlation = min(MAX_AUTOCORRELATION, max(0.0, neighbours / squares))
    return math.sqrt(variance * (1 + correlation) / (1 - correlation))


def _residuals(samples: Sequence[float]) -> list[float]:
    mean = fmean(samples)
    return [x - mean for x in samples]


def _normal_deviate(t: float, freedom: int) -> float:
    """Normal deviate with the tail probability of Student's t.

    Source:
        D. L. Wallace, "Bounds on normal approximations to Student's and the chi-square distributions" (1959);
        within 0.02 of the exact value for two and more degrees of freedom and |t| < 10.
    """
    size = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))
    return math.copysign(size, t)
