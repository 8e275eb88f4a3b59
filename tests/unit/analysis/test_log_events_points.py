"""Metric points out of EMF lines and of Lambda's reports."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfbuild.analysis.emf import MetricPoint
from selfbuild.analysis.log_events import emf_points, report_points

RECEIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = "3604209a-e9a3-11e6-939a-754dd98c7be3"


def a_line(**changes: Any) -> dict[str, Any]:
    metrics = [{"Name": "Latency", "Unit": "Milliseconds"}, {"Name": "Requests"}, {"Name": "Absent", "Unit": "Count"}]
    directive = {"Namespace": "shop", "Dimensions": [["component"], ["tenant", "component"]], "Metrics": metrics}
    line = {"_aws": {"Timestamp": 1767322800500, "CloudWatchMetrics": [directive]}}
    return line | {"component": "orders", "tenant": "acme", "Latency": [12.5, 3], "Requests": 1} | changes


def test_an_emf_line_gives_each_metric_under_each_set_of_dimensions() -> None:
    component = (("component", "orders"),)
    both = (("component", "orders"), ("tenant", "acme"))

    points = emf_points(json.dumps(a_line()))

    assert points == emf_points(a_line())
    assert points == (
        MetricPoint("shop", "Latency", "Milliseconds", component, 1767322800.5, (12.5, 3.0)),
        MetricPoint("shop", "Latency", "Milliseconds", both, 1767322800.5, (12.5, 3.0)),
        MetricPoint("shop", "Requests", "None", component, 1767322800.5, (1.0,)),
        MetricPoint("shop", "Requests", "None", both, 1767322800.5, (1.0,)),
    )


def test_what_is_declared_and_missing_is_left_out() -> None:
    fields = a_line(Latency="fast", Requests=float("nan"))
    without_tenant = {key: value for key, value in a_line().items() if key != "tenant"}

    assert emf_points(fields) == ()
    assert {point.dimensions for point in emf_points(without_tenant)} == {(("component", "orders"),)}
    assert emf_points({"message": "no metrics"}) == ()
    assert emf_points('{"_aws": 7}') == ()


def measured(line: str | dict[str, Any]) -> dict[str, float]:
    points = report_points(line, received_at=RECEIVED, component="orders")
    assert all(point.at == RECEIVED.timestamp() for point in points)
    assert all(point.dimensions == (("component", "orders"),) for point in points)
    return {point.metric: point.values[0] for point in points}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(
            f"REPORT RequestId: {ID}\tDuration: 12.5 ms\tBilled Duration: 100 ms\tMemory Size: 128 MB\t"
            "Max Memory Used: 32 MB\tInit Duration: 90.5 ms\t\n",
            {"Duration": 12.5, "InitDuration": 90.5, "MemoryUtilization": 25.0, "TimedOut": 0, "OutOfMemory": 0},
            id="success",
        ),
        pytest.param(
            f"REPORT RequestId: {ID}\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\t"
            "Max Memory Used: 64 MB\tStatus: timeout",
            {"Duration": 3000.0, "MemoryUtilization": 50.0, "TimedOut": 1, "OutOfMemory": 0},
            id="timeout",
        ),
        pytest.param(
            f"REPORT RequestId: {ID}\tDuration: 5 ms\tMemory Size: 128 MB\tMax Memory Used: 128 MB\t"
            "Status: error\tError Type: Runtime.OutOfMemory",
            {"Duration": 5.0, "MemoryUtilization": 100.0, "TimedOut": 0, "OutOfMemory": 1},
            id="out of memory",
        ),
        pytest.param(
            {
                "type": "platform.report",
                "record": {"requestId": ID, "status": "timeout", "metrics": {"durationMs": 9, "memorySizeMB": 0}},
            },
            {"Duration": 9.0, "TimedOut": 1, "OutOfMemory": 0},
            id="JSON",
        ),
        pytest.param(f"END RequestId: {ID}", {}, id="no report"),
        pytest.param({"message": "m"}, {}, id="no report, JSON"),
    ],
)
def test_a_report_gives_duration_memory_and_how_it_ended(
    line: str | dict[str, Any], expected: dict[str, float]
) -> None:
    assert measured(line) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Namespace", "Dimensions", "Metrics", "Name", "Unit"]), inner, max_size=5)
    ),
    max_leaves=12,
)


@given(json_values, json_values, json_values)
def test_no_line_raises(envelope: object, timestamp: object, directives: object) -> None:
    fields = a_line(_aws={"Timestamp": timestamp, "CloudWatchMetrics": directives})
    strange = [a_line(_aws=envelope), {"type": "platform.report", "record": envelope}]

    for line in (fields, *strange):
        assert isinstance(emf_points(line), tuple)
        assert isinstance(report_points(line, received_at=RECEIVED, component="c"), tuple)
