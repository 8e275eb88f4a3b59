"""From a window to ranked opportunities: what is found, what is not, and in which order."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from selfbuild.analysis.analyze import analyze
from selfbuild.analysis.detect import Shift, find_shift
from selfbuild.analysis.severity import error_severity, latency_severity, throughput_severity
from selfbuild.domain.applications import Application
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.cycles import CyclePolicy
from selfbuild.domain.insights import Analysis, InsightType, Severity
from selfbuild.domain.telemetry import ErrorGroup, Measure, Samples, Series, TelemetryWindow

PERIOD_S = 5
START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
APPLICATION = Application.model_validate(
    {
        "tenant_id": "acme",
        "name": "meetnotes",
        "telemetry": {"log_group": "/meetnotes"},
        "repository": {"url": "/tmp/none.git"},
        "release": {"control_url": "http://127.0.0.1:1"},
    }
)


def a_series(values: Sequence[float], *, component: str = "topics", measure: Measure = Measure.LATENCY_P95) -> Series:
    unit = "Milliseconds" if measure.startswith("latency") else "Count"
    return Series(
        component=component,
        measure=measure,
        unit=unit,
        start=START.timestamp(),
        period_s=PERIOD_S,
        values=Samples(values),
    )


def a_group(**fields: Any) -> ErrorGroup:
    values: dict[str, Any] = {
        "fingerprint": "f" * 16,
        "component": "actions",
        "error_type": "KeyError",
        "message": "'owner'",
        "location": CodeLocation(path="meetnotes/actions.py", line=12, function="assign"),
        "count": 40,
        "first_seen": START,
        "last_seen": START,
    }
    return ErrorGroup(**(values | fields))


def analyzed(*series: Series, groups: Sequence[ErrorGroup] = (), baseline_periods: int = 4, **policy: Any) -> Analysis:
    periods = max((len(s.starts) for s in series), default=10)
    window = TelemetryWindow(
        baseline_start=START,
        start=START + timedelta(seconds=baseline_periods * PERIOD_S),
        end=START + timedelta(seconds=periods * PERIOD_S),
        period_s=PERIOD_S,
        series=tuple(series),
        error_groups=tuple(groups),
    )
    return analyze(window, policy=CyclePolicy(**policy), application=APPLICATION)


def noisy(rng: random.Random, level: float, count: int, *, spread: float = 0.15) -> list[float]:
    return [level * math.exp(rng.gauss(0, spread)) for _ in range(count)]


def test_a_jump_after_twenty_seconds_of_baseline_is_found_with_confidence() -> None:
    latency = a_series([2.0, 2.2, 1.9, 2.1, 30.0, 31.0, 29.0, 33.0, 30.0, 28.0])
    requests = a_series([50] * 10, measure=Measure.REQUESTS)

    (opportunity,) = analyzed(latency, requests).opportunities

    insight = opportunity.insight
    assert insight.insight_type is InsightType.PERFORMANCE_DEGRADATION
    assert (insight.component, insight.tenants, insight.severity) == ("topics", ("acme",), Severity.HIGH)
    assert insight.confidence >= 0.98
    assert insight.evidence.numbers["p95_ms"] == 30.0
    assert insight.evidence.numbers["baseline_p95_ms"] == pytest.approx(2.05)
    assert insight.evidence.numbers["affected_requests"] == 300
    assert insight.description.startswith(
        "topics: p95 latency rose from 2.0 ms to 30.0 ms (14.7 times) at 2026-01-05 12"
    )
    assert 0 < opportunity.risk <= CyclePolicy().risk_tolerance


@pytest.mark.parametrize("baseline_periods", [1, 4, 8])
def test_the_shift_may_lie_on_either_side_of_the_window_s_start(baseline_periods: int) -> None:
    latency = a_series([2.0, 2.2, 1.9, 2.1, 30.0, 31.0, 29.0, 33.0, 30.0, 28.0])

    (insight,) = analyzed(latency, baseline_periods=baseline_periods).insights

    assert insight.evidence.numbers["started"] == START.timestamp() + 4 * PERIOD_S


def test_noisy_jumps_are_found() -> None:
    rng = random.Random(3)
    found = sum(
        bool(analyzed(a_series(noisy(rng, 2, 4, spread=0.3) + noisy(rng, 30, 6, spread=0.3))).insights)
        for _ in range(200)
    )

    assert found >= 196


@pytest.mark.parametrize("periods", [10, 14, 24, 60])
@pytest.mark.parametrize("shape", ["uniform", "normal"])
def test_noise_of_fifteen_percent_raises_no_alarm(periods: int, shape: str) -> None:
    rng = random.Random(4)

    def draw() -> float:
        return rng.uniform(-0.15, 0.15) if shape == "uniform" else max(-0.9, rng.gauss(0, 0.15))

    runs = 500

    alarms = sum(
        bool(analyzed(a_series([20 * (1 + draw()) for _ in range(periods)]), baseline_periods=periods // 2).insights)
        for _ in range(runs)
    )

    assert alarms <= 0.005 * runs


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([2.0] * 30, id="flat"),
        pytest.param([2.0] * 20 + [2.3] * 10, id="below the smallest effect"),
        pytest.param([2.0, 2.1] * 10 + [90.0] + [2.0, 2.1] * 4, id="a single spike"),
        pytest.param([2.0, 2.1] * 40 + [90.0, 2.0, 2.1, 90.0, 2.0], id="two spikes after a calm history"),
        pytest.param([30.0] * 20 + [2.0] * 10, id="it got faster"),
        pytest.param([2.0, 2.1, 1.9] * 5 + [30.0] * 10 + [2.0, 2.1] * 5, id="it is over"),
        pytest.param([2.0, 2.0, 30.0, 30.0, 30.0], id="too short"),
    ],
)
def test_what_is_no_lasting_rise_gives_no_insight(values: list[float]) -> None:
    assert analyzed(a_series(values)).insights == ()


def test_a_service_that_always_wanders_raises_no_alarm() -> None:
    daily = [20 * (1.5 + math.sin(2 * math.pi * n / 48)) for n in range(48 * 10)]

    assert analyzed(a_series(daily), baseline_periods=48 * 9).insights == ()


def test_a_rise_within_the_daily_swing_is_found_by_comparing_days() -> None:
    daily = [20 * (1.5 + math.sin(2 * math.pi * n / 48)) for n in range(48 * 10)]

    (insight,) = analyzed(a_series(daily + [1.5 * value for value in daily[:48]]), baseline_periods=48 * 9).insights

    assert insight.evidence.numbers["ratio"] == pytest.approx(1.5, abs=0.1)


@pytest.mark.parametrize("factor", [0.001, 7.0, 1000.0])
def test_the_unit_of_a_series_does_not_matter(factor: float) -> None:
    rng = random.Random(5)
    values = noisy(rng, 20, 30) + noisy(rng, 60, 12)
    starts = [float(n) for n in range(len(values))]

    def found(scale: float) -> Shift:
        scaled = [v * scale for v in values]
        shift = find_shift(starts, scaled, window_start=10, direction="up", min_effect=0.2)
        assert shift is not None
        return shift

    assert found(factor).ratio == pytest.approx(found(1).ratio)
    assert found(factor).z == pytest.approx(found(1).z)
    assert found(factor).started == found(1).started


def test_a_rise_and_a_fall_mirror_each_other() -> None:
    rng = random.Random(6)
    values = noisy(rng, 20, 30) + noisy(rng, 60, 12)
    starts = [float(n) for n in range(len(values))]

    up = find_shift(starts, values, window_start=10, direction="up", min_effect=0.2)
    down = find_shift(starts, [1 / v for v in values], window_start=10, direction="down", min_effect=0.2)

    assert up is not None
    assert down is not None
    assert down.z == pytest.approx(up.z)
    assert down.ratio == pytest.approx(1 / up.ratio)


def test_too_few_samples_are_noted_and_not_judged() -> None:
    analysis = analyzed(a_series([2.0, 30.0]))

    assert analysis.insights == ()
    assert analysis.notes == (
        "topics: too little latency to judge: 2 periods, 7 are needed, the newest within the window",
    )


def test_a_series_that_ended_before_the_window_is_noted() -> None:
    silent = a_series([2.0] * 10)
    lively = a_series([2.0] * 30, component="actions")

    assert [note.split(":")[0] for note in analyzed(silent, lively, baseline_periods=20).notes] == ["topics"]


def test_a_fall_of_traffic_is_an_insight_and_no_opportunity() -> None:
    analysis = analyzed(a_series([100.0, 104, 98, 101, 99, 100, 20, 21, 19, 22], measure=Measure.REQUESTS))

    assert [i.insight_type for i in analysis.insights] == [InsightType.THROUGHPUT_DROP]
    assert analysis.opportunities == ()


def test_a_frequent_error_is_an_opportunity_with_its_place() -> None:
    errors = a_series([10, 10, 10, 10] * 3, component="actions", measure=Measure.ERRORS)
    requests = a_series([30] * 12, component="actions", measure=Measure.REQUESTS)

    (opportunity,) = analyzed(errors, requests, groups=[a_group(count=80)]).opportunities

    insight = opportunity.insight
    assert insight.description == (
        "actions: KeyError in meetnotes/actions.py:12 80 times in the window, 33.3% of its requests, "
        "first at 2026-01-05 12:00:00 UTC, last at 12:00:00"
    )
    assert insight.severity is Severity.CRITICAL
    assert (insight.location, insight.error_type) == (a_group().location, "KeyError")
    assert opportunity.risk == 0.05
    assert opportunity.factors["performance_gain"] == 100
    assert opportunity.impact_score == pytest.approx(80 * 2 * insight.confidence)


def test_a_rare_error_is_a_note() -> None:
    analysis = analyzed(groups=[a_group(count=9)])

    assert analysis.insights == ()
    assert "1 error groups with 9 events stay below 10 events each" in analysis.notes


def test_without_a_request_count_no_ratio_is_made_up() -> None:
    (insight,) = analyzed(groups=[a_group()]).insights

    assert insight.severity is Severity.MEDIUM
    assert insight.evidence.numbers == {"errors": 40, "affected_tenants": 1}


def test_the_worst_comes_first_whatever_the_order_of_the_input() -> None:
    groups = [a_group(fingerprint=str(n) * 16, count=count) for n, count in enumerate([20, 400, 20, 90])]

    forward, backward = analyzed(groups=groups), analyzed(groups=groups[::-1])

    assert forward == backward
    scores = [o.impact_score for o in forward.opportunities]
    assert scores == sorted(scores, reverse=True)
    assert forward.opportunities[0].insight.fingerprint == "1" * 16
    assert [i.insight_id for i in forward.insights] == [o.opportunity_id for o in forward.opportunities]


def test_the_same_deviation_keeps_its_fingerprint_and_each_window_has_its_id() -> None:
    jump = [2.0, 2.2, 1.9, 2.1, 30.0, 31.0, 29.0, 33.0, 30.0, 28.0]

    (one,) = analyzed(a_series(jump)).insights
    (again,) = analyzed(a_series(jump)).insights
    (later,) = analyzed(a_series([*jump, 30.0])).insights

    assert one == again
    assert (one.fingerprint == later.fingerprint, one.insight_id == later.insight_id) == (True, False)


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        pytest.param(error_severity(0.2, baseline_error_ratio=0.2, component_ratio=0.2), Severity.CRITICAL, id="fifth"),
        pytest.param(error_severity(0.05, baseline_error_ratio=0.05, component_ratio=0.05), Severity.HIGH, id="20th"),
        pytest.param(error_severity(0.01, baseline_error_ratio=0.0, component_ratio=0.01), Severity.HIGH, id="new"),
        pytest.param(error_severity(0.001, baseline_error_ratio=None, component_ratio=None), Severity.LOW, id="rare"),
        pytest.param(error_severity(None, baseline_error_ratio=None, component_ratio=None), Severity.MEDIUM, id="?"),
        pytest.param(latency_severity(14, after_ms=30), Severity.HIGH, id="15 times, unnoticed"),
        pytest.param(latency_severity(4, after_ms=2500), Severity.CRITICAL, id="5 times, noticed"),
        pytest.param(latency_severity(0.3, after_ms=2500), Severity.LOW, id="a third"),
        pytest.param(throughput_severity(0.95), Severity.HIGH, id="nearly silent"),
    ],
)
def test_severity(severity: Severity, expected: Severity) -> None:
    assert severity is expected
