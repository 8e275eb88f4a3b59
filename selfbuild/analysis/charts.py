"""The chart behind an insight: few enough points to look at, with nothing invented between them."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from selfbuild.domain.insights import Chart, Insight, Mark
from selfbuild.domain.telemetry import Direction, FloatArray, ReleaseSeen, Series, TelemetryWindow

MAX_POINTS = 400
"""More than a screen has columns for."""


def chart_of(
    insight: Insight,
    series: Series,
    window: TelemetryWindow,
    *,
    baseline: float | None = None,
    threshold: float | None = None,
) -> Chart:
    """What a person looks at: the series over baseline and window, the levels, the releases, the start.

    Several periods become one point by their worst value, so that a spike stays visible; a point without any sample
    is None.
    """
    starts, values = _thinned(series)
    return Chart(
        title=f"{insight.component}: {series.metric or series.measure.value}",
        unit=series.unit,
        starts=tuple(starts.tolist()),
        values=tuple(None if np.isnan(value) else float(f"{value:.6g}") for value in values),
        baseline=baseline,
        threshold=threshold,
        window_start=window.start.timestamp(),
        window_end=window.end.timestamp(),
        marks=_marks(insight, window.releases),
    )


def _thinned(series: Series) -> tuple[FloatArray, FloatArray]:
    values, starts = series.values.array, series.starts
    step = -(-len(values) // MAX_POINTS)
    if step <= 1:
        return starts, values
    padded = np.full(-(-len(values) // step) * step, np.nan)
    padded[: len(values)] = values
    blocks = padded.reshape(-1, step)
    empty = np.isnan(blocks).all(axis=1)
    filler = np.inf if series.worse is Direction.DOWN else -np.inf
    filled = np.where(np.isnan(blocks), filler, blocks)
    worst = filled.min(axis=1) if series.worse is Direction.DOWN else filled.max(axis=1)
    return starts[::step], np.where(empty, np.nan, worst)


def _marks(insight: Insight, releases: Sequence[ReleaseSeen]) -> tuple[Mark, ...]:
    marks = [Mark(at=seen.first_seen.timestamp(), label=f"release {seen.release}") for seen in releases]
    if insight.started_at is not None:
        marks.append(Mark(at=insight.started_at.astimezone(UTC).timestamp(), label="began"))
    return tuple(sorted(marks, key=lambda mark: (mark.at, mark.label)))


def utc(seconds: float) -> datetime:
    """The aware UTC time of so many seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC)
