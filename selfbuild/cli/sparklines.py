"""Series as one line of a terminal. A period without a sample is a gap, never a low bar."""

import math
import sys
from collections.abc import Sequence
from itertools import pairwise

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-~=+*#"
"""For terminals whose encoding has no blocks."""
WIDTH = 72


def sparkline(values: Sequence[float | None], *, width: int = WIDTH, bars: str | None = None) -> str:
    """One character for each group of neighbouring values, by their mean; a space where all of them are missing.

    The lowest bar is zero, or the lowest value where that is negative.
    """
    steps = bars or _bars()
    means = [_mean(values[first:last]) for first, last in _groups(len(values), width)]
    known = [mean for mean in means if mean is not None]
    if not known:
        return " " * len(means)
    low, high = min(0.0, *known), max(known)
    size = (high - low) or 1.0
    return "".join(" " if mean is None else steps[round((mean - low) / size * (len(steps) - 1))] for mean in means)


def underline(
    starts: Sequence[float], *, window: tuple[float, float], marks: Sequence[float] = (), width: int = WIDTH
) -> str:
    """What stands beneath a sparkline: `-` for the baseline, `^` for the window, `|` for a mark."""
    groups = _groups(len(starts), width)
    line = ["^" if window[0] <= starts[last - 1] and starts[first] < window[1] else "-" for first, last in groups]
    for mark in marks:
        at = next((n for n, (_, last) in enumerate(groups) if starts[last - 1] >= mark), None)
        if at is not None and starts and mark >= starts[0]:
            line[at] = "|"
    return "".join(line)


def _groups(count: int, width: int) -> list[tuple[int, int]]:
    size = max(1, min(count, width))
    edges = [count * n // size for n in range(size + 1)]
    return [(first, last) for first, last in pairwise(edges) if last > first]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return math.fsum(known) / len(known) if known else None


def _bars() -> str:
    try:
        BARS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII_BARS
    return BARS
