"""Work that need not be done."""

import numpy as np
import pytest

from selfbuild.analysis.efficiency import CacheProblem, Repetition, find_cache_waste, find_redundant_calls
from selfbuild.domain.telemetry import FloatArray, Measure, Samples, Series

PERIOD_S = 60
PAST = 60
RNG = np.random.default_rng(1)
TRAFFIC = RNG.poisson(200 + 80 * np.sin(np.arange(60) / 8)).astype(float)


def a_series(measure: Measure, values: FloatArray | list[float], *, metric: str = "") -> Series:
    return Series(
        component="orders",
        measure=measure,
        unit="Count",
        metric=metric,
        start=0.0,
        period_s=PERIOD_S,
        values=Samples(values),
    )


def a_ratio(past: float, recent: list[float]) -> Series:
    before = np.full(PAST, past) + np.random.default_rng(2).normal(0, 1, PAST)
    return a_series(Measure.CACHE_HIT_RATIO, np.concatenate([before, recent]))


def lookups(each: float, count: int = PAST + 20) -> Series:
    return a_series(Measure.CALLS, np.full(count, each))


def test_hit_ratio_that_fell_says_what_it_costs() -> None:
    found = find_cache_waste(a_ratio(90, [60.0] * 20), window_start=PAST * PERIOD_S, lookups=lookups(500))

    assert found is not None
    assert found.problem is CacheProblem.FELL
    assert found.hit_percent == pytest.approx(60)
    assert found.wasted_calls == pytest.approx(10_000 * 0.30, rel=0.02)
    assert found.confidence > 0.9
    assert "against 90 % before" in found.sentence


def test_hit_ratio_that_was_always_low_is_said_too() -> None:
    found = find_cache_waste(a_ratio(30, [30.0] * 20), window_start=PAST * PERIOD_S, lookups=lookups(500))

    assert found is not None
    assert found.problem is CacheProblem.LOW
    assert found.wasted_calls == pytest.approx(2_000)


def test_uncounted_lookups_are_not_invented() -> None:
    found = find_cache_waste(a_ratio(90, [60.0] * 20), window_start=PAST * PERIOD_S)

    assert found is not None
    assert found.wasted_calls is None
    assert "30 of 100 look-ups" in found.sentence


def test_ratio_is_weighted_by_lookups() -> None:
    busy = np.concatenate([np.full(PAST, 500.0), np.full(10, 10.0), np.full(10, 990.0)])

    found = find_cache_waste(
        a_ratio(90, [20.0] * 10 + [60.0] * 10),
        window_start=PAST * PERIOD_S,
        lookups=a_series(Measure.CALLS, busy),
    )

    assert found is not None
    assert found.hit_percent == pytest.approx(59.6)


@pytest.mark.parametrize(
    ("ratio", "each"),
    [
        pytest.param(a_ratio(90, [88.0] * 20), 500.0, id="as-ever"),
        pytest.param(a_ratio(90, [60.0] * 20), 5.0, id="hardly-used"),
        pytest.param(a_ratio(90, [30.0] * 4 + [90.0] * 16), 500.0, id="cold-for-a-while"),
        pytest.param(a_ratio(90, [10.0] * 3), 500.0, id="too-few-samples"),
        pytest.param(a_ratio(90, [np.nan] * 20), 500.0, id="nothing-measured"),
        pytest.param(a_ratio(60, [97.0] * 20), 500.0, id="better"),
    ],
)
def test_no_cache_waste(ratio: Series, each: float) -> None:
    assert find_cache_waste(ratio, window_start=PAST * PERIOD_S, lookups=lookups(each)) is None


def calls_of(values: FloatArray) -> Series:
    return a_series(Measure.CALLS, values, metric="database.queries")


REQUESTS = a_series(Measure.REQUESTS, TRAFFIC)


def test_same_number_of_calls_each_request_is_repetition() -> None:
    found = find_redundant_calls(REQUESTS, calls_of(3 * TRAFFIC))

    assert found is not None
    assert found.repetition is Repetition.CONSTANT
    assert found.calls_per_request == pytest.approx(3.0)
    assert found.avoidable_calls == pytest.approx(2 * TRAFFIC.sum())
    assert "database.queries" in found.sentence


def test_one_call_for_each_of_many_things_is_found() -> None:
    rows = np.random.default_rng(3).uniform(8, 16, len(TRAFFIC))

    found = find_redundant_calls(REQUESTS, calls_of(np.round(TRAFFIC * (1 + rows))))

    assert found is not None
    assert found.repetition is Repetition.VARYING
    assert found.low < found.calls_per_request < found.high
    assert found.calls_per_request == pytest.approx(13, abs=1)


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param(TRAFFIC, id="one-a-request"),
        pytest.param(np.full(60, 2000.0), id="by-the-clock"),
        pytest.param(2 * TRAFFIC + 3000, id="mostly-by-the-clock"),
        pytest.param(np.random.default_rng(4).poisson(900, 60).astype(float), id="independent-of-requests"),
        pytest.param(np.full(60, np.nan), id="nothing-measured"),
        pytest.param(np.concatenate([3 * TRAFFIC[:8], np.full(52, np.nan)]), id="too-few-periods"),
    ],
)
def test_no_redundant_calls(calls: FloatArray) -> None:
    assert find_redundant_calls(REQUESTS, calls_of(calls)) is None


def test_even_traffic_says_nothing_on_where_calls_come_from() -> None:
    even = np.full(60, 200.0)

    assert find_redundant_calls(a_series(Measure.REQUESTS, even), calls_of(3 * even)) is None


def test_missing_periods_are_left_out() -> None:
    calls = 3 * TRAFFIC
    calls[::3] = np.nan

    found = find_redundant_calls(REQUESTS, calls_of(calls))

    assert found is not None
    assert found.calls_per_request == pytest.approx(3.0)
