"""Metric math: precedence, gaps, functions and refusals."""

import pytest

from localaws.errors import AwsError
from localaws.metrics.evaluation import Scope, TimeSeries

A = TimeSeries({0.0: 1.0, 60.0: 2.0, 180.0: 8.0}, 60)
B = TimeSeries({0.0: 2.0, 60.0: 0.0, 120.0: 5.0}, 60)


def result_of(expression: str, **others: str) -> dict[float, float]:
    scope = Scope({"a": A, "b": B}, {"x": expression, **others}, 0.0, 240.0)
    return dict(scope.series("x").points)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param("1 + 2 * a ^ 2", {0.0: 3.0, 60.0: 9.0, 180.0: 129.0}, id="precedence"),
        pytest.param("-(a - 1) / 2", {0.0: 0.0, 60.0: -0.5, 180.0: -3.5}, id="unary-minus"),
        pytest.param("a / b", {0.0: 0.5}, id="gap-where-a-side-is-missing-or-zero"),
        pytest.param("a > 1 AND a < 8", {0.0: 0.0, 60.0: 1.0, 180.0: 0.0}, id="comparison"),
        pytest.param("SUM([a, b])", {0.0: 3.0, 60.0: 2.0, 120.0: 5.0, 180.0: 8.0}, id="sum-of-series"),
        pytest.param("MAX(METRICS())", {0.0: 2.0, 60.0: 2.0, 120.0: 5.0, 180.0: 8.0}, id="metrics"),
        pytest.param("AVG(METRICS('a'))", {0.0: 1.0, 60.0: 2.0, 180.0: 8.0}, id="metrics-by-name"),
        pytest.param("MIN(a)", {0.0: 1.0, 60.0: 1.0, 180.0: 1.0}, id="scalar-spreads"),
        pytest.param("FILL(a, 0)", {0.0: 1.0, 60.0: 2.0, 120.0: 0.0, 180.0: 8.0}, id="fill-number"),
        pytest.param("FILL(b, REPEAT)", {0.0: 2.0, 60.0: 0.0, 120.0: 5.0, 180.0: 5.0}, id="fill-repeat"),
        pytest.param("FILL(a, LINEAR)", {0.0: 1.0, 60.0: 2.0, 120.0: 5.0, 180.0: 8.0}, id="fill-linear"),
        pytest.param("FILL(a, b)", {0.0: 1.0, 60.0: 2.0, 120.0: 5.0, 180.0: 8.0}, id="fill-series"),
        pytest.param("IF(a > 1, a, 0)", {0.0: 0.0, 60.0: 2.0, 180.0: 8.0}, id="if-else"),
        pytest.param("IF(a > 1, a)", {60.0: 2.0, 180.0: 8.0}, id="if-without-else"),
        pytest.param("DIFF(a)", {60.0: 1.0, 180.0: 6.0}, id="diff"),
        pytest.param("RATE(a) * 60", {60.0: 1.0, 180.0: 3.0}, id="rate"),
        pytest.param("a / PERIOD(a)", {0.0: 1 / 60, 60.0: 2 / 60, 180.0: 8 / 60}, id="period"),
    ],
)
def test_expression_has_its_value(expression: str, expected: dict[float, float]) -> None:
    assert result_of(expression) == pytest.approx(expected)


def test_expressions_may_depend_on_later_ones() -> None:
    assert result_of("y + 1", y="b * 2") == {0.0: 5.0, 60.0: 1.0, 120.0: 11.0}


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("a +", "too early"),
        ("a b", "unexpected 'b'"),
        ("c * 2", "'c'"),
        ("STDDEV(a)", "STDDEV"),
        ("x + 1", "circular"),
        ("5", "mentions no metric"),
        ("METRICS()", "one time series"),
        ("SEARCH('x', 'Sum')", "SEARCH"),
        ("select avg(x) from y", "SELECT"),
        ("a # b", "unexpected character"),
        ("1 / 0 + a", "no value"),
    ],
)
def test_bad_expression_is_refused_by_name(expression: str, word: str) -> None:
    with pytest.raises(AwsError) as caught:
        result_of(expression)

    assert caught.value.code == "ValidationError"
    assert word in caught.value.message


def test_mixed_periods_are_refused() -> None:
    scope = Scope({"a": A, "b": TimeSeries({0.0: 1.0}, 300)}, {"x": "a + b"}, 0.0, 240.0)

    with pytest.raises(AwsError, match="one period"):
        scope.series("x")
