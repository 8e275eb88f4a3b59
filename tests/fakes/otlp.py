"""Requests as the file exporter of an OpenTelemetry Collector writes them: OTLP JSON, one request to it a line."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.fakes.telemetry import ServedRequest

MS = 1_000_000


def write_otlp(path: Path, requests: Iterable[ServedRequest]) -> None:
    """Appends metrics (delta temporality) and logs of each request."""
    with path.open("a", encoding="utf-8") as file:
        for request in requests:
            file.write(json.dumps(metrics_line(request)) + "\n")
            file.write(json.dumps(log_line(request)) + "\n")


def attributes(**values: Any) -> list[dict[str, Any]]:
    """Attributes of text."""
    return [{"key": key, "value": {"stringValue": str(value)}} for key, value in values.items()]


def resource_metrics(resource: Mapping[str, Any], metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """A line of metrics."""
    scope = {"scope": {"name": "tests"}, "metrics": metrics}
    return {"resourceMetrics": [{"resource": {"attributes": attributes(**resource)}, "scopeMetrics": [scope]}]}


def sum_metric(name: str, points: list[dict[str, Any]], *, temporality: int = 1) -> dict[str, Any]:
    """A counter; temporality 1 is delta, 2 cumulative."""
    counter = {"isMonotonic": True, "aggregationTemporality": temporality, "dataPoints": points}
    return {"name": name, "unit": "1", "sum": counter}


def metrics_line(served: ServedRequest) -> dict[str, Any]:
    """Everything that one request adds."""
    start_ns = round(served.at * 1000) * MS
    times = {"startTimeUnixNano": str(start_ns), "timeUnixNano": str(start_ns + MS)}
    own = times | {"attributes": attributes(component=served.component, release=served.release)}
    seconds = served.latency_ms / 1000
    histogram = own | {
        "count": "1",
        "sum": seconds,
        "min": seconds,
        "max": seconds,
        "explicitBounds": [0.005, 0.01, 0.1],
        "bucketCounts": [
            str(int(low < seconds <= high)) for low, high in ((-1, 0.005), (0.005, 0.01), (0.01, 0.1), (0.1, 1e9))
        ],
    }
    latency = {"aggregationTemporality": 1, "dataPoints": [histogram]}
    metrics = [
        {"name": "ResponseLatency", "unit": "s", "histogram": latency},
        sum_metric("Requests", [own | {"asInt": "1"}]),
        sum_metric("Errors", [own | {"asInt": str(int(served.error is not None))}]),
        *(
            {"name": name, "gauge": {"dataPoints": [own | {"asDouble": value}]}}
            for name, value in served.gauges.items()
        ),
        *(
            sum_metric(
                "Calls", [own | {"asInt": "1", "attributes": [*own["attributes"], *attributes(callee=callee, n=n)]}]
            )
            for n, callee in enumerate(served.callees)
        ),
    ]
    return resource_metrics({"tenant_id": served.tenant_id}, metrics)


def log_line(served: ServedRequest) -> dict[str, Any]:
    """What the request logged."""
    error = served.error
    fields: dict[str, Any] = {"component": served.component, "release": served.release}
    if error:
        fields |= {
            "exception.type": error.error_type,
            "exception.message": error.message,
            "error.file": error.file,
            "error.line": error.line,
            "error.function": error.function,
        }
        fields |= {"exception.stacktrace": error.stack} if error.stack else {}
    record = {
        "timeUnixNano": str(round(served.at * 1000) * MS),
        "severityNumber": 17 if error else 13 if served.warning else 9,
        "body": {"stringValue": served.warning or "answered"},
        "attributes": attributes(**fields),
    }
    resource = {"attributes": attributes(tenant_id=served.tenant_id)}
    return {"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {}, "logRecords": [record]}]}]}
