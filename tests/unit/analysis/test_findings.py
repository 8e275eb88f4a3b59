"""What a window shows beside shifts and errors: resources, creep, caches, calls; and what lies behind a finding."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from selfbuild.analysis.analyze import Examined, examine
from selfbuild.domain.cycles import CyclePolicy
from selfbuild.domain.insights import Insight, InsightType
from selfbuild.domain.releases import CommitInfo
from selfbuild.domain.telemetry import CallEdge, Measure, ReleaseSeen, Samples, Series, TelemetryWindow
from tests.builders import an_application

MINUTE = 60
BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
DAYS = 8
PERIODS = DAYS * 24 * 12
PERIOD_S = 300
WINDOW = timedelta(days=1)
END = BEGIN + timedelta(days=DAYS)
WINDOW_AT = PERIODS - 24 * 12
HOURS_AGO_6 = PERIODS - 6 * 12
random = np.random.default_rng(1)


def steady(level: float, *, spread: float = 0.03) -> np.ndarray:
    return level * (1 + spread * random.standard_normal(PERIODS))


def risen(level: float, factor: float, at: int = HOURS_AGO_6) -> np.ndarray:
    values = steady(level)
    values[at:] *= factor
    return values


def a_series(values: Any, measure: Measure, *, component: str = "topics", metric: str = "") -> Series:
    return Series(
        component=component,
        measure=measure,
        metric=metric,
        unit="None",
        start=BEGIN.timestamp(),
        period_s=PERIOD_S,
        values=Samples(values),
    )


def examined(*series: Series, commits: tuple[CommitInfo, ...] = (), **window: Any) -> Examined:
    return examine(
        TelemetryWindow(baseline_start=BEGIN, start=END - WINDOW, end=END, period_s=PERIOD_S, series=series, **window),
        policy=CyclePolicy(),
        application=an_application(),
        commits=commits,
    )


def only(found: Examined) -> Insight:
    (insight,) = found.analysis.insights
    return insight


def test_a_healthy_week_shows_nothing() -> None:
    found = examined(
        a_series(steady(20.0), Measure.LATENCY_P95),
        a_series(steady(500.0), Measure.REQUESTS),
        a_series(steady(40.0), Measure.UTILIZATION, metric="CPUUtilization"),
        a_series(steady(90.0, spread=0.01), Measure.CACHE_HIT_RATIO, metric="CacheHitRate"),
        a_series(steady(12.0), Measure.LEVEL, metric="QueueDepth"),
    )

    assert found.analysis.insights == ()


def test_a_slow_component_has_a_chart_with_its_levels() -> None:
    found = examined(a_series(risen(20.0, 2.0), Measure.LATENCY_P95), a_series(steady(500.0), Measure.REQUESTS))

    insight = only(found)
    chart = found.charts[insight.insight_id]
    assert insight.insight_type is InsightType.PERFORMANCE_DEGRADATION
    assert insight.started_at is not None
    assert abs(insight.started_at - (END - timedelta(hours=6))) <= timedelta(minutes=30)
    assert len(chart.starts) == len(chart.values) <= 400
    assert chart.baseline == pytest.approx(20.0, rel=0.05)
    assert "began" in {mark.label for mark in chart.marks}


def test_missing_periods_stay_gaps_in_the_chart() -> None:
    values = risen(20.0, 2.0)
    values[100:300] = np.nan

    found = examined(a_series(values, Measure.LATENCY_P95))

    assert None in found.charts[only(found).insight_id].values


def test_a_full_resource_is_an_opportunity() -> None:
    values = steady(60.0, spread=0.01)
    values[HOURS_AGO_6:] = 93.0

    insight = only(examined(a_series(values, Measure.UTILIZATION, metric="MemoryUtilization")))

    assert (insight.insight_type, insight.kind) == (InsightType.RESOURCE_EXHAUSTION, "exhaustion")
    assert insight.metric_name == "MemoryUtilization"
    assert "93 %" in insight.description


def test_latency_that_grows_day_by_day_is_found() -> None:
    grown = steady(20.0) * np.exp(np.linspace(0, DAYS * 0.06, PERIODS))

    insights = examined(a_series(grown, Measure.LATENCY_P95)).analysis.insights

    assert [insight.component for insight in insights] == ["topics"]
    assert insights[0].insight_type is InsightType.PERFORMANCE_DEGRADATION


def test_a_cache_that_lost_its_hits_is_an_opportunity() -> None:
    values = steady(92.0, spread=0.005)
    values[WINDOW_AT:] = 55.0

    found = examined(a_series(values, Measure.CACHE_HIT_RATIO, metric="CacheHitRate"))

    assert only(found).insight_type is InsightType.OPTIMIZATION_OPPORTUNITY
    assert [o.opportunity_id for o in found.analysis.opportunities] == [only(found).insight_id]


def test_many_calls_for_each_request_are_an_opportunity() -> None:
    requests = np.round(500 * (1 + 0.4 * np.sin(np.arange(PERIODS) / 45)) + 30 * random.standard_normal(PERIODS))
    calls = np.round(requests * 8 * (1 + 0.15 * random.standard_normal(PERIODS).clip(-2, 2)))

    found = examined(a_series(requests, Measure.REQUESTS), a_series(calls, Measure.CALLS, metric="db"))

    calls_found = [i for i in found.analysis.insights if i.kind == "calls"]
    assert len(calls_found) == 1
    assert calls_found[0].evidence.numbers["calls_per_request"] == pytest.approx(8, rel=0.1)


def test_a_ratio_of_errors_that_nothing_logged_explains_is_named() -> None:
    requests, errors = np.full(PERIODS, 500.0), np.full(PERIODS, 1.0) + random.integers(0, 2, PERIODS)
    errors[HOURS_AGO_6:] = 60.0

    insight = only(examined(a_series(requests, Measure.REQUESTS), a_series(errors, Measure.ERRORS)))

    assert (insight.insight_type, insight.kind) == (InsightType.ERROR_PATTERN, "error_rate")
    assert insight.evidence.numbers["error_ratio"] == pytest.approx(0.12, rel=0.05)


def test_a_declared_metric_that_doubles_is_named_by_its_own_name() -> None:
    insight = only(examined(a_series(risen(12.0, 2.0), Measure.LEVEL, metric="QueueDepth")))

    assert insight.metric_name == "QueueDepth"
    assert "QueueDepth rose" in insight.description


class TestBlame:
    """A release, a component further down, something that several share."""

    SHA = "ab" * 20

    def releases(self) -> tuple[ReleaseSeen, ...]:
        deployed = BEGIN + timedelta(seconds=PERIOD_S * HOURS_AGO_6)
        return (
            ReleaseSeen(release="0" * 12, first_seen=BEGIN, last_seen=deployed),
            ReleaseSeen(release=self.SHA[:12], first_seen=deployed, last_seen=END),
        )

    def test_a_regression_after_a_persons_deploy_names_the_commit(self) -> None:
        commit = CommitInfo(
            sha=self.SHA,
            author_name="Grace",
            committed_at=BEGIN + timedelta(days=7),
            subject="Sort the topics",
            by_agent=False,
        )

        insight = only(
            examined(
                a_series(risen(20.0, 2.0), Measure.LATENCY_P95),
                a_series(steady(50.0), Measure.LATENCY_P95, component="other"),
                releases=self.releases(),
                commits=(commit,),
            )
        )

        assert insight.release == self.SHA[:12]
        assert "Sort the topics" in insight.description
        assert "Grace" in insight.description

    def test_a_caller_is_left_alone_when_its_callee_is_the_cause(self) -> None:
        calls = (CallEdge(caller="web", callee="search"),)
        slow = risen(30.0, 4.0)
        found = examined(
            a_series(slow, Measure.LATENCY_MEAN, component="search"),
            a_series(steady(500.0), Measure.REQUESTS, component="search"),
            a_series(steady(10.0) + slow, Measure.LATENCY_MEAN, component="web"),
            a_series(steady(500.0), Measure.REQUESTS, component="web"),
            calls=calls,
        )

        by_component = {insight.component: insight for insight in found.analysis.insights}
        assert by_component["web"].cause == "search"
        assert by_component["web"].blocked is not None
        assert [o.insight.component for o in found.analysis.opportunities] == ["search"]

    def test_nothing_is_patched_when_a_shared_dependency_broke(self) -> None:
        calls = tuple(CallEdge(caller=name, callee="database") for name in ("cart", "orders", "stock"))
        broken = [
            series
            for name in ("cart", "orders", "stock")
            for series in (
                a_series(risen(20.0, 3.0), Measure.LATENCY_P95, component=name),
                a_series(steady(300.0), Measure.REQUESTS, component=name),
            )
        ]
        well = (
            a_series(steady(15.0), Measure.LATENCY_P95, component="login"),
            a_series(steady(300.0), Measure.REQUESTS, component="login"),
        )

        found = examined(*broken, *well, calls=calls)

        assert {insight.component for insight in found.analysis.insights} == {"cart", "orders", "stock"}
        assert all("database" in (insight.blocked or "") for insight in found.analysis.insights)
        assert found.analysis.opportunities == ()
        assert any("no patch would help" in note for note in found.analysis.notes)


def test_the_worst_problem_comes_first_whatever_the_order() -> None:
    slow = [
        a_series(risen(20.0, factor), Measure.LATENCY_P95, component=name)
        for name, factor in (("mild", 1.5), ("bad", 4.0), ("medium", 2.0))
    ]
    traffic = [a_series(steady(500.0), Measure.REQUESTS, component=name) for name in ("mild", "bad", "medium", "well")]

    found = examined(*slow, *traffic, a_series(steady(9.0), Measure.LATENCY_P95, component="well"))

    ranked = [opportunity.insight.component for opportunity in found.analysis.opportunities]
    assert ranked == ["bad", "medium", "mild"]
    assert found.analysis.opportunities[0].factors.keys() >= {"performance_gain", "affected_requests", "severity"}
