"""Alerts: what they say, when they end, and what is too small for one."""

import numpy as np
import pytest

from selfbuild.analysis.alerts import AlertKind, confidence_of, find_alerts, severity_of
from selfbuild.analysis.backtest_metrics import BadRow, alert_rows, read_rows, score_rows
from selfbuild.domain.insights import Severity
from selfbuild.domain.telemetry import Direction, FloatArray

FIRST = 1_767_225_600.0


def series(*, at: int = 1_700, length: int = 24, factor: float = 2.0) -> tuple[FloatArray, FloatArray]:
    values = np.random.default_rng(2).normal(100.0, 2.0, 2_300)
    values[at : at + length] *= factor
    return values, FIRST + np.arange(2_300, dtype=np.float64) * 300.0


def test_slow_hours_are_one_alert_that_is_resolved() -> None:
    values, starts = series()

    (alert,) = find_alerts(values, starts=starts)

    assert starts[1_700] <= alert.started <= starts[1_712]
    assert alert.baseline == pytest.approx(100, rel=0.02)
    assert alert.value == pytest.approx(200, rel=0.1)
    assert alert.resolved_at is not None
    assert starts[1_724] <= alert.resolved_at <= starts[1_724] + 4 * 3_600


def test_single_row_is_a_spike() -> None:
    values, starts = series(length=1, factor=1.6)

    (alert,) = find_alerts(values, starts=starts)

    assert alert.kind is AlertKind.SPIKE
    assert alert.started == starts[1_700]


def test_level_of_days_is_a_regime_change() -> None:
    values, starts = series(length=600, factor=1.5)

    alert = find_alerts(values, starts=starts)[0]

    assert alert.kind in (AlertKind.REGIME_CHANGE, AlertKind.SPIKE)
    assert alert.started <= starts[1_712]


def test_ramped_level_that_lasts_is_not_resolved() -> None:
    values, starts = series(length=0)
    values[2_250:] += np.minimum(np.arange(50) * 4.0, 80.0)

    alert = find_alerts(values, starts=starts)[-1]

    assert alert.kind is AlertKind.LEVEL_SHIFT
    assert alert.resolved_at is None


def test_change_below_the_smallest_effect_is_no_alert() -> None:
    values, starts = series(factor=1.08)

    assert find_alerts(values, starts=starts) == ()
    assert find_alerts(values, starts=starts, min_effect_ratio=0.02) != ()


def test_change_for_the_better_is_no_alert() -> None:
    values, starts = series(factor=0.5)

    assert find_alerts(values, starts=starts, direction=Direction.UP) == ()
    assert find_alerts(values, starts=starts, direction=Direction.DOWN) != ()


def test_confidence_never_falls_with_the_score() -> None:
    stated = [confidence_of(score) for score in np.linspace(0, 5, 60)]

    assert stated == sorted(stated)
    assert 0 < stated[0] < stated[-1] < 1


@pytest.mark.parametrize(
    ("score", "severity"),
    [(1.0, Severity.LOW), (1.4, Severity.MEDIUM), (2.0, Severity.HIGH), (3.0, Severity.CRITICAL)],
)
def test_severity_follows_the_score(score: float, severity: Severity) -> None:
    assert severity_of(score) is severity


def test_file_rows_give_alerts_and_scores() -> None:
    values, starts = series()
    cells = [["timestamp", "value"]] + [
        [str(np.datetime64(int(start), "s")) + "Z", repr(value)]
        for start, value in zip(starts.tolist(), values.tolist(), strict=True)
    ]

    rows = read_rows(cells)

    (alert,) = alert_rows(rows, period_s=300.0)
    assert str(alert["timestamp"]).startswith("2026-01-06T")
    assert str(alert["timestamp"]).endswith("Z")
    assert {"value", "score", "severity", "baseline", "kind"} <= alert.keys()
    scored = score_rows(rows, period_s=300.0)
    assert len(scored) == len(values)
    assert scored[0] == {"timestamp": "2026-01-01T00:00:00Z", "value": values[0], "score": None}
    best = max(scored, key=lambda row: float(str(row["score"] or 0)))
    assert float(str(best["score"])) >= float(str(alert["score"]))


def test_file_rows_are_sorted_and_rows_of_one_time_stay_as_they_stood() -> None:
    rows = read_rows(
        [
            ["timestamp", "value"],
            ["2026-01-01T00:10:00Z", "3"],
            ["2026-01-01T01:00:00+01:00", "1"],
            ["2026-01-01 00:10:00", ""],
            [],
            ["2026-01-01T00:05:00", "2"],
        ]
    )

    assert (rows.starts - FIRST).tolist() == [0.0, 300.0, 600.0, 600.0]
    np.testing.assert_array_equal(rows.values, [1.0, 2.0, 3.0, np.nan])


@pytest.mark.parametrize(
    ("rows", "line", "problem"),
    [
        pytest.param([], 1, "timestamp,value", id="empty"),
        pytest.param([["time", "v"]], 1, "timestamp,value", id="header"),
        pytest.param([["timestamp", "value"], ["yesterday", "1"]], 2, "ISO 8601", id="time"),
        pytest.param([["timestamp", "value"], [], ["2026-01-01", "x"]], 3, "no number", id="value"),
        pytest.param([["timestamp", "value"], ["2026-01-01", "inf"]], 2, "not finite", id="infinite"),
        pytest.param([["timestamp", "value"], ["2026-01-01"]], 2, "no value", id="short"),
    ],
)
def test_bad_rows_are_refused_with_their_line(rows: list[list[str]], line: int, problem: str) -> None:
    with pytest.raises(BadRow, match=problem) as refused:
        read_rows(rows)

    assert refused.value.line == line
