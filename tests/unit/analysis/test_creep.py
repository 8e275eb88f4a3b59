"""Slow worsening over days."""

import numpy as np
import pytest

from benchmarks.trends import latency_week
from selfbuild.analysis.creep import find_creep, fit_trend
from selfbuild.domain.telemetry import Direction, Measure, Samples, Series


def a_week(*, daily: float = 0.0, correlation: float = 0.3, depth: float = 0.4, seed: int = 1, days: int = 7) -> Series:
    rng = np.random.default_rng(seed)
    return latency_week(rng, daily=daily, correlation=correlation, depth=depth, days=days, spread=0.05)


def with_values(series: Series, values: np.ndarray) -> Series:
    return series.model_copy(update={"values": Samples(values)})


def test_five_per_cent_a_day_is_found_with_its_size() -> None:
    creep = find_creep(a_week(daily=0.05))

    assert creep is not None
    assert creep.daily_ratio == pytest.approx(0.05, abs=0.015)
    assert creep.low < creep.daily_ratio < creep.high
    assert creep.last_level / creep.first_level == pytest.approx(1.05**7, rel=0.1)
    assert "rises by" in creep.sentence


@pytest.mark.parametrize(
    "series",
    [
        pytest.param(a_week(), id="season-only"),
        pytest.param(a_week(daily=-0.05), id="gets-better"),
        pytest.param(a_week(daily=0.005), id="too-small-to-matter"),
        pytest.param(a_week(daily=0.05, days=3), id="three-days-only"),
        pytest.param(a_week(daily=0.05).model_copy(update={"direction": Direction.BOTH}), id="no-direction-is-worse"),
        pytest.param(with_values(a_week(), np.full(2016, 80.0)), id="flat"),
        pytest.param(with_values(a_week(), np.full(2016, np.nan)), id="nothing-measured"),
    ],
)
def test_no_creep(series: Series) -> None:
    assert find_creep(series) is None


def test_one_step_is_left_to_the_detectors_of_shifts() -> None:
    values = a_week().values.array.copy()
    values[1000:] *= 1.5

    assert find_creep(with_values(a_week(), values)) is None


def test_falling_hit_ratio_is_worse() -> None:
    week = a_week(daily=-0.05).model_copy(update={"measure": Measure.CACHE_HIT_RATIO})

    creep = find_creep(week)

    assert creep is not None
    assert creep.daily_ratio == pytest.approx(-0.05, abs=0.015)
    assert "falls by" in creep.sentence


def test_hours_that_are_not_measured_on_some_days_do_not_look_like_a_trend() -> None:
    week = a_week(depth=0.6)
    values = week.values.array.copy()
    hours = np.arange(len(values)) // 12
    # Nights are measured in the second half of the week only.
    values[(hours % 24 < 10) & (hours < 84)] = np.nan

    assert find_creep(with_values(week, values)) is None


def test_creep_is_found_through_gaps() -> None:
    week = a_week(daily=0.06)
    values = week.values.array.copy()
    values[500:800] = np.nan

    assert find_creep(with_values(week, values)) is not None


def test_intervals_hold_the_true_change_as_often_as_they_say() -> None:
    weeks = [a_week(daily=0.06, seed=seed) for seed in range(40)]
    found = [creep for creep in map(find_creep, weeks) if creep is not None]

    assert len(found) >= 38
    assert sum(creep.low <= 0.06 <= creep.high for creep in found) >= 0.85 * len(found)


@pytest.mark.parametrize("correlation", [0.0, 0.8, 0.95])
def test_false_alarms_are_rare(correlation: float) -> None:
    rng = np.random.default_rng(9)
    weeks = [latency_week(rng, daily=0.0, correlation=correlation, depth=0.4) for _ in range(40)]

    assert sum(find_creep(week) is not None for week in weeks) <= 1


def test_trend_of_a_line_is_exact() -> None:
    times = np.arange(20.0)

    trend = fit_trend(times, 3 * times + 1)

    assert (trend.slope, trend.low, trend.high) == (3.0, 3.0, 3.0)
    assert trend.z > 5


def test_equal_samples_have_no_trend() -> None:
    trend = fit_trend(np.arange(10.0), np.full(10, 4.0))

    assert (trend.slope, trend.z) == (0.0, 0.0)


def test_one_outlier_does_not_move_the_trend() -> None:
    times = np.arange(30.0)
    values = 0.5 * times
    values[7] = 1e6

    assert fit_trend(times, values).slope == pytest.approx(0.5, abs=0.01)


def test_autocorrelation_widens_the_interval() -> None:
    rng = np.random.default_rng(2)
    steps = rng.normal(size=200)
    wander = np.zeros(200)
    for n in range(1, 200):
        wander[n] = 0.9 * wander[n - 1] + steps[n]

    correlated, independent = fit_trend(np.arange(200.0), wander), fit_trend(np.arange(200.0), steps)

    assert correlated.autocorrelation > 0.7
    assert independent.autocorrelation < 0.2
    assert correlated.high - correlated.low > 3 * (independent.high - independent.low)
