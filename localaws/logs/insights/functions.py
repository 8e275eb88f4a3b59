"""Scalar and aggregate functions of Insights queries."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from localaws.logs.insights.records import Moment, number, text
from localaws.logs.insights.tokens import malformed


def _numeric(function: Callable[[float], float]) -> Callable[[Any], Any]:
    def apply(value: Any) -> Any:
        found = number(value)
        return None if found is None else function(found)

    return apply


def _textual(function: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else function(text(value))


def _substring(value: Any, start: Any, length: Any = None) -> Any:
    if value is None:
        return None
    first = int(start)
    return text(value)[first : None if length is None else first + int(length)]


def _replaced(value: Any, old: Any, new: Any) -> Any:
    return None if value is None else text(value).replace(text(old), text(new))


# Name to implementation with its least and greatest number of arguments.
SCALARS: Mapping[str, tuple[Callable[..., Any], int, int]] = {
    "ispresent": (lambda value: value is not None, 1, 1),
    "isempty": (lambda value: value is None or value == "", 1, 1),
    "isblank": (lambda value: value is None or not text(value).strip(), 1, 1),
    "strlen": (_textual(len), 1, 1),
    "tolower": (_textual(str.lower), 1, 1),
    "toupper": (_textual(str.upper), 1, 1),
    "trim": (_textual(str.strip), 1, 1),
    "strcontains": (lambda value, part: value is not None and text(part) in text(value), 2, 2),
    "concat": (lambda *values: "".join(text(value) for value in values if value is not None), 1, 99),
    "coalesce": (lambda *values: next((value for value in values if value is not None), None), 1, 99),
    "substr": (_substring, 2, 3),
    "replace": (_replaced, 3, 3),
    "abs": (_numeric(abs), 1, 1),
    "floor": (_numeric(math.floor), 1, 1),
    "ceil": (_numeric(math.ceil), 1, 1),
    "tomillis": (lambda value: None if value is None else int(value), 1, 1),
}

Row = tuple[int, Any]
"""When the event was, and the value of the aggregate's first argument."""


def _numbers(rows: Sequence[Row]) -> list[float]:
    return [found for _, value in rows if (found := number(value)) is not None]


def _over_numbers(function: Callable[[list[float]], float]) -> Callable[[Sequence[Row]], Any]:
    def apply(rows: Sequence[Row]) -> Any:
        values = _numbers(rows)
        return function(values) if values else None

    return apply


def _first_present(rows: Sequence[Row]) -> Any:
    return next((value for _, value in sorted(rows, key=lambda row: row[0]) if value is not None), None)


def _last_present(rows: Sequence[Row]) -> Any:
    ordered = sorted(rows, key=lambda row: row[0], reverse=True)
    return next((value for _, value in ordered if value is not None), None)


AGGREGATES: Mapping[str, Callable[[Sequence[Row]], Any]] = {
    "count": lambda rows: sum(value is not None for _, value in rows),
    "count_distinct": lambda rows: len({text(value) for _, value in rows if value is not None}),
    "sum": _over_numbers(math.fsum),
    "avg": _over_numbers(lambda values: math.fsum(values) / len(values)),
    "min": _over_numbers(min),
    "max": _over_numbers(max),
    "stddev": _over_numbers(statistics.pstdev),
    "median": _over_numbers(statistics.median),
    "earliest": _first_present,
    "latest": _last_present,
}


def percentile(rows: Sequence[Row], percent: float) -> float | None:
    """Linear interpolation between closest ranks; None without numbers."""
    values = sorted(_numbers(rows))
    if not values:
        return None
    position = percent / 100 * (len(values) - 1)
    below = math.floor(position)
    above = min(below + 1, len(values) - 1)
    return values[below] + (position - below) * (values[above] - values[below])


def binned(at_ms: Any, width_ms: int) -> Moment | None:
    """The start of the bin a time lies in."""
    if width_ms <= 0:
        raise malformed("bin() needs a positive duration")
    return None if at_ms is None else Moment(int(at_ms) // width_ms * width_ms)
