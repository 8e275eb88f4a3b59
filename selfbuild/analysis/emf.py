"""Metric points out of log lines in the CloudWatch embedded metric format (EMF)."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

MAX_METRICS = 100
"""Metric definitions in one line that CloudWatch reads (EMF specification)."""
MAX_DIMENSIONS = 30
"""Dimensions in one set that CloudWatch reads (EMF specification)."""
MAX_DIMENSION_SETS = 100
MAX_VALUES = 100
"""Values of one metric in one line that CloudWatch reads (EMF specification)."""
MAX_NAME = 255
MAX_LINE = 1_048_576
"""Characters of a line; an event of CloudWatch Logs has at most as many bytes."""


class MetricPoint(NamedTuple):
    """What one line says about one metric under one set of dimensions."""

    namespace: str
    metric: str
    unit: str
    """As the line names it; "None" where it names none, as CloudWatch does."""
    dimensions: tuple[tuple[str, str], ...]
    """Name and value, sorted by name."""
    at: float
    """Seconds since the epoch."""
    values: tuple[float, ...]


def parse_object(line: str | Mapping[str, Any]) -> dict[str, Any] | None:
    """The JSON object of a line, also behind a prefix that something put before it; None where there is none."""
    if isinstance(line, Mapping):
        return {str(key): value for key, value in line.items()}
    start = line.find("{", 0, 300)
    if start < 0 or len(line) > MAX_LINE or not line.rstrip().endswith("}"):
        return None
    try:
        parsed = json.loads(line[start:])
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def emf_points(line: str | Mapping[str, Any]) -> tuple[MetricPoint, ...]:
    """The points of an EMF line, one for each metric and set of dimensions; empty for any other line.

    A metric or dimension that the line declares and does not have is left out, as CloudWatch does; so is a value that
    is no finite number. Never raises.
    """
    if isinstance(line, str) and '"_aws"' not in line:
        return ()
    fields = parse_object(line)
    envelope = fields.get("_aws") if fields else None
    if fields is None or not isinstance(envelope, dict):
        return ()
    timestamp = as_number(envelope.get("Timestamp"))
    if timestamp is None:
        return ()
    return tuple(
        point
        for directive in _dicts(envelope.get("CloudWatchMetrics"))
        for point in _points(directive, fields, timestamp / 1000)
    )


def as_number(value: object) -> float | None:
    """A finite number that is one, or a text that reads as one; None for anything else, also for truth values."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def clean(text: str, *, limit: int) -> str:
    """The text cut to `limit` characters, without halves of surrogate pairs: JSON may hold them, UTF-8 may not."""
    cut = text[:limit]
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()


def _points(directive: dict[str, Any], fields: dict[str, Any], at: float) -> Iterator[MetricPoint]:
    namespace = directive.get("Namespace")
    sets = directive.get("Dimensions")
    chosen = [_dimensions(each, fields) for each in sets[:MAX_DIMENSION_SETS]] if isinstance(sets, list) else [()]
    for metric in _dicts(directive.get("Metrics"))[:MAX_METRICS]:
        name, unit = metric.get("Name"), metric.get("Unit")
        values = _values(fields.get(name)) if isinstance(name, str) else ()
        if not isinstance(namespace, str) or not isinstance(name, str) or not values:
            continue
        for dimensions in chosen:
            if dimensions is not None:
                unit_name = _name(unit) if isinstance(unit, str) else "None"
                yield MetricPoint(_name(namespace), _name(name), unit_name, dimensions, at, values)


def _dimensions(names: object, fields: dict[str, Any]) -> tuple[tuple[str, str], ...] | None:
    """A set with its values; None when the line lacks one of them."""
    if not isinstance(names, list) or len(names) > MAX_DIMENSIONS:
        return None
    found = [(name, fields.get(name)) for name in names if isinstance(name, str)]
    if len(found) < len(names) or not all(isinstance(value, str | int | float) for _, value in found):
        return None
    return tuple(sorted((_name(name), _name(str(value))) for name, value in found))


def _values(value: object) -> tuple[float, ...]:
    numbers = [as_number(each) for each in (value[:MAX_VALUES] if isinstance(value, list) else [value])]
    if isinstance(value, str):
        return ()
    return tuple(number for number in numbers if number is not None)


def _name(text: str) -> str:
    return clean(text, limit=MAX_NAME)


def _dicts(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
