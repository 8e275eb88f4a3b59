"""What every telemetry source promises; run on the fake and on CloudWatch over HTTP."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from localaws.faults import fault_rule
from localaws.server import LocalAws
from selfbuild.adapters.cloudwatch import CloudWatchSource, make_client
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import (
    AccessDenied,
    InvalidRequest,
    MalformedAnswer,
    NotFound,
    SelfBuildError,
    Throttled,
    Unreachable,
)
from selfbuild.domain.telemetry import Measure, TelemetryWindow
from selfbuild.ports import TelemetrySource
from tests.fakes.telemetry import FakeTelemetrySource, ServedError, ServedRequest

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


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with pytest.MonkeyPatch.context() as patch, LocalAws(port=0) as server:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield server


@pytest.fixture
def clients(aws: LocalAws) -> Iterator[tuple[Any, Any]]:
    aws.reset()
    made = tuple(
        make_client(name, region="us-east-1", endpoint_url=aws.endpoint_url) for name in ("cloudwatch", "logs")
    )
    made[1].create_log_group(logGroupName=LOG_GROUP)
    made[1].create_log_stream(logGroupName=LOG_GROUP, logStreamName="one")
    yield made[0], made[1]
    for client in made:
        client.close()


@pytest.fixture
def cloudwatch(clients: tuple[Any, Any], clock: Clock) -> World:
    metrics, logs = clients
    source = CloudWatchSource(metrics, logs, clock, settle=timedelta(0))
    return World(source, lambda requests: put_lines(logs, requests))


@pytest.fixture(params=["fake", "cloudwatch"])
def world(request: pytest.FixtureRequest, clock: Clock) -> World:
    if request.param == "cloudwatch":
        made: World = request.getfixturevalue("cloudwatch")
        return made
    fake = FakeTelemetrySource([], clock)
    return World(fake, fake.requests.extend)


def put_lines(logs: Any, requests: list[ServedRequest]) -> None:
    ordered = sorted(requests, key=lambda r: r.at)
    for first in range(0, len(ordered), 1000):
        events = [{"timestamp": round(r.at * 1000), "message": line_of(r)} for r in ordered[first : first + 1000]]
        logs.put_log_events(logGroupName=LOG_GROUP, logStreamName="one", logEvents=events)


def line_of(served: ServedRequest) -> str:
    timestamp = round(served.at * 1000)
    metrics = {
        "Namespace": NAMESPACE,
        "Dimensions": [["component"], ["tenant_id", "component"], ["component", "release"]],
        "Metrics": [{"Name": name, "Unit": unit, "StorageResolution": 1} for name, unit in UNITS.items()],
    }
    line: dict[str, Any] = {
        "_aws": {"Timestamp": timestamp, "CloudWatchMetrics": [metrics]},
        "level": "ERROR" if served.error else "INFO",
        "message": "answered",
        "component": served.component,
        "tenant_id": served.tenant_id,
        "release": served.release,
        "request_id": f"r{timestamp}",
        "ResponseLatency": served.latency_ms,
        "Requests": 1,
        "Errors": int(served.error is not None),
    }
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


def collected(world: World, *, start: float = 0, end: float = 60) -> TelemetryWindow:
    return world.source.collect(
        an_application(), baseline_start=moment(0), start=moment(start), end=moment(end), period_s=PERIOD_S
    )


def values_of(window: TelemetryWindow, component: str, measure: Measure) -> dict[float, float]:
    series = [s for s in window.series if (s.component, s.measure) == (component, measure)]
    assert len(series) <= 1
    return {start - ORIGIN: value for s in series for start, value in s.points().items()}


def test_series_hold_every_measure_of_each_component(world: World) -> None:
    world.publish([a_request(1, latency_ms=2), a_request(2, latency_ms=4, error=missing_owner())])
    world.publish([a_request(7, component="actions", latency_ms=30)])

    window = collected(world)

    assert values_of(window, "topics", Measure.REQUESTS) == {0: 2}
    assert values_of(window, "topics", Measure.ERRORS) == {0: 1}
    assert values_of(window, "topics", Measure.LATENCY_P50) == {0: 3}
    assert values_of(window, "topics", Measure.LATENCY_MEAN) == {0: 3}
    assert values_of(window, "topics", Measure.LATENCY_P95) == pytest.approx({0: 3.9})
    assert values_of(window, "actions", Measure.ERRORS) == {5: 0}
    assert {s.unit for s in window.series} == {"Milliseconds", "Count"}


def test_other_tenants_are_not_seen(world: World) -> None:
    world.publish([a_request(1), a_request(1.5, tenant_id="globex", error=missing_owner())])
    world.publish([a_request(2, tenant_id="globex", component="secret")])

    window = collected(world)

    assert values_of(window, "topics", Measure.REQUESTS) == {0: 1}
    assert {s.component for s in window.series} == {"topics"}
    assert window.error_groups == ()


def test_a_silent_period_is_absent(world: World) -> None:
    world.publish([a_request(1), a_request(11)])

    assert values_of(collected(world), "topics", Measure.REQUESTS) == {0: 1, 10: 1}


def test_the_running_period_is_left_out(world: World, clock: Clock) -> None:
    world.publish([a_request(1), a_request(6)])

    clock.now = moment(9)

    assert values_of(collected(world), "topics", Measure.REQUESTS) == {0: 1}


def test_an_application_without_telemetry_gives_an_empty_window(world: World) -> None:
    window = collected(world)

    assert (window.series, window.error_groups, window.log_events_matched) == ((), (), 0)


def test_errors_of_one_cause_form_one_group_over_shifted_lines(world: World) -> None:
    world.publish([a_request(20 + n, component="actions", error=missing_owner(12)) for n in range(3)])
    world.publish([a_request(30 + n, component="actions", error=missing_owner(15)) for n in range(2)])
    world.publish([a_request(40, component="actions", error=ServedError("ValueError", "bad 7", "m/a.py", 3, "f"))])

    window = collected(world)

    frequent, rare = window.error_groups
    assert (frequent.component, frequent.error_type, frequent.count) == ("actions", "KeyError", 5)
    assert (frequent.first_seen, frequent.last_seen) == (moment(20), moment(31))
    assert frequent.location is not None
    assert (str(frequent.location), frequent.location.function) == ("meetnotes/actions.py:12", "assign")
    assert frequent.tenants == ("acme",)
    assert 'item["owner"]' in (frequent.stack or "")
    assert (rare.error_type, rare.message, rare.count) == ("ValueError", "bad <num>", 1)
    assert window.log_events_matched == 6


def test_error_groups_cover_the_window_alone(world: World) -> None:
    world.publish([a_request(1, error=missing_owner()), a_request(21, error=missing_owner())])

    window = collected(world, start=20)

    assert [g.count for g in window.error_groups] == [1]
    assert values_of(window, "topics", Measure.ERRORS) == {0: 1, 20: 1}


def test_arms_count_slow_and_failed_requests_of_each_release(world: World) -> None:
    world.publish([a_request(1 + n / 10, latency_ms=n + 1.0, release="base") for n in range(10)])
    world.publish([a_request(1, release="new", latency_ms=50, error=missing_owner()), a_request(6, release="new")])

    first, second = world.source.arms(
        an_application(),
        canary="new",
        baseline="base",
        slow_ms={"topics": 8.0},
        start=moment(0),
        end=moment(10),
        period_s=PERIOD_S,
    )

    assert first.start == ORIGIN
    assert first.baseline is not None
    assert (first.baseline.requests, first.baseline.errors, first.baseline.slow) == (10, 0, 2)
    assert first.baseline.p50_ms == pytest.approx(5.5)
    assert first.canary is not None
    assert (first.canary.requests, first.canary.errors, first.canary.slow) == (1, 1, 1)
    assert second.baseline is None
    assert second.canary is not None
    assert (second.canary.requests, second.canary.slow) == (1, 0)


def test_arms_report_silence_as_none_for_each_component_asked(world: World) -> None:
    buckets = world.source.arms(
        an_application(),
        canary="new",
        baseline="base",
        slow_ms={"topics": 8.0, "actions": 3.0},
        start=moment(0),
        end=moment(10),
        period_s=PERIOD_S,
    )

    assert [(b.component, b.start - ORIGIN) for b in buckets] == [
        ("actions", 0),
        ("actions", 5),
        ("topics", 0),
        ("topics", 5),
    ]
    assert all(b.canary is None and b.baseline is None for b in buckets)


def test_latency_is_that_of_the_release_and_its_components_with_samples(world: World) -> None:
    world.publish([a_request(n / 2, latency_ms=n) for n in range(1, 102)])
    world.publish([a_request(3, latency_ms=900, release="other"), a_request(4, component="actions", release="other")])

    found = world.source.latency_p95_ms(an_application(), release="base", start=moment(0), end=moment(60))

    assert found == pytest.approx({"topics": 96.0})


@pytest.mark.parametrize("name", ['a" or 1=1 | limit 1', "back`tick", "$.x }", "späße/öl"])
def test_a_hostile_component_name_is_only_a_name(world: World, name: str) -> None:
    world.publish([a_request(1, component=name, error=missing_owner()), a_request(2)])

    window = collected(world)

    assert values_of(window, name, Measure.REQUESTS) == {0: 1}
    assert [(g.component, g.count) for g in window.error_groups] == [(name, 1)]


def test_two_hundred_components_take_two_metric_calls(cloudwatch: World) -> None:
    cloudwatch.publish([a_request(1, component=f"c{n:03}") for n in range(200)])

    window = collected(cloudwatch)

    assert len(window.series) == 200 * 5
    assert window.metrics_requested == 1000
    assert window.api_calls == 4 + 2, "2 ListMetrics pages, 2 GetMetricData, StartQuery, GetQueryResults"


def test_metrics_of_further_dimensions_name_no_component(clients: tuple[Any, Any], clock: Clock) -> None:
    names = {"tenant_id": "acme", "component": "per-region", "region": "eu"}
    dimensions = [{"Name": name, "Value": value} for name, value in names.items()]
    metric = {"MetricName": "Requests", "Dimensions": dimensions, "Timestamp": moment(1), "Value": 1, "Unit": "Count"}
    clients[0].put_metric_data(Namespace=NAMESPACE, MetricData=[metric])

    window = collected(World(CloudWatchSource(*clients, clock), lambda _: None))

    assert (window.series, window.metrics_requested) == ((), 0)


def test_errors_beyond_the_samples_keep_their_cause(cloudwatch: World) -> None:
    """FilterLogEvents brings the oldest hundred events: a later place is known by what Insights shows of it."""
    cloudwatch.publish([a_request(1 + n / 100, error=missing_owner(12)) for n in range(120)])
    cloudwatch.publish([a_request(30, error=missing_owner(99))])

    (group,) = collected(cloudwatch).error_groups

    assert group.count == 121


def test_a_period_settles_before_it_counts(clients: tuple[Any, Any], clock: Clock) -> None:
    put_lines(clients[1], [a_request(1), a_request(6)])
    clock.now = moment(11)

    hasty = World(CloudWatchSource(*clients, clock, settle=timedelta(seconds=1)), lambda _: None)
    patient = World(CloudWatchSource(*clients, clock, settle=timedelta(seconds=2)), lambda _: None)

    assert values_of(collected(hasty), "topics", Measure.REQUESTS) == {0: 1, 5: 1}
    assert values_of(collected(patient), "topics", Measure.REQUESTS) == {0: 1}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param({"code": "Throttling", "status": 400}, Throttled, id="throttling with HTTP 400"),
        pytest.param({"code": "AccessDenied", "status": 403}, AccessDenied, id="access denied"),
        pytest.param({"code": "ExpiredToken", "status": 400}, AccessDenied, id="expired token"),
        pytest.param({"code": "ValidationError", "status": 400}, InvalidRequest, id="validation"),
        pytest.param({"code": "InternalFailure", "status": 500}, Unreachable, id="server error"),
        pytest.param({"reset": True}, Unreachable, id="connection reset"),
        pytest.param({"truncate": True}, MalformedAnswer, id="truncated answer"),
    ],
)
@pytest.mark.parametrize("operation", ["GetMetricData", "ListMetrics", "StartQuery", "FilterLogEvents"])
def test_errors_say_what_the_caller_should_do(
    cloudwatch: World, aws: LocalAws, fault: dict[str, Any], error: type[SelfBuildError], operation: str
) -> None:
    cloudwatch.publish([a_request(1, error=missing_owner())])
    aws.faults.replace_rules([fault_rule({"operation": operation, **fault})])

    with pytest.raises(error) as caught:
        collected(cloudwatch)

    assert operation in str(caught.value)


def test_a_missing_log_group_is_named(cloudwatch: World) -> None:
    application = an_application(log_group="/no/such/group")

    with pytest.raises(NotFound, match="telemetry settings"):
        cloudwatch.source.collect(
            application, baseline_start=moment(0), start=moment(0), end=moment(60), period_s=PERIOD_S
        )


def test_a_dimension_that_is_no_word_is_refused(cloudwatch: World) -> None:
    application = an_application(tenant_dimension="tenant` | limit 1")

    with pytest.raises(InvalidRequest, match="dimension names"):
        cloudwatch.source.collect(
            application, baseline_start=moment(0), start=moment(0), end=moment(60), period_s=PERIOD_S
        )
