"""How unusual each row of a metric is, judged by nothing but what came before it.

Two things are measured. A level: means over half an hour and two hours against the distribution of the same means
in the past days, as a deviate and as an excess over the band they kept to. A jump: one row against the nearest of
its neighbours, in units of the largest jumps the series is used to. Both are scaled by the series' own history,
so that one threshold serves every metric.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfbuild.analysis.levels import (
    NEIGHBOURS,
    Buckets,
    Layout,
    at_ranks,
    bucketed,
    largest_before,
    row_jumps,
    window_means,
)
from selfbuild.domain.telemetry import Direction, FloatArray

DEFAULT_THRESHOLD = 1.0
"""Scores from here are alerts, for every metric."""
HYSTERESIS_S = 86_400
"""Only a row that is more unusual than all of the day before it has a score above zero."""
SHORT_WINDOW_S = 1_800
LONG_WINDOW_S = 7_200
RECENT_PAST_S = 7 * 86_400
PAST_S = 14 * 86_400
MIN_HISTORY = 20
"""Means of the past without which nothing can be said."""
DOUBT = 20.0
"""Means of the past at which their range is taken for half of the true one; what little was seen is too narrow."""
USUAL_DEVIATE = 3.0
"""Largest deviate that a well-behaved series is used to; a wilder one is measured against its own."""
LEVEL_UNIT = 1.2
JUMP_UNIT = 2.15
"""What makes a score of 1: plateaus of the public series."""
USUAL_JUMPS_RATIO = 0.002
"""Part of the rows whose jumps are counted as out of the ordinary even in a healthy series."""
MIN_JUMP_HISTORY_S = 4 * 86_400
"""History that tells what jumps are usual: a job that runs every other day must have been seen."""
FLAT = 1e-3
"""Smallest spread that is believed, relative to the level."""


class Raw(NamedTuple):
    """Scores before the hysteresis, series x rows; NaN where nothing can be said."""

    score: FloatArray
    level: FloatArray
    """Part of it that comes from the level."""
    jump: FloatArray
    """Part of it that comes from a jump."""
    baseline: FloatArray
    """Mean of the past level."""
    observed: FloatArray
    """Mean of the last half hour."""


class _Prepared(NamedTuple):
    """What the rows of a grid are compared with."""

    centre: FloatArray
    grid: FloatArray
    """Less the centre of each series."""
    layout: Layout
    direction: Direction
    buckets: Buckets
    short: FloatArray
    long: FloatArray


class _Level(NamedTuple):
    """One number a series and row."""

    deviate: FloatArray
    excess: FloatArray
    mean: FloatArray
    now: FloatArray


def raw_scores(grid: FloatArray, *, period_s: float, direction: Direction, first_row: int = 0) -> Raw:
    """Scores of the rows of a grid from `first_row` on.

    Args:
        grid: Series x rows, NaN where there was no sample; row 0 must begin a bucket and a refresh.
        period_s: Of a row.
        direction: Which way is worse.
        first_row: Rows before it are history only.
    """
    layout = Layout.of(period_s)
    prepared = _prepared(grid, _centre(grid), layout, direction)
    parts = [_block(prepared, first, last) for first, last in _blocks(layout, first_row, grid.shape[1])]
    if not parts:
        empty = np.full((len(grid), 0), np.nan)
        return Raw(empty, empty, empty, empty, empty)
    return Raw(*(np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True)))


def score(
    values: FloatArray,
    *,
    starts: FloatArray,
    direction: Direction = Direction.BOTH,
    period_s: float | None = None,
) -> FloatArray:
    """How unusual each row of one metric is; `DEFAULT_THRESHOLD` and above is an alert.

    A row's score depends on no later row. It is zero unless the row is more unusual than all of the 24 hours
    before it, so that one deviation is told once. Neither the unit of the metric nor its zero point matters.

    Args:
        values: NaN is a missing sample.
        starts: Start of each period, seconds since the epoch, not descending; gaps are gaps. A row that does not
            start later than the one before it takes the next period.
        direction: Which way is worse.
        period_s: Of a row; None takes the median distance of the first rows.

    Returns:
        As long as `values`; NaN where the sample is missing or the history too short.

    Raises:
        ValueError: not as many starts as values, descending or not finite.
    """
    placed = place(values, starts, period_s=period_s)
    raw = raw_scores(placed.grid, period_s=placed.period_s, direction=direction).score[0]
    return once(raw, placed.period_s)[placed.rows]


def once(raw: FloatArray, period_s: float) -> FloatArray:
    """Zero for each row of one series that is not above all of the day before it; NaN stays."""
    before = largest_before(raw, max(1, round(HYSTERESIS_S / period_s)))
    return np.where(np.isnan(raw) | (raw > np.maximum(before, 0.0)), raw, 0.0)


class Placed(NamedTuple):
    """One series on a regular grid of one row that begins a refresh."""

    grid: FloatArray
    period_s: float
    rows: NDArray[np.intp]
    """Where each value went."""


def place(values: FloatArray, starts: FloatArray, *, period_s: float | None = None) -> Placed:
    """Put a series with gaps on a regular grid, see `score`."""
    values, starts = np.asarray(values, np.float64), np.asarray(starts, np.float64)
    if values.ndim != 1 or values.shape != starts.shape:
        raise ValueError(f"{len(values)} values but {len(starts)} starts: each value needs its start")
    if not np.isfinite(starts).all() or (np.diff(starts) < 0).any():
        raise ValueError("starts must be finite and ascending: sort the rows by time")
    period_s = usual_period(starts) if period_s is None else period_s
    layout = Layout.of(period_s)
    if not len(values):
        return Placed(np.full((1, 0), np.nan), period_s, np.zeros(0, np.intp))
    steps = np.rint(np.diff(starts, prepend=starts[0]) / period_s)
    wanted = np.rint((starts - starts[0]) / period_s) - _cut(steps, PAST_S / period_s, layout.refresh_rows)
    order = np.arange(len(values))
    rows = (np.maximum.accumulate(wanted - order) + order).astype(np.intp) + layout.phase(float(starts[0]))
    grid = np.full((1, int(rows[-1]) + 1), np.nan)
    grid[0, rows] = np.where(np.isfinite(values), values, np.nan)
    return Placed(grid, period_s, rows)


def usual_period(starts: FloatArray) -> float:
    """Median distance of the first 32 rows that differ; five minutes where there are none."""
    steps = np.diff(starts[:256])
    steps = steps[steps > 0][:32]
    return float(np.median(steps)) if len(steps) else 300.0


def _cut(steps: FloatArray, longest: float, unit: int) -> FloatArray:
    """Rows to leave out of gaps that are longer than any baseline: whole refreshes, so that the phase stays."""
    return np.cumsum(np.floor(np.maximum(steps - longest, 0.0) / unit) * unit)


def _centre(grid: FloatArray) -> FloatArray:
    """First sample of each series: close enough to its level to keep sums exact, and known from the start."""
    if not grid.shape[1]:
        return np.zeros(len(grid))
    first = np.argmax(~np.isnan(grid), axis=1)
    centre: FloatArray = np.nan_to_num(grid[np.arange(len(grid)), first])
    return centre


def _prepared(grid: FloatArray, centre: FloatArray, layout: Layout, direction: Direction) -> _Prepared:
    grid = grid - centre[:, None]
    buckets = bucketed(grid, layout.bucket_rows)
    full = float(layout.bucket_rows)
    short, long = (
        window_means(buckets.sums, buckets.counts, layout.buckets(width), full=full)
        for width in (SHORT_WINDOW_S, LONG_WINDOW_S)
    )
    return _Prepared(centre, grid, layout, direction, buckets, short, long)


def _blocks(layout: Layout, first_row: int, rows: int) -> Iterator[tuple[int, int]]:
    """Rows that share a baseline, from `first_row` on."""
    size = layout.refresh_rows
    for start in range(first_row // size * size, rows, size):
        yield max(start, first_row), min(start + size, rows)


def _block(prepared: _Prepared, first: int, last: int) -> Raw:
    layout, grid = prepared.layout, prepared.grid
    known = first // layout.refresh_rows * layout.refresh_buckets
    present = ~np.isnan(grid[:, first:last])
    short = _level(prepared, prepared.short, SHORT_WINDOW_S, known, first, last)
    long = _level(prepared, prepared.long, LONG_WINDOW_S, known, first, last)
    level = _combined(short, long) / LEVEL_UNIT
    jump = _jump(prepared, known, first, last) / JUMP_UNIT
    score = np.where(present, np.where(np.isnan(jump), level, np.maximum(level, jump)), np.nan)
    centre = prepared.centre[:, None]
    return Raw(score, level, jump, short.mean + centre, short.now + centre)


def _combined(short: _Level, long: _Level) -> FloatArray:
    """One number of how far both windows lie from what they used to be; logarithms, for tails are long."""
    deviates = np.log1p(short.deviate) + np.log1p(long.deviate)
    excesses = np.log1p(10 * short.excess) + np.log1p(10 * long.excess)
    return (deviates + 1.5 * excesses) / 5


def _level(prepared: _Prepared, history: FloatArray, width_s: float, known: int, first: int, last: int) -> _Level:
    """The windows that end with the rows, against the windows that ended before."""
    layout = prepared.layout
    width = layout.buckets(width_s)
    past = history[:, max(0, known - width + 1 - layout.buckets(PAST_S)) : max(0, known - width + 1)]
    now = _now(prepared, width * layout.bucket_rows, first, last)
    if past.shape[1] < MIN_HISTORY:
        nothing = np.full(now.shape, np.nan)
        return _Level(nothing, nothing, nothing, now)
    recent = past[:, -layout.buckets(RECENT_PAST_S) :]
    ordered = np.sort(past, axis=1)
    count = (~np.isnan(past)).sum(axis=1).astype(np.float64)
    low, inner_low, usual_low, usual_high, inner_high, high = at_ranks(
        ordered, count, (0.001, 0.02, 0.005, 0.995, 0.98, 0.999)
    )
    mean, spread = _mean_and_spread(recent)
    floor = FLAT * np.abs(mean + prepared.centre)
    wildest = _ratio(np.maximum(mean - usual_low, usual_high - mean), spread + floor)
    doubt = np.where(count >= MIN_HISTORY, 1 + DOUBT / np.maximum(count, 1.0), np.nan)
    unit = doubt * ((spread + floor) * np.sqrt(np.maximum(1.0, wildest / USUAL_DEVIATE)))
    band = doubt * (inner_high - inner_low + floor)
    deviate = _ratio(_worse(now - mean[:, None], prepared.direction), unit[:, None])
    excess = _ratio(_outside(now, low[:, None], high[:, None], prepared.direction), band[:, None])
    return _Level(deviate, excess, np.broadcast_to(mean[:, None], now.shape), now)


def _now(prepared: _Prepared, width: int, first: int, last: int) -> FloatArray:
    """Means of the windows of `width` rows that end with each row."""
    cells = prepared.grid[:, max(0, first - width + 1) : last]
    missing = np.isnan(cells)
    means = window_means(np.where(missing, 0.0, cells), (~missing).astype(np.float64), width, full=1.0)
    return means[:, cells.shape[1] - (last - first) :]


def _mean_and_spread(past: FloatArray) -> tuple[FloatArray, FloatArray]:
    present = ~np.isnan(past)
    count = np.maximum(present.sum(axis=1), 1)
    mean = np.where(present, past, 0.0).sum(axis=1) / count
    variance = np.square(np.where(present, past - mean[:, None], 0.0)).sum(axis=1) / count
    return mean, np.sqrt(variance)


def _jump(prepared: _Prepared, known: int, first: int, last: int) -> FloatArray:
    """Jumps of the rows over the largest that are usual; NaN without a neighbour or a history."""
    layout = prepared.layout
    begin = max(0, first - NEIGHBOURS)
    jumps = _worse(row_jumps(prepared.grid[:, begin:last]), prepared.direction)[:, first - begin :]
    past = prepared.buckets.jumps[:, max(0, known - layout.buckets(RECENT_PAST_S)) : known]
    if past.shape[1] < MIN_HISTORY:
        return np.full(jumps.shape, np.nan)
    count = (~np.isnan(past)).sum(axis=1).astype(np.float64)
    enough = count >= layout.buckets(MIN_JUMP_HISTORY_S)
    unusual = np.floor(USUAL_JUMPS_RATIO * count * layout.bucket_rows)
    rank = np.maximum(count - 1 - unusual, 0).astype(np.intp)
    usual = np.sort(past, axis=1)[np.arange(len(past)), rank]
    level = np.abs(prepared.grid[:, first:last] + prepared.centre[:, None])
    return _ratio(jumps, np.where(enough, usual, np.nan)[:, None] + FLAT * level)


def _ratio(size: FloatArray, unit: FloatArray) -> FloatArray:
    """Size in units, at most 1 / FLAT: a series that never moved makes nothing infinite."""
    bounded = unit + FLAT * size
    return np.divide(size, bounded, out=np.where(np.isnan(bounded), np.nan, 0.0), where=bounded > 0)


def _worse(change: FloatArray, direction: Direction) -> FloatArray:
    """Size of the changes for the worse; zero for the others."""
    if direction is Direction.BOTH:
        return np.abs(change)
    return np.maximum(change if direction is Direction.UP else -change, 0.0)


def _outside(now: FloatArray, low: FloatArray, high: FloatArray, direction: Direction) -> FloatArray:
    above, below = np.maximum(now - high, 0.0), np.maximum(low - now, 0.0)
    if direction is Direction.BOTH:
        return np.maximum(above, below)
    return above if direction is Direction.UP else below
