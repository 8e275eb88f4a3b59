"""Requests made visible to telemetry sources, and what tests ask of them."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from selfbuild.domain.applications import Application
from selfbuild.domain.telemetry import Measure, Series, TelemetryBatch, TelemetryWindow
from selfbuild.ports import TelemetrySource
from tests.fakes.telemetry import ServedError, ServedRequest

LOG_GROUP = "/meetmind/meetnotes"
NAMESPACE = "MeetMind/MCPUIHub"
PERIOD_S = 5
ORIGIN = time.time() // 300 * 300 - 600
"""Recent enough for CloudWatch to keep sub-minute samples."""
UNITS = {"ResponseLatency": "Milliseconds", "Requests": "Count", "Errors": "Count"}


def moment(offset_s: float) -> datetime:
    return datetime.fromtimestamp(ORIGIN + offset_s, UTC)


def stack_at(line: int) -> str:
    return (
        "Traceback (most recent call last):\n"
        f'  File "meetnotes/observe.py", line {line + 40}, in serve\n    response = answer(body)\n'
        f'  File "meetnotes/actions.py", line {line}, in assign\n    owner = item["owner"]\n'
        "KeyError: 'owner'\n"
    )


def missing_owner(line: int = 12) -> ServedError:
    return ServedError("KeyError", "'owner'", "meetnotes/actions.py", line, "assign", stack_at(line))


def a_request(offset_s: float, **fields: Any) -> ServedRequest:
    return ServedRequest(at=ORIGIN + offset_s, **fields)


def an_application(**telemetry: Any) -> Application:
    return Application.model_validate(
        {
            "tenant_id": "acme",
            "name": "meetnotes",
            "telemetry": {"namespace": NAMESPACE, "log_group": LOG_GROUP, **telemetry},
            "repository": {"url": "/tmp/none.git"},
            "release": {"control_url": "http://127.0.0.1:1"},
        }
    )


@dataclass
class World:
    """A source, and how requests become visible to it."""

    source: TelemetrySource
    publish: Callable[[list[ServedRequest]], None]


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = moment(300)

    def __call__(self) -> datetime:
        return self.now


def put_lines(logs: Any, requests: list[ServedRequest]) -> None:
    ordered = sorted(requests, key=lambda r: r.at)
    for first in range(0, len(ordered), 1000):
        lines = [(r, line) for r in ordered[first : first + 1000] for line in (line_of(r), *call_lines(r))]
        events = [{"timestamp": round(r.at * 1000), "message": line} for r, line in lines]
        logs.put_log_events(logGroupName=LOG_GROUP, logStreamName="one", logEvents=events)


def line_of(served: ServedRequest) -> str:
    timestamp = round(served.at * 1000)
    metrics: dict[str, Any] = {
        "Namespace": NAMESPACE,
        "Dimensions": [["component"], ["tenant_id", "component"], ["component", "release"]],
        "Metrics": [{"Name": name, "Unit": unit, "StorageResolution": 1} for name, unit in UNITS.items()],
    }
    line: dict[str, Any] = {
        "_aws": {"Timestamp": timestamp, "CloudWatchMetrics": [metrics]},
        "level": "ERROR" if served.error else "WARNING" if served.warning else "INFO",
        "message": served.warning or "answered",
        "component": served.component,
        "tenant_id": served.tenant_id,
        "release": served.release,
        "request_id": f"r{timestamp}",
        "ResponseLatency": served.latency_ms,
        "Requests": 1,
        "Errors": int(served.error is not None),
        **served.gauges,
    }
    metrics["Metrics"] += [{"Name": name, "StorageResolution": 1} for name in served.gauges]
    if served.error:
        error = served.error
        line["error"] = {
            "type": error.error_type,
            "message": error.message,
            "file": error.file,
            "line": error.line,
            "function": error.function,
        }
        line["stack"] = error.stack
    return json.dumps(line)


def call_lines(served: ServedRequest) -> list[str]:
    metrics = {
        "Namespace": NAMESPACE,
        "Dimensions": [["tenant_id", "component", "callee"]],
        "Metrics": [{"Name": "Calls", "Unit": "Count", "StorageResolution": 1}],
    }
    line = {
        "_aws": {"Timestamp": round(served.at * 1000), "CloudWatchMetrics": [metrics]},
        "component": served.component,
        "tenant_id": served.tenant_id,
        "Calls": 1,
    }
    return [json.dumps(line | {"callee": callee}) for callee in served.callees]


def collected(world: World, *, start: float = 0, end: float = 60) -> TelemetryWindow:
    return world.source.collect(
        an_application(), baseline_start=moment(0), start=moment(start), end=moment(end), period_s=PERIOD_S
    )


def values_of(window: TelemetryWindow, component: str, measure: Measure) -> dict[float, float]:
    series = [s for s in window.series if (s.component, s.measure) == (component, measure)]
    assert len(series) <= 1
    return {start - ORIGIN: value for s in series for start, value in s.points().items()}


def a_batch(world: World, *, end: float = 60, rate: float = 1.0, **telemetry: Any) -> TelemetryBatch:
    return world.source.batch(
        an_application(**telemetry), start=moment(0), end=moment(end), period_s=PERIOD_S, sampling_rate=rate
    )


def points_of(series: tuple[Series, ...], component: str, metric: str) -> dict[float, float]:
    (found,) = [s for s in series if (s.component, s.metric) == (component, metric)]
    return {start - ORIGIN: value for start, value in found.points().items()}


def declared_window(world: World, *metrics: dict[str, Any]) -> TelemetryWindow:
    return world.source.collect(
        an_application(metrics=metrics),
        baseline_start=moment(0),
        start=moment(0),
        end=moment(60),
        period_s=PERIOD_S,
    )
