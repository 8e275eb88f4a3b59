"""Meaning of metric math: values, operators, functions and the order in which queries depend on each other."""

import itertools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from localaws.metrics.expressions import (
    Binary,
    Call,
    Listing,
    Name,
    Node,
    Number,
    Text,
    expression_error,
    parse_expression,
    referenced_names,
    uses_metrics,
)


@dataclass(frozen=True)
class TimeSeries:
    """Values by the start of their period."""

    points: Mapping[float, float]
    period_s: int


Value = float | TimeSeries | list[TimeSeries] | str
"""A scalar, one series, several series, or the text argument of a function."""


@dataclass
class Scope:
    """What the expressions of one request may refer to."""

    metrics: Mapping[str, TimeSeries]
    """Results of the queries that name a metric, by query id."""
    expressions: Mapping[str, str]
    """Sources of the queries that are expressions, by query id."""
    start_s: float
    end_s: float
    _done: dict[str, TimeSeries] = field(default_factory=dict)
    _active: list[str] = field(default_factory=list)

    def series(self, query_id: str) -> TimeSeries:
        """The result of a query, evaluating the expressions it depends on first.

        A scalar result becomes a series with that value wherever one of the metrics it mentions has one.

        Raises:
            AwsError: The expression is invalid, unsupported, circular, or yields several series.
        """
        if query_id in self.metrics:
            return self.metrics[query_id]
        if query_id in self._done:
            return self._done[query_id]
        if query_id not in self.expressions:
            raise expression_error(f"{query_id!r} is no id of this request")
        if query_id in self._active:
            raise expression_error(f"circular reference: {' -> '.join([*self._active, query_id])}")
        self._active.append(query_id)
        node = parse_expression(self.expressions[query_id])
        result = self._as_series(query_id, node, _evaluate(node, self))
        self._active.pop()
        self._done[query_id] = result
        return result

    def _as_series(self, query_id: str, node: Node, value: Value) -> TimeSeries:
        if isinstance(value, TimeSeries):
            return value
        if isinstance(value, (list, str)):
            raise expression_error(f"localaws supports one time series per expression; {query_id!r} has several")
        names = set(self.metrics) if uses_metrics(node) else referenced_names(node)
        mentioned = [self.series(name) for name in sorted(names) if self.knows(name)]
        if not mentioned:
            raise expression_error(f"{query_id!r} mentions no metric")
        times = sorted(set().union(*(item.points for item in mentioned)))
        return TimeSeries(dict.fromkeys(times, value), _common_period(mentioned))

    def knows(self, name: str) -> bool:
        return name in self.metrics or name in self.expressions


def _evaluate(node: Node, scope: Scope) -> Value:
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Text):
        return node.value
    if isinstance(node, Name):
        if node.name in ("REPEAT", "LINEAR") and not scope.knows(node.name):
            return node.name
        return scope.series(node.name)
    if isinstance(node, Listing):
        return [item for child in node.items for item in _each_series(_evaluate(child, scope))]
    if isinstance(node, Binary):
        return _binary(node.operator, _evaluate(node.left, scope), _evaluate(node.right, scope))
    return _call(node, scope)


def _each_series(value: Value) -> list[TimeSeries]:
    if isinstance(value, TimeSeries):
        return [value]
    if isinstance(value, list):
        return value
    raise expression_error("a list may hold time series only")


def _common_period(series: Sequence[TimeSeries]) -> int:
    periods = {item.period_s for item in series}
    if len(periods) != 1:
        raise expression_error(f"localaws needs one period per expression, found {sorted(periods)}")
    return periods.pop()


_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": operator.pow,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "AND": lambda a, b: bool(a) and bool(b),
    "OR": lambda a, b: bool(a) or bool(b),
}


def _apply(symbol: str, left: float | None, right: float | None) -> float | None:
    """None where CloudWatch leaves a gap: a missing side, a division by zero, an imaginary or huge power."""
    if left is None or right is None:
        return None
    try:
        result = _OPERATORS[symbol](left, right)
        return None if isinstance(result, complex) else float(result)
    except (ZeroDivisionError, OverflowError):
        return None


def _binary(symbol: str, left: Value, right: Value) -> Value:
    if isinstance(left, str) or isinstance(right, str):
        raise expression_error(f"{symbol!r} takes no text")
    if isinstance(left, list):
        if isinstance(right, list):
            raise expression_error(f"{symbol!r} between two lists of series is not supported")
        return [_combined(symbol, item, right) for item in left]
    if isinstance(right, list):
        return [_combined(symbol, left, item) for item in right]
    if isinstance(left, float) and isinstance(right, float):
        result = _apply(symbol, left, right)
        if result is None:
            raise expression_error(f"{left} {symbol} {right} has no value")
        return result
    return _combined(symbol, left, right)


def _combined(symbol: str, left: float | TimeSeries, right: float | TimeSeries) -> TimeSeries:
    series = [item for item in (left, right) if isinstance(item, TimeSeries)]
    times = sorted(set.intersection(*(set(item.points) for item in series)))
    values = ((at_s, _apply(symbol, _at(left, at_s), _at(right, at_s))) for at_s in times)
    return TimeSeries({at_s: v for at_s, v in values if v is not None}, _common_period(series))


def _at(value: float | TimeSeries, at_s: float) -> float | None:
    return value if isinstance(value, float) else value.points.get(at_s)


def _call(node: Call, scope: Scope) -> Value:
    if node.function == "METRICS":
        return _metrics(node, scope)
    function = _FUNCTIONS.get(node.function)
    if function is None:
        raise expression_error(f"localaws does not support the function {node.function}")
    arguments = [_evaluate(argument, scope) for argument in node.arguments]
    return function(arguments, scope)


