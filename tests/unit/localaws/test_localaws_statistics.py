"""Statistics of one period, and the store they are read from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localaws.errors import AwsError
from localaws.metrics.statistics import Bucket, StatisticSet, compute, parse_statistic
from localaws.metrics.store import MetricId, MetricStore, Retention

HUNDRED = Bucket([float(value) for value in range(100, 0, -1)], [1.0] * 100)
METRIC = MetricId("Shop", "Latency", (("component", "checkout"),))


def value_of(name: str, bucket: Bucket = HUNDRED) -> float | None:
    return compute(parse_statistic(name), bucket)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("TC(12.5:)", 88.0, id="above-a-fraction"),
        pytest.param("TC(12:)", 88.0, id="lower-bound-is-excluded"),
        pytest.param("TC(:12)", 12.0, id="upper-bound-is-included"),
        pytest.param("TC(10:20)", 10.0, id="both-bounds"),
        pytest.param("TC(100:)", 0.0, id="nothing-above-is-zero"),
        pytest.param("PR(:12.5)", 12.0, id="percentile-rank"),
        pytest.param("PR(50:75)", 25.0, id="percentile-rank-range"),
        pytest.param("TS(98:)", 199.0, id="trimmed-sum"),
        pytest.param("TM(90%:)", 95.5, id="trimmed-mean-by-rank"),
        pytest.param("TM(10:12)", 11.5, id="trimmed-mean-by-value"),
        pytest.param("TM(200:)", None, id="mean-of-nothing-is-missing"),
        pytest.param("tm50", 25.5, id="short-form"),
        pytest.param("IQM", 50.5, id="interquartile-mean"),
        pytest.param("WM(:50)", 37.75, id="winsorized-by-value"),
        pytest.param("WM(10%:90%)", 50.5, id="winsorized-by-rank"),
        pytest.param("p0", 1.0, id="p0"),
        pytest.param("p99.9", 99.901, id="fractional-percentile"),
        pytest.param("p100", 100.0, id="p100"),
    ],
)
def test_statistic_has_its_documented_value(name: str, expected: float | None) -> None:
    assert value_of(name) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    "name", ["p101", "P", "TC", "TC()", "TC(:)", "TC(20:10)", "TC(10%:20)", "PR(:50%)", "TM(:101%)", "Median", ""]
)
def test_unknown_statistic_is_refused(name: str) -> None:
    with pytest.raises(AwsError) as caught:
        parse_statistic(name)

    assert caught.value.code == "ValidationError"
    assert repr(name) in caught.value.message


@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 4)), min_size=1, max_size=20),
    st.sampled_from(["p50", "p95", "TC(3:)", "PR(:7)", "tm90", "WM(10%:90%)", "Average", "Sum", "TS(:0)"]),
)
def test_counts_mean_the_same_as_repeated_values(pairs: list[tuple[int, int]], name: str) -> None:
    weighted = Bucket([float(value) for value, _ in pairs], [float(count) for _, count in pairs])
    repeated = [float(value) for value, count in pairs for _ in range(count)]

    one, other = value_of(name, weighted), value_of(name, Bucket(repeated, [1.0] * len(repeated)))

    assert one == (None if other is None else pytest.approx(other))


def test_statistic_sets_have_no_percentiles() -> None:
    bucket = Bucket([5.0], [1.0], [StatisticSet(0.0, 3.0, 30.0, 2.0, 20.0)])

    assert [value_of(name, bucket) for name in ("Sum", "SampleCount", "Minimum", "Maximum", "Average")] == [
        35.0,
        4.0,
        2.0,
        20.0,
        8.75,
    ]
    assert value_of("p50", bucket) is None
    assert value_of("TC(1:)", bucket) is None


def test_empty_period_has_no_value() -> None:
    assert value_of("Sum", Bucket([], [])) is None
    assert value_of("TC(1:)", Bucket([], [])) is None


def a_store(*, now_s: float = 1_000_000.0, **retention: float) -> MetricStore:
    return MetricStore(lambda: now_s, Retention(**retention))  # type: ignore[arg-type]


def test_samples_out_of_order_fall_into_aligned_periods() -> None:
    store = a_store()
    for at_s in (125.0, 61.0, 60.0, 119.0, 180.0):
        store.put(METRIC, at_s, [(1.0, 1.0)], unit=None)
    store.put_set(METRIC, StatisticSet(121.0, 2.0, 5.0, 1.0, 4.0), unit=None)

    found = store.query(METRIC, parse_statistic("SampleCount"), start_s=60.0, end_s=180.0, period_s=60)

    assert found == {60.0: 3.0, 120.0: 3.0}


def test_oldest_samples_go_beyond_the_bound() -> None:
    store = a_store(max_points=100)
    for second in range(250):
        store.put(METRIC, 999_000.0 + second, [(float(second), 1.0)], unit=None)

    kept = store.query(METRIC, parse_statistic("Minimum"), start_s=0.0, end_s=2e6, period_s=2_000_000)

    assert store.point_count <= 100
    assert kept[0.0] >= 150.0


def test_samples_older_than_the_retention_go() -> None:
    now_s = [1_000_000.0]
    store = MetricStore(lambda: now_s[0], Retention(max_age_s=3_600.0))
    store.put(METRIC, now_s[0], [(1.0, 1.0)], unit=None)
    now_s[0] += 10_000.0

    store.put(MetricId("Shop", "Other"), now_s[0], [(1.0, 1.0)], unit=None)

    assert store.metrics() == [MetricId("Shop", "Other")]
    assert store.point_count == 1
