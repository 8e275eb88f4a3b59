"""The newest rows of many metrics at once, by the same definitions as the scores of a single one."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfbuild.analysis.anomaly import raw_scores
from selfbuild.analysis.levels import Layout
from selfbuild.domain.telemetry import Direction, FloatArray

CHUNK = 16
"""Series scored together: their rows stay in the cache of a core."""


class Scan(NamedTuple):
    """One entry a series."""

    score: FloatArray
    """Largest score of the newest rows before any hysteresis; NaN where nothing can be said."""
    row: NDArray[np.intp]
    """Where in the grid it lies; -1 where nothing can be said."""
    jump: NDArray[np.bool_]
    """True for a jump, False for a level."""
    baseline: FloatArray
    observed: FloatArray
    """Mean of the half hour that ends there."""


def scan(
    grid: FloatArray,
    *,
    start: float,
    period_s: float,
    direction: Direction = Direction.BOTH,
    recent_s: float = 3600.0,
) -> Scan:
    """The most unusual of the newest rows of each series.

    Args:
        grid: Series x rows, NaN where there was no sample.
        start: Start of row 0, seconds since the epoch: rows before the first full hour are not used.
        period_s: Of a row.
        direction: Which way is worse.
        recent_s: How much of the end is searched.

    Raises:
        ValueError: the grid has no two dimensions, or a period that is no positive number.
    """
    if grid.ndim != 2:
        raise ValueError(f"a grid of {grid.ndim} dimensions: it must be series x rows")
    layout = Layout.of(period_s)
    skipped = min(-layout.phase(start) % layout.refresh_rows, grid.shape[1])
    recent = max(1, round(recent_s / period_s))
    chunks = [grid[i : i + CHUNK] for i in range(0, len(grid), CHUNK)] or [grid]
    found = [_newest(c, skipped=skipped, period_s=period_s, direction=direction, recent=recent) for c in chunks]
    return Scan(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _newest(chunk: FloatArray, *, skipped: int, period_s: float, direction: Direction, recent: int) -> Scan:
    aligned = chunk[:, skipped:]
    first = max(0, aligned.shape[1] - recent)
    raw = raw_scores(aligned, period_s=period_s, direction=direction, first_row=first)
    series = np.arange(len(chunk))
    if not raw.score.shape[1]:
        nothing = np.full(len(chunk), np.nan)
        return Scan(nothing, np.full(len(chunk), -1, np.intp), np.zeros(len(chunk), np.bool_), nothing, nothing)
    best = np.argmax(np.nan_to_num(raw.score, nan=-1.0), axis=1)
    score = raw.score[series, best]
    rows = np.where(np.isnan(score), -1, best + first + skipped).astype(np.intp)
    jump = raw.jump[series, best] > raw.level[series, best]
    return Scan(score, rows, jump, raw.baseline[series, best], raw.observed[series, best])
