"""Runs the detector over the rows of a metric file, as `selfbuild backtest metrics` does. Pure: rows in, dicts out."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from selfbuild.analysis.alerts import MIN_EFFECT_RATIO, find_alerts
from selfbuild.analysis.anomaly import DEFAULT_THRESHOLD, score
from selfbuild.domain.telemetry import Direction, FloatArray

HEADER = ["timestamp", "value"]
"""First row of a metric file; further columns are ignored."""


class BadRow(ValueError):
    """A row that cannot be used; the message names its line, what is wrong and the remedy."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line


class MetricRows(NamedTuple):
    """The rows of a metric file, sorted by time."""

    starts: FloatArray
    """Seconds since the epoch."""
    values: FloatArray
    """NaN is a missing sample."""


def read_rows(rows: Iterable[list[str]]) -> MetricRows:
    """Metric rows from the cells of a CSV file with the header `timestamp,value`.

    A timestamp is ISO 8601, UTC unless it has an offset. An empty value or NaN is a missing sample. Rows need no
    order: they are sorted, those of the same time stay as they stood and each counts as a row of its own (two hours
    of a clock that was set back), so both are scored.

    Raises:
        BadRow: no header, too few cells, or a cell that cannot be read.
    """
    cells = iter(rows)
    header = [cell.strip().lower() for cell in next(cells, [])]
    if header[:2] != HEADER:
        raise BadRow(1, f"the header is {','.join(header)!r}: it must begin with 'timestamp,value'")
    starts: list[float] = []
    values: list[float] = []
    for line, row in enumerate(cells, start=2):
        if not row:
            continue
        if len(row) < 2:
            raise BadRow(line, f"{row[0]!r} has no value: write 'timestamp,value', or nothing after the comma")
        starts.append(_start(row[0].strip(), line))
        values.append(_value(row[1].strip(), line))
    order = np.argsort(np.array(starts), kind="stable")
    return MetricRows(np.array(starts, np.float64)[order], np.array(values, np.float64)[order])


def alert_rows(
    rows: MetricRows,
    *,
    direction: Direction = Direction.BOTH,
    period_s: float | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    min_effect_ratio: float = MIN_EFFECT_RATIO,
) -> list[dict[str, object]]:
    """One dict an alert, oldest first; see `selfbuild.analysis.alerts.find_alerts` for the arguments."""
    found = find_alerts(
        rows.values,
        starts=rows.starts,
        direction=direction,
        period_s=period_s,
        threshold=threshold,
        min_effect_ratio=min_effect_ratio,
    )
    return [
        {
            "timestamp": _written(alert.started),
            "value": alert.value,
            "score": alert.score,
            "severity": alert.severity.value,
            "baseline": alert.baseline,
            "kind": alert.kind.value,
            "confidence": alert.confidence,
            "resolved_at": None if alert.resolved_at is None else _written(alert.resolved_at),
        }
        for alert in found
    ]


def score_rows(
    rows: MetricRows, *, direction: Direction = Direction.BOTH, period_s: float | None = None
) -> list[dict[str, object]]:
    """One dict a row, in order of time; None where a value is missing or nothing can be said of it."""
    scores = score(rows.values, starts=rows.starts, direction=direction, period_s=period_s)
    return [
        {"timestamp": _written(start), "value": _known(value), "score": _known(result)}
        for start, value, result in zip(rows.starts.tolist(), rows.values.tolist(), scores.tolist(), strict=True)
    ]


def _start(cell: str, line: int) -> float:
    try:
        at = datetime.fromisoformat(cell)
    except ValueError as error:
        raise BadRow(line, f"{cell!r} is no time: write ISO 8601 as in 2026-01-31T23:59:00Z") from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _value(cell: str, line: int) -> float:
    if not cell:
        return float("nan")
    try:
        value = float(cell)
    except ValueError as error:
        raise BadRow(line, f"{cell!r} is no number: write one, or nothing for a missing sample") from error
    if np.isinf(value):
        raise BadRow(line, f"{cell!r} is not finite: leave the value empty for a missing sample")
    return value


def _known(number: float) -> float | None:
    return None if np.isnan(number) else number


def _written(start: float) -> str:
    return datetime.fromtimestamp(start, UTC).isoformat().replace("+00:00", "Z")
