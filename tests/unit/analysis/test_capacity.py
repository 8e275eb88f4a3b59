"""Resources that run out."""

import numpy as np
import pytest

from benchmarks.trends import utilization_week
from selfbuild.analysis.capacity import Pattern, find_exhaustion, forecast_exhaustion
from selfbuild.domain.telemetry import FloatArray, Measure, Samples, Series

PERIOD_S = 300
PER_DAY = 86_400 // PERIOD_S


def a_series(values: FloatArray | list[float]) -> Series:
    return Series(
        component="orders",
        measure=Measure.UTILIZATION,
        unit="Percent",
        metric="memory",
        start=1_700_006_400.0,
        period_s=PERIOD_S,
        values=Samples(values),
    )


def leaking(*, hours_per_restart: float, points_per_hour: float, days: float = 4, base: float = 30.0) -> FloatArray:
    hours = np.arange(int(days * PER_DAY)) / 12
    noise = np.random.default_rng(1).normal(0, 0.5, len(hours))
    return base + points_per_hour * (hours % hours_per_restart) + noise


def test_sustained_use_is_exhaustion_from_its_first_high_sample() -> None:
    found = find_exhaustion(a_series([50.0] * 20 + [90.0] * 12))

    assert found is not None
    assert found.since == 1_700_006_400.0 + 20 * PERIOD_S
    assert (found.level_percent, found.samples) == (90.0, 12)
    assert "90 %" in found.sentence


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([50.0] * 30 + [99.0] * 2, id="spike-at-the-end"),
        pytest.param([50.0] * 10 + [95.0] * 10 + [50.0] * 10, id="recovered"),
        pytest.param([78.0] * 40, id="below-the-bound"),
        pytest.param([90.0] * 5, id="too-few"),
        pytest.param([np.nan] * 40, id="nothing-measured"),
        pytest.param([50.0, 95.0] * 20, id="every-other-sample"),
    ],
)
def test_no_exhaustion(values: list[float]) -> None:
    assert find_exhaustion(a_series(values)) is None


def test_between_the_bounds_nothing_changes() -> None:
    wavering = [75.0] * 20

    assert find_exhaustion(a_series([50.0] * 20 + wavering)) is None
    assert find_exhaustion(a_series([90.0] * 20 + wavering)) is not None


def test_missing_samples_do_not_end_an_exhaustion() -> None:
    found = find_exhaustion(a_series([50.0] * 10 + [90.0] * 8 + [np.nan] * 20 + [91.0] * 2))

    assert found is not None
    assert found.samples == 10


def test_steady_rise_says_when_it_is_full_and_how_surely() -> None:
    values = 40 + 6 * np.arange(5 * PER_DAY) / PER_DAY + np.random.default_rng(1).normal(0, 1, 5 * PER_DAY)

    found = forecast_exhaustion(a_series(values))

    assert found is not None
    assert found.pattern is Pattern.STEADY
    assert found.points_per_day == pytest.approx(6.0, abs=0.5)
    assert found.days_left_low < 5.0 < found.days_left_high
    assert found.days_left == pytest.approx(5.0, abs=0.5)
    assert "reaches 100 %" in found.sentence


def test_rise_is_told_from_the_daily_season() -> None:
    times = np.arange(5 * PER_DAY) / PER_DAY
    season = 15 * np.sin(2 * np.pi * times) + np.random.default_rng(1).normal(0, 1, len(times))

    assert forecast_exhaustion(a_series(50 + season)) is None
    found = forecast_exhaustion(a_series(40 + season + 5 * times))
    assert found is not None
    assert found.points_per_day == pytest.approx(5.0, abs=0.7)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(40 + 8 * np.arange(PER_DAY) / PER_DAY, id="one-day-could-be-its-season"),
        pytest.param(60 - 4 * np.arange(5 * PER_DAY) / PER_DAY, id="falls"),
        pytest.param(np.where(np.arange(5 * PER_DAY) < 700, 40.0, 60.0), id="one-step"),
        pytest.param(40 + 0.3 * np.arange(5 * PER_DAY) / PER_DAY, id="months-away"),
        pytest.param(np.full(5 * PER_DAY, 99.0), id="flat"),
        pytest.param(np.full(5 * PER_DAY, np.nan), id="nothing-measured"),
    ],
)
def test_no_forecast(values: FloatArray) -> None:
    assert forecast_exhaustion(a_series(values)) is None


@pytest.mark.parametrize("hours", [pytest.param(9.0, id="several-a-day"), pytest.param(31.0, id="less-than-daily")])
def test_leak_with_restarts_is_recognised(hours: float) -> None:
    found = forecast_exhaustion(a_series(leaking(hours_per_restart=hours, points_per_hour=1.5)))

    assert found is not None
    assert found.pattern is Pattern.RESTARTS
    assert found.points_per_day == pytest.approx(36.0, rel=0.15)
    assert found.restarts == int(96 / hours) if 96 % hours else int(96 / hours) - 1
    assert "set back" in found.sentence


def test_season_that_falls_every_night_is_no_leak() -> None:
    hours = np.arange(5 * PER_DAY) / 12 % 24
    values = np.where((hours > 8) & (hours < 20), 30 + 3 * (hours - 8), 30.0)

    assert forecast_exhaustion(a_series(values)) is None


@pytest.mark.parametrize("depth", [0.0, 15.0])
def test_false_forecasts_are_rare(depth: float) -> None:
    rng = np.random.default_rng(4)
    weeks = [utilization_week(rng, daily=0.0, correlation=0.9, depth=depth) for _ in range(40)]

    assert sum(forecast_exhaustion(week) is not None for week in weeks) <= 1
