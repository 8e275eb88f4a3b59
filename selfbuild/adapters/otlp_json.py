"""OTLP in its JSON encoding: metric points and log records of one line, with all their attributes.

Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding (64-bit numbers are text, enums are
numbers). What is read is untrusted: a member of another type than expected makes the line unreadable.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from selfbuild.adapters.otlp_histograms import Histogram

MAX_BUCKETS = 2000
"""Buckets of one data point; SDKs use 160 at most."""
MAX_OFFSET = 2**31
"""Bucket offsets have 32 bits."""
_NO_RECORDED_VALUE = 1
_CUMULATIVE = (2, "AGGREGATION_TEMPORALITY_CUMULATIVE")

Attributes = Mapping[str, str]


class MetricPoint(NamedTuple):
    """One data point."""

    name: str
    unit: str
    """As UCUM writes it: ms, s, 1, {request}."""
    attributes: Attributes
    """Of the resource and of the point, which wins."""
    stream: tuple[Any, ...]
    """What tells one sequence of points from another."""
    kind: Literal["value", "increase", "total"]
    """A measured value, what was added since `start_ns`, or all since `start_ns`."""
    start_ns: int
    """0 = not told."""
    time_ns: int
    value: float | None
    histogram: Histogram | None


class LogRecord(NamedTuple):
    """One log record."""

    time_ns: int
    severity: int
    """1 to 24, 0 = not told."""
    severity_text: str
    body: str
    """JSON where it is structured."""
    attributes: Attributes
    trace_id: str


def points_of(document: Any) -> Iterator[MetricPoint]:
    """The metric points of a line; summaries are left out, their quantiles cannot be added up.

    Raises:
        ValueError, TypeError, AttributeError, KeyError: the document is no OTLP.
    """
    for resource in document.get("resourceMetrics", ()):
        outer = _attributes(resource.get("resource", {}).get("attributes", ()))
        for scope in resource.get("scopeMetrics", ()):
            name = scope.get("scope", {}).get("name", "")
            for metric in scope.get("metrics", ()):
                yield from _points(metric, outer, name)


def records_of(document: Any) -> Iterator[LogRecord]:
    """The log records of a line.

    Raises:
        ValueError, TypeError, AttributeError, KeyError: the document is no OTLP.
    """
    for resource in document.get("resourceLogs", ()):
        outer = _attributes(resource.get("resource", {}).get("attributes", ()))
        for scope in resource.get("scopeLogs", ()):
            for record in scope.get("logRecords", ()):
                time_ns = int(record.get("timeUnixNano") or 0) or int(record.get("observedTimeUnixNano") or 0)
                yield LogRecord(
                    time_ns=time_ns,
                    severity=_severity(record.get("severityNumber", 0)),
                    severity_text=str(record.get("severityText", "")),
                    body=_text(record.get("body", {})),
                    attributes={**outer, **_attributes(record.get("attributes", ()))},
                    trace_id=str(record.get("traceId", "")),
                )


def _severity(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _points(metric: Mapping[str, Any], outer: Attributes, scope: str) -> Iterator[MetricPoint]:
    for member in ("gauge", "sum", "histogram", "exponentialHistogram"):
        container = metric.get(member)
        if container is None:
            continue
        kind = _kind(member, container)
        for point in container.get("dataPoints", ()):
            if int(point.get("flags", 0)) & _NO_RECORDED_VALUE:
                continue
            attributes = {**outer, **_attributes(point.get("attributes", ()))}
            value, histogram = _content(member, point)
            yield MetricPoint(
                name=str(metric["name"]),
                unit=str(metric.get("unit", "")),
                attributes=attributes,
                stream=(metric["name"], scope, member, *sorted(attributes.items())),
                kind=kind,
                start_ns=int(point.get("startTimeUnixNano") or 0),
                time_ns=int(point["timeUnixNano"]),
                value=value,
                histogram=histogram,
            )


def _kind(member: str, container: Mapping[str, Any]) -> Literal["value", "increase", "total"]:
    if member == "gauge" or (member == "sum" and not container.get("isMonotonic", False)):
        return "value"
    return "total" if container.get("aggregationTemporality") in _CUMULATIVE else "increase"


def _content(member: str, point: Mapping[str, Any]) -> tuple[float | None, Histogram | None]:
    if member in ("gauge", "sum"):
        raw = point.get("asDouble", point.get("asInt"))
        value = None if raw is None else float(raw)
        return (value if value is not None and math.isfinite(value) else None), None
    if member == "histogram":
        return None, _explicit(point)
    return None, _exponential(point)


def _explicit(point: Mapping[str, Any]) -> Histogram:
    bounds, counts = point.get("explicitBounds", ()), point.get("bucketCounts", ())
    if len(counts) > MAX_BUCKETS:
        raise ValueError(f"a histogram of {len(counts)} buckets")
    return _base(point)._replace(bounds=tuple(map(_finite, bounds)), counts=tuple(map(_count, counts)))


def _exponential(point: Mapping[str, Any]) -> Histogram:
    return _base(point)._replace(
        scale=max(-20, min(20, int(point.get("scale", 0)))),
        exponents=_buckets(point.get("positive", {})),
        negative=_buckets(point.get("negative", {})),
        zeros=_count(point.get("zeroCount", 0)),
    )


def _base(point: Mapping[str, Any]) -> Histogram:
    def optional(name: str) -> float | None:
        value = point.get(name)
        return float(value) if value is not None and math.isfinite(float(value)) else None

    return Histogram(_count(point.get("count", 0)), optional("sum"), optional("min"), optional("max"))


def _buckets(buckets: Mapping[str, Any]) -> dict[int, float]:
    offset, counts = int(buckets.get("offset", 0)), buckets.get("bucketCounts", ())
    if len(counts) > MAX_BUCKETS:
        raise ValueError(f"a histogram of {len(counts)} buckets")
    if abs(offset) > MAX_OFFSET:
        raise ValueError(f"a bucket offset of {offset}")
    return {offset + n: _count(count) for n, count in enumerate(counts) if _count(count)}


def _count(value: Any) -> float:
    count = _finite(value)
    if count < 0:
        raise ValueError(f"a count of {value!r}")
    return count


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no number")
    return number


def _attributes(items: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {str(item["key"]): _text(item.get("value", {})) for item in items}


def _text(value: Mapping[str, Any]) -> str:
    """A value of any type as text; lists and mappings as JSON."""
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _plain(value: Mapping[str, Any]) -> Any:
    if "arrayValue" in value:
        return [_plain(item) for item in value["arrayValue"].get("values", ())]
    if "kvlistValue" in value:
        return {str(item["key"]): _plain(item.get("value", {})) for item in value["kvlistValue"].get("values", ())}
    if "intValue" in value:
        return int(value["intValue"])
    return next(
        (value[name] for name in ("stringValue", "doubleValue", "boolValue", "bytesValue") if name in value), ""
    )
