"""A grid of series cut into buckets: means of windows, jumps of single rows, and the ranks of their history.

Pure arithmetic on arrays of series x rows; NaN is a missing sample and never counts. Buckets lie on whole
multiples of their length since the epoch, so that the same row gets the same history whoever asks.
"""

from typing import NamedTuple

import numpy as np

from selfbuild.domain.telemetry import FloatArray

BUCKET_S = 900
"""Length of a bucket; a series with a longer period has one row in each."""
REFRESH_S = 3600
"""How long a baseline is used before it is measured again."""
NEIGHBOURS = 3
"""Rows before a row among which its jump is measured from the nearest."""


class Layout(NamedTuple):
    """How rows of one period fall into buckets."""

    period_s: float
    bucket_rows: int
    refresh_buckets: int

    @classmethod
    def of(cls, period_s: float) -> "Layout":
        """The layout of a period.

        Raises:
            ValueError: the period is not a positive number.
        """
        if not (np.isfinite(period_s) and period_s > 0):
            raise ValueError(f"a period of {period_s!r} s: it must be a positive number of seconds")
        rows = max(1, round(BUCKET_S / period_s))
        return cls(period_s, rows, max(1, round(REFRESH_S / (rows * period_s))))

    @property
    def refresh_rows(self) -> int:
        """Rows that share a baseline."""
        return self.bucket_rows * self.refresh_buckets

    def buckets(self, seconds: float) -> int:
        """Whole buckets in a time, at least one."""
        return max(1, round(seconds / (self.bucket_rows * self.period_s)))

    def phase(self, start: float) -> int:
        """Rows from the last refresh before `start` to it: how many missing rows align a grid that begins there."""
        return round(start / self.period_s) % self.refresh_rows


class Buckets(NamedTuple):
    """Each array is series x buckets."""

    sums: FloatArray
    counts: FloatArray
    jumps: FloatArray
    """Largest size of a jump in each bucket, NaN where nothing was measured."""


def bucketed(grid: FloatArray, bucket_rows: int) -> Buckets:
    """Sums, counts and largest jumps of the whole buckets of a grid."""
    series, rows = grid.shape
    count = rows // bucket_rows
    shape = (series, count, bucket_rows)
    whole = grid[:, : count * bucket_rows]
    jumps = _jump_sizes(whole).reshape(shape)
    missing = np.isnan(whole)
    if missing.any():
        sums = _folded(np.add, np.where(missing, 0.0, whole).reshape(shape))
        counts = _folded(np.add, (~missing).astype(np.float64).reshape(shape))
    else:
        sums = _folded(np.add, whole.reshape(shape))
        counts = np.full(shape[:2], float(bucket_rows))
    return Buckets(sums, counts, _folded(np.fmax, jumps))


def _folded(combine: np.ufunc, cells: FloatArray) -> FloatArray:
    """The last axis combined, cell by cell: several times faster than a reduction of so few."""
    folded = cells[:, :, 0].copy()
    for i in range(1, cells.shape[2]):
        combine(folded, cells[:, :, i], out=folded)
    return folded


def _jump_sizes(grid: FloatArray) -> FloatArray:
    """Size of `row_jumps`."""
    nearest = np.full(grid.shape, np.nan)
    scratch = np.empty(grid.shape)
    for lag in range(1, min(NEIGHBOURS, grid.shape[1] - 1) + 1):
        change = np.subtract(grid[:, lag:], grid[:, :-lag], out=scratch[:, lag:])
        np.abs(change, out=change)
        np.fmin(nearest[:, lag:], change, out=nearest[:, lag:])
    return nearest


def row_jumps(grid: FloatArray) -> FloatArray:
    """Signed distance of each row to the nearest of the rows before it; NaN without a neighbour."""
    nearest = np.full(grid.shape, np.nan)
    for lag in range(1, min(NEIGHBOURS, grid.shape[1] - 1) + 1):
        change = grid[:, lag:] - grid[:, :-lag]
        held = nearest[:, lag:]
        closer = ~(np.abs(held) <= np.abs(change)) & ~np.isnan(change)
        np.copyto(held, change, where=closer)
    return nearest


def window_means(sums: FloatArray, counts: FloatArray, width: int, *, full: float) -> FloatArray:
    """Mean of the `width` cells that end with each cell; NaN where less than a quarter of them was present.

    Args:
        sums: Series x cells.
        counts: Samples in each cell.
        width: Cells of a window.
        full: Samples of a cell that misses none.
    """
    total, present = _trailing(sums, width), _trailing(counts, width)
    enough = present >= max(1.0, 0.25 * width * full)
    means: FloatArray = np.divide(total, present, out=np.full(total.shape, np.nan), where=enough)
    return means


def _trailing(cells: FloatArray, width: int) -> FloatArray:
    """Sum of the `width` cells that end with each; fewer at the start."""
    if width == 1:
        return cells
    sums = np.cumsum(cells, axis=1)
    sums[:, width:] = sums[:, width:] - sums[:, :-width]
    return sums


def at_ranks(ordered: FloatArray, present: FloatArray, quantiles: tuple[float, ...]) -> list[FloatArray]:
    """Quantiles of each row of a sorted array whose NaN come last, by the nearest rank.

    Args:
        ordered: Series x samples, ascending.
        present: Samples that are no NaN, a number for each series.
        quantiles: Between 0 and 1.

    Returns:
        One array a quantile, a number for each series; NaN for a series without samples.
    """
    last = np.maximum(present - 1, 0)
    rows = np.arange(len(ordered))
    return [ordered[rows, np.rint(quantile * last).astype(np.intp)] for quantile in quantiles]


def largest_before(values: FloatArray, width: int) -> FloatArray:
    """Largest of the `width` values before each value, its own left out; -inf where there is none.

    Args:
        values: One series; NaN counts as nothing.
        width: At least 1.
    """
    size = len(values)
    padded = np.full(-(-(size + width) // width) * width, -np.inf)
    padded[width : width + size] = np.where(np.isnan(values), -np.inf, values)
    blocks = padded.reshape(-1, width)
    heads = np.maximum.accumulate(blocks, axis=1).ravel()
    tails = np.maximum.accumulate(blocks[:, ::-1], axis=1)[:, ::-1].ravel()
    before: FloatArray = np.maximum(tails[:size], heads[width - 1 : width - 1 + size])
    return before