def _metrics(node: Call, scope: Scope) -> list[TimeSeries]:
    wanted = [_evaluate(argument, scope) for argument in node.arguments]
    if len(wanted) > 1 or not all(isinstance(item, str) for item in wanted):
        raise expression_error("METRICS takes at most one text")
    return [series for name, series in scope.metrics.items() if not wanted or str(wanted[0]) in name]


def _one_series(function: str, arguments: Sequence[Value]) -> TimeSeries:
    if len(arguments) != 1 or not isinstance(arguments[0], TimeSeries):
        raise expression_error(f"{function} takes one time series")
    return arguments[0]


def _aggregate(function: str, reduce: Callable[[Sequence[float]], float]) -> "Function":
    def aggregate(arguments: Sequence[Value], scope: Scope) -> Value:
        if len(arguments) != 1 or isinstance(arguments[0], (float, str)):
            raise expression_error(f"{function} takes one time series or one list of them")
        if isinstance(arguments[0], TimeSeries):
            values = list(arguments[0].points.values())
            if not values:
                return arguments[0]
            return float(reduce(values))
        series = arguments[0]
        if not series:
            raise expression_error(f"{function} got an empty list")
        times = sorted(set().union(*(item.points for item in series)))
        return TimeSeries(
            {t: float(reduce([s.points[t] for s in series if t in s.points])) for t in times},
            _common_period(series),
        )

    return aggregate


def _period(arguments: Sequence[Value], scope: Scope) -> Value:
    return float(_one_series("PERIOD", arguments).period_s)


def _absolute(arguments: Sequence[Value], scope: Scope) -> Value:
    series = _one_series("ABS", arguments)
    return TimeSeries({at_s: abs(value) for at_s, value in series.points.items()}, series.period_s)


def _change(function: str) -> "Function":
    def change(arguments: Sequence[Value], scope: Scope) -> Value:
        series = _one_series(function, arguments)
        times = sorted(series.points)
        found = {}
        for before, at_s in itertools.pairwise(times):
            elapsed_s = at_s - before if function == "RATE" else 1.0
            found[at_s] = (series.points[at_s] - series.points[before]) / elapsed_s
        return TimeSeries(found, series.period_s)

    return change


def _fill(arguments: Sequence[Value], scope: Scope) -> Value:
    if len(arguments) != 2 or not isinstance(arguments[0], TimeSeries) or isinstance(arguments[1], list):
        raise expression_error("FILL takes a time series and a number, a time series, REPEAT or LINEAR")
    series, filler = arguments
    assert isinstance(series, TimeSeries)
    times = list(_grid(series.period_s, scope))
    if filler == "REPEAT":
        return TimeSeries(dict(_repeated(series, times)), series.period_s)
    if filler == "LINEAR":
        return TimeSeries(dict(_interpolated(series, times)), series.period_s)
    if isinstance(filler, (str, list)):
        raise expression_error(f"FILL cannot fill with {filler!r}")
    filled = ((t, series.points[t] if t in series.points else _at(filler, t)) for t in times)
    return TimeSeries({t: value for t, value in filled if value is not None}, series.period_s)


def _grid(period_s: int, scope: Scope) -> Iterator[float]:
    at_s = scope.start_s // period_s * period_s
    while at_s < scope.end_s:
        yield at_s
        at_s += period_s


def _repeated(series: TimeSeries, times: Sequence[float]) -> Iterator[tuple[float, float]]:
    last: float | None = None
    for at_s in times:
        last = series.points.get(at_s, last)
        if last is not None:
            yield at_s, last


def _interpolated(series: TimeSeries, times: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Gaps between two values only; the edges stay missing."""
    known = [at_s for at_s in times if at_s in series.points]
    for at_s in times:
        if at_s in series.points:
            yield at_s, series.points[at_s]
            continue
        before = [t for t in known if t < at_s][-1:]
        after = [t for t in known if t > at_s][:1]
        if before and after:
            share = (at_s - before[0]) / (after[0] - before[0])
            low, high = series.points[before[0]], series.points[after[0]]
            yield at_s, low + share * (high - low)


def _if(arguments: Sequence[Value], scope: Scope) -> Value:
    if len(arguments) not in (2, 3) or any(isinstance(item, (list, str)) for item in arguments):
        raise expression_error("IF takes a condition, a value and optionally another value")
    condition, *branches = [item for item in arguments if isinstance(item, (float, TimeSeries))]
    series = [item for item in (condition, *branches) if isinstance(item, TimeSeries)]
    other = branches[1] if len(branches) == 2 else None
    if not series:
        branch = branches[0] if condition else other
        if isinstance(branch, float):
            return branch
        raise expression_error("IF has no value")
    source = condition if isinstance(condition, TimeSeries) else None
    times = sorted(source.points if source else set().union(*(item.points for item in series)))
    found = {}
    for at_s in times:
        branch = branches[0] if _at(condition, at_s) else other
        value = None if branch is None else _at(branch, at_s)
        if value is not None:
            found[at_s] = value
    return TimeSeries(found, _common_period(series))


Function = Callable[[Sequence[Value], Scope], Value]

_FUNCTIONS: dict[str, Function] = {
    "SUM": _aggregate("SUM", sum),
    "MIN": _aggregate("MIN", min),
    "MAX": _aggregate("MAX", max),
    "AVG": _aggregate("AVG", lambda values: sum(values) / len(values)),
    "ABS": _absolute,
    "PERIOD": _period,
    "RATE": _change("RATE"),
    "DIFF": _change("DIFF"),
    "FILL": _fill,
    "IF": _if,
}
