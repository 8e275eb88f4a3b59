"""Alerts of one metric: when it left its usual range, by how much, how sure that is, and when it came back."""

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from selfbuild.analysis.anomaly import DEFAULT_THRESHOLD, Raw, once, place, raw_scores
from selfbuild.domain.base import Value
from selfbuild.domain.insights import Severity
from selfbuild.domain.telemetry import Direction, FloatArray

MIN_EFFECT_RATIO = 0.10
"""Smallest change worth an alert, however certain it is: 0.10 = 10 % of the baseline."""
CALM_RATIO = 0.5
"""Below this part of the threshold a row counts as calm."""
CALM_S = 3_600
"""How long a metric must stay calm before its alert is resolved."""
REGIME_S = 86_400
"""A level kept up for this long is the new usual."""
_SEVERITIES = ((3.0, Severity.CRITICAL), (2.0, Severity.HIGH), (1.4, Severity.MEDIUM))
"""Score from which each holds; below all of them low."""
_SCORES = (0.7, 1.0, 1.4, 2.0, 3.0)
_CONFIDENCES = (0.08, 0.44, 0.52, 0.62, 0.80)
"""How often an alert of such a score was true on the labelled public series: `benchmarks/detection.py`."""


class AlertKind(StrEnum):
    """What an alert looks like."""

    SPIKE = "spike"
    """Single rows far from their neighbours."""
    LEVEL_SHIFT = "level_shift"
    """Half an hour and more away from the usual level."""
    REGIME_CHANGE = "regime_change"
    """A level shift that has lasted a day."""


class Alert(Value):
    """A deviation of one metric from its own past."""

    started: float
    """Start of the row that raised it, seconds since the epoch."""
    value: float
    score: float
    severity: Severity
    baseline: float
    """Usual level, in the unit of the metric."""
    kind: AlertKind
    confidence: float
    """How often alerts of this score were true, 0 to 1."""
    resolved_at: float | None
    """Start of the first row of the calm after it; None while it lasts."""


class _Rows(NamedTuple):
    """Of each row of the input."""

    starts: FloatArray
    values: FloatArray
    once: FloatArray
    raw: FloatArray
    level: FloatArray
    jump: FloatArray
    baseline: FloatArray
    observed: FloatArray


def find_alerts(
    values: FloatArray,
    *,
    starts: FloatArray,
    direction: Direction = Direction.BOTH,
    period_s: float | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    min_effect_ratio: float = MIN_EFFECT_RATIO,
) -> tuple[Alert, ...]:
    """The alerts of one metric, oldest first.

    While an alert lasts, and for a day after it for anything less unusual, no other is raised.

    Args:
        values: NaN is a missing sample.
        starts: Start of each period, seconds since the epoch, not descending.
        direction: Which way is worse.
        period_s: Of a row; None takes the median distance of the first rows.
        threshold: Score from which a row raises an alert.
        min_effect_ratio: Smallest change from the baseline, relative to it; a baseline of zero has no smallest.

    Raises:
        ValueError: see `selfbuild.analysis.anomaly.score`.
    """
    placed = place(values, starts, period_s=period_s)
    raw = raw_scores(placed.grid, period_s=placed.period_s, direction=direction)
    rows = _rows_of(raw, once(raw.score[0], placed.period_s), placed.rows, values, starts)
    found: list[Alert] = []
    free_from = 0
    with np.errstate(invalid="ignore"):
        candidates = np.flatnonzero(rows.once >= threshold)
    for row in candidates.tolist():
        if row < free_from or _effect(rows, row) < min_effect_ratio:
            continue
        calm = _calm_from(rows, row, threshold)
        found.append(_alert(rows, row, calm))
        free_from = len(rows.starts) if calm is None else calm
    return tuple(found)


def confidence_of(score: float) -> float:
    """How often alerts of a score were true on labelled series; never falls as the score rises."""
    return float(np.interp(score, _SCORES, _CONFIDENCES))


def severity_of(score: float) -> Severity:
    """How bad a deviation of one metric is, by its score alone."""
    return next((severity for least, severity in _SEVERITIES if score >= least), Severity.LOW)


def _rows_of(raw: Raw, kept: FloatArray, places: NDArray[np.intp], values: FloatArray, starts: FloatArray) -> _Rows:
    return _Rows(
        np.asarray(starts, np.float64),
        np.asarray(values, np.float64),
        kept[places],
        *(part[0][places] for part in (raw.score, raw.level, raw.jump, raw.baseline, raw.observed)),
    )


def _is_spike(rows: _Rows, row: int) -> bool:
    level = rows.level[row]
    return bool(np.isnan(level) or rows.jump[row] > level)


def _effect(rows: _Rows, row: int) -> float:
    """Change relative to the baseline: of the row for a spike, else of the half hour that ends with it."""
    baseline = rows.baseline[row]
    if np.isnan(baseline) or baseline == 0:
        return np.inf
    now = rows.values[row] if _is_spike(rows, row) else rows.observed[row]
    return float(abs(now - baseline) / abs(baseline))


def _calm_from(rows: _Rows, row: int, threshold: float) -> int | None:
    """First row of the calm that ends an alert; None if there is none yet. Missing rows are not calm."""
    since: int | None = None
    for later in range(row + 1, len(rows.starts)):
        if rows.raw[later] < CALM_RATIO * threshold:
            since = later if since is None else since
            if rows.starts[later] - rows.starts[since] >= CALM_S:
                return since
        elif not np.isnan(rows.raw[later]):
            since = None
    return None


def _alert(rows: _Rows, row: int, calm: int | None) -> Alert:
    score = float(rows.once[row])
    end = rows.starts[-1] if calm is None else rows.starts[calm]
    kind = AlertKind.SPIKE if _is_spike(rows, row) else AlertKind.LEVEL_SHIFT
    if end - rows.starts[row] >= REGIME_S and kind is AlertKind.LEVEL_SHIFT:
        kind = AlertKind.REGIME_CHANGE
    return Alert(
        started=float(rows.starts[row]),
        value=float(rows.values[row]),
        score=score,
        severity=severity_of(score),
        baseline=float(rows.baseline[row]),
        kind=kind,
        confidence=confidence_of(score),
        resolved_at=None if calm is None else float(rows.starts[calm]),
    )
