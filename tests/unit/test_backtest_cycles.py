"""Cycles that a schedule would have started over stored telemetry."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from selfbuild.backtest_cycles import backtest_cycles, scheduled_times
from selfbuild.domain.cycles import CyclePolicy
from selfbuild.domain.telemetry import LogEvent, Measure, Series, TelemetryBatch
from tests.fakes.telemetry_store import FakeTelemetryStore
from tests.fakes.values import an_application

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PERIOD_S = 300


def a_store(*, days: int, slower_after_days: float | None = None) -> FakeTelemetryStore:
    """Telemetry of the days up to midnight; from some day on four times as slow."""
    store = FakeTelemetryStore()
    count = days * 288
    start = MIDNIGHT - days * DAY
    rng = np.random.default_rng(5)
    latency = 40 + rng.normal(0, 2, count)
    if slower_after_days is not None:
        latency[int(slower_after_days * 288) :] *= 4
    series = [
        Series(
            component="summary",
            measure=measure,
            metric=metric,
            unit=unit,
            start=start.timestamp(),
            period_s=PERIOD_S,
            values=values,
        )
        for measure, metric, unit, values in (
            (Measure.LATENCY_P95, "ResponseLatency", "Milliseconds", latency),
            (Measure.REQUESTS, "Requests", "Count", 60 + rng.normal(0, 2, count)),
        )
    ]
    store.append(
        TelemetryBatch(tenant_id="acme", application="meetnotes", start=start, end=MIDNIGHT, series=tuple(series))
    )
    return store


def backtested(
    store: FakeTelemetryStore, *, since: datetime, policy: CyclePolicy | None = None
) -> list[dict[str, Any]]:
    return list(
        backtest_cycles(
            store,
            an_application(),
            policy=policy or CyclePolicy(),
            interval=DAY,
            since=since,
            until=MIDNIGHT + timedelta(hours=1),
        )
    )


@pytest.mark.parametrize("hour", [0, 1, 23])
def test_daily_schedule_fires_at_midnight_utc(hour: int) -> None:
    since = MIDNIGHT - 3 * DAY + timedelta(hours=hour)

    times = list(scheduled_times(DAY, since=since, until=MIDNIGHT + timedelta(hours=1)))

    expected = [MIDNIGHT - n * DAY for n in (3, 2, 1, 0)]
    assert times == (expected if hour == 0 else expected[1:])


def test_degradation_is_found_from_its_day_on_and_marked_again() -> None:
    store = a_store(days=20, slower_after_days=17.5)

    rows = backtested(store, since=MIDNIGHT - 5 * DAY)

    assert rows[0]["started_at"] == "2026-02-24T00:00:00Z"
    found = [any(each["component"] == "summary" for each in row["opportunities"]) for row in rows]
    assert found[:3] == [False, False, False]
    first = found.index(True)
    assert rows[first]["started_at"] == "2026-02-27T00:00:00Z"
    assert rows[first]["outcome"] == "opportunities"
    opportunity = rows[first]["opportunities"][0]
    assert (opportunity["insight_type"], opportunity["chosen"], opportunity["again"]) == (
        "performance_degradation",
        True,
        False,
    )
    assert all(each["again"] for row in rows[first + 1 :] for each in row["opportunities"])


def test_healthy_days_start_cycles_that_find_nothing() -> None:
    rows = backtested(a_store(days=12), since=MIDNIGHT - 3 * DAY)

    assert [row["outcome"] for row in rows] == ["no_opportunities"] * len(rows)
    assert all(row["telemetry_events"] == 2 * 288 for row in rows)


def test_day_without_telemetry_is_said_and_never_healthy() -> None:
    rows = backtested(FakeTelemetryStore(), since=MIDNIGHT - 2 * DAY)

    assert [row["outcome"] for row in rows] == ["no_telemetry"] * 3
    assert "selfbuild check telemetry" in rows[0]["notes"][-1]


def test_only_so_many_opportunities_are_chosen() -> None:
    store = a_store(days=8)
    events = tuple(
        LogEvent(
            at=MIDNIGHT - timedelta(minutes=minute + 1),
            component=component,
            tenant_id="acme",
            level="ERROR",
            message=f"cannot read {component}",
            error_type=error,
        )
        for component, error in (("summary", "KeyError"), ("export", "ValueError"), ("tokens", "TypeError"))
        for minute in range(40)
    )
    store.append(
        TelemetryBatch(
            tenant_id="acme",
            application="meetnotes",
            start=MIDNIGHT - DAY,
            end=MIDNIGHT,
            series=(),
            events=events,
        )
    )

    row = backtested(store, since=MIDNIGHT, policy=CyclePolicy(max_improvements=2))[0]

    assert [each["chosen"] for each in row["opportunities"]] == [True, True, False]
