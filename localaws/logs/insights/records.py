"""The rows that flow through an Insights query, and how their values compare and print."""

import datetime as dt
import json
import math
from typing import Any


class Moment(int):
    """Milliseconds since the epoch that print as a time."""


class Record:
    """A log event, or a row that `stats` made; fields of a JSON message are found by their dotted path."""

    __slots__ = ("_document", "_message", "values")

    def __init__(self, values: dict[str, Any], message: str | None = None) -> None:
        self.values = values
        self._message = message
        self._document: Any = None

    def get(self, name: str) -> Any:
        """The value of a field, or None."""
        if name in self.values:
            return self.values[name]
        if self._message is None:
            return None
        if name == "@message":
            return self._message
        if self._document is None:
            self._document = _parsed(self._message)
        return _found(self._document, name)


def _parsed(message: str) -> Any:
    if not message.startswith("{"):
        return {}
    try:
        return json.loads(message)
    except ValueError:
        return {}


def _found(document: Any, name: str) -> Any:
    if isinstance(document, dict) and name in document:
        return document[name]
    value = document
    for part in name.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def number(value: Any) -> float | None:
    """The value as a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def text(value: Any) -> str:
    """The value as a query result shows it: at most four decimals, times in UTC."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, Moment):
        moment = dt.datetime.fromtimestamp(value // 1000, dt.UTC)
        return f"{moment:%Y-%m-%d %H:%M:%S}.{value % 1000:03d}"
    if isinstance(value, float):
        return str(int(value)) if value == int(value) else f"{value:.4f}".rstrip("0").rstrip(".")
    return json.dumps(value)


def equal(left: Any, right: Any) -> bool:
    """Equality as in a filter: numbers by value even when one is text; nothing equals a missing value."""
    if left is None or right is None:
        return False
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    first, second = number(left), number(right)
    if first is not None and second is not None:
        return first == second
    return text(left) == text(right)


def sort_key(value: Any) -> tuple[int, float, str]:
    """Missing values first, then numbers, then text."""
    if value is None:
        return (0, 0.0, "")
    found = number(value)
    return (1, found, "") if found is not None else (2, 0.0, text(value))
