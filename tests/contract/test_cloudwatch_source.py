"""What the source for CloudWatch does beyond the contract: calls, quotas, budgets, tenants, failures."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from localaws.faults import fault_rule
from localaws.server import LocalAws
from selfbuild.adapters.cloudwatch import CloudWatchSource, make_client
from selfbuild.adapters.cloudwatch_metrics import MetricQuery, MetricReader
from selfbuild.adapters.periods import Span
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import (
    AccessDenied,
    InvalidRequest,
    MalformedAnswer,
    NotFound,
    SelfBuildError,
    Unreachable,
)
from selfbuild.domain.telemetry import Measure, TelemetryWindow
from tests.contract.telemetry_worlds import (
    NAMESPACE,
    ORIGIN,
    PERIOD_S,
    Clock,
    World,
    a_request,
    an_application,
    collected,
    declared_window,
    missing_owner,
    moment,
    points_of,
    put_lines,
    values_of,
)


def test_two_hundred_components_take_two_metric_calls(cloudwatch: World) -> None:
    cloudwatch.publish([a_request(1, component=f"c{n:03}") for n in range(200)])

    window = collected(cloudwatch)

    assert len(window.series) == 200 * 5
    assert window.metrics_requested == 1000 + 5, "five components date the release"
    assert window.api_calls == 3 + 2 + 2 + 2, (
        "ListMetrics and GetMetricData of series, of calls and releases, StartQuery and results"
    )


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


def hour_window(world: World, application: Application, *, hours: int = 1) -> TelemetryWindow:
    begin = moment(0) - timedelta(hours=hours) + timedelta(minutes=10)
    return world.source.collect(
        application, baseline_start=begin, start=moment(0), end=begin + timedelta(hours=hours), period_s=60
    )


def test_a_week_by_the_minute_is_split_by_queries_so_that_each_metric_is_charged_once(
    cloudwatch: World, aws: LocalAws, clock: Clock
) -> None:
    cloudwatch.publish([a_request(1, component=f"c{n}") for n in range(5)])
    clock.now = moment(900)
    aws.faults.forget_calls()

    window = hour_window(cloudwatch, an_application(), hours=168)

    calls = [call["operation"] for call in aws.faults.calls()]
    assert calls.count("GetMetricData") == 3 + 1, "10 queries of 10,080 periods each have room, 25 are asked; releases"
    assert window.metrics_requested == 25 + 5
    assert {s.component for s in window.series} == {f"c{n}" for n in range(5)}
    assert "releases are dated to periods of 60 s" not in window.notes


def test_releases_of_long_windows_say_how_exactly_they_are_dated(cloudwatch: World, clock: Clock) -> None:
    cloudwatch.publish([a_request(1, component=f"c{n}", release=f"r{m}") for n in range(5) for m in range(8)])
    clock.now = moment(900)

    window = hour_window(cloudwatch, an_application(), hours=168)

    assert window.notes == ("releases are dated to periods of 300 s",)
    assert len(window.releases) == 8
    assert all((r.last_seen - r.first_seen) <= timedelta(seconds=300) for r in window.releases)


def test_periods_that_cloudwatch_keeps_no_longer_are_noted(cloudwatch: World, clock: Clock) -> None:
    clock.now = moment(0) + timedelta(hours=4)

    (note,) = collected(cloudwatch).notes

    assert note.startswith("CloudWatch keeps periods of 5 s for 3 h: samples before ")


def test_metrics_without_a_unit_are_read_with_a_note(cloudwatch: World, clients: tuple[Any, Any]) -> None:
    dimensions = [{"Name": "tenant_id", "Value": "acme"}, {"Name": "component", "Value": "topics"}]
    data = [
        {"MetricName": name, "Dimensions": dimensions, "Timestamp": moment(1), "Value": 7, "StorageResolution": 1}
        for name in ("Requests", "ResponseLatency")
    ]
    clients[0].put_metric_data(Namespace=NAMESPACE, MetricData=data)

    window = collected(cloudwatch)

    assert values_of(window, "topics", Measure.REQUESTS) == {0: 7}
    assert values_of(window, "topics", Measure.LATENCY_P95) == {0: 7}
    assert window.notes == (
        "Requests: published in another unit than Count or without one; read as Count",
        "ResponseLatency: published in another unit than Milliseconds or without one; read as Milliseconds",
    )


def test_metrics_with_fixed_dimensions_are_read_from_their_own_namespace(
    cloudwatch: World, clients: tuple[Any, Any]
) -> None:
    for name, value in (("shop", 80.0), ("other", 10.0)):
        dimensions = [{"Name": "FunctionName", "Value": name}]
        data = {"MetricName": "ConcurrentExecutions", "Dimensions": dimensions, "Timestamp": moment(1), "Value": value}
        clients[0].put_metric_data(Namespace="Acme/Lambda", MetricData=[data])
    metric = {
        "name": "ConcurrentExecutions",
        "namespace": "Acme/Lambda",
        "dimensions": {"FunctionName": "shop"},
        "component": "checkout",
        "statistic": "Maximum",
        "measure": "utilization",
        "capacity": 100,
    }

    (series,) = declared_window(cloudwatch, metric).series

    assert (series.component, series.measure, series.unit) == ("checkout", Measure.UTILIZATION, "Percent")
    assert series.points() == {ORIGIN: 80.0}


@pytest.mark.parametrize(
    "expression",
    ["100 * errors / requests", "FILL(errors, 5) - -2 * FILL(requests, 0)", "IF(errors, latency, requests / 4)"],
)
def test_an_expression_means_what_cloudwatch_means(
    cloudwatch: World, clients: tuple[Any, Any], expression: str
) -> None:
    cloudwatch.publish([a_request(1, error=missing_owner()), a_request(2), a_request(11, latency_ms=9), a_request(31)])
    statistics = {
        "requests": ("Requests", "Sum"),
        "errors": ("Errors", "Sum"),
        "latency": ("ResponseLatency", "Average"),
    }
    dimensions = [{"Name": "tenant_id", "Value": "acme"}, {"Name": "component", "Value": "topics"}]
    queries: list[dict[str, Any]] = [
        {
            "Id": name,
            "ReturnData": False,
            "MetricStat": {
                "Metric": {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": dimensions},
                "Period": PERIOD_S,
                "Stat": statistic,
            },
        }
        for name, (metric, statistic) in statistics.items()
    ]
    answer = clients[0].get_metric_data(
        MetricDataQueries=[*queries, {"Id": "e", "Expression": expression}], StartTime=moment(0), EndTime=moment(60)
    )
    theirs = answer["MetricDataResults"][0]

    window = declared_window(cloudwatch, {"name": "Odd", "expression": expression})

    expected = {t.timestamp() - ORIGIN: v for t, v in zip(theirs["Timestamps"], theirs["Values"], strict=True)}
    assert points_of(window.series, "topics", "Odd") == pytest.approx(expected)
    assert len(expected) >= 3


class StubClient:
    """Answers GetMetricData with the given pages."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages = list(pages)

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        return self.pages.pop(0)


def a_page(status: str, *offsets: float, token: str | None = None) -> dict[str, Any]:
    result = {
        "Id": "q0",
        "StatusCode": status,
        "Timestamps": [moment(offset) for offset in offsets],
        "Values": [1.0] * len(offsets),
    }
    return {"MetricDataResults": [result]} | ({"NextToken": token} if token else {})


def read_pages(*pages: dict[str, Any]) -> dict[float, float]:
    query = MetricQuery("Requests", (), "Sum", "Count")
    (points,) = MetricReader(StubClient(*pages), namespace=NAMESPACE).read([query], Span(ORIGIN, ORIGIN + 60, 5))
    return points


def test_partial_data_is_read_to_its_last_page() -> None:
    points = read_pages(a_page("PartialData", 0, token="more"), a_page("Complete", 5))

    assert points == {ORIGIN: 1.0, ORIGIN + 5: 1.0}


@pytest.mark.parametrize(
    ("pages", "error"),
    [
        pytest.param([a_page("PartialData", 0)], Unreachable, id="partial without a next page"),
        pytest.param([a_page("InternalError")], Unreachable, id="internal error of one metric"),
        pytest.param([a_page("Forbidden")], AccessDenied, id="forbidden metric"),
        pytest.param([a_page("Complete", token="x"), a_page("Complete", token="x")], MalformedAnswer, id="a loop"),
    ],
)
def test_an_incomplete_answer_is_no_answer(pages: list[dict[str, Any]], error: type[SelfBuildError]) -> None:
    with pytest.raises(error):
        read_pages(*pages)


def test_a_renewed_key_works_without_a_restart(
    aws: LocalAws, cloudwatch: World, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = tmp_path / "credentials"
    keys.write_text("[default]\naws_access_key_id = OLDKEY\naws_secret_access_key = x\n")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    metrics, logs = (
        make_client(name, region="us-east-1", endpoint_url=aws.endpoint_url) for name in ("cloudwatch", "logs")
    )
    world = World(CloudWatchSource(metrics, logs, clock, settle=timedelta(0)), lambda _: None)
    cloudwatch.publish([a_request(1, error=missing_owner())])
    before = collected(world)
    expired = {"code": "ExpiredTokenException", "status": 400, "access_key": "OLDKEY"}
    aws.faults.replace_rules([fault_rule(expired)])

    with pytest.raises(AccessDenied, match="has expired"):
        collected(world)
    keys.write_text("[default]\naws_access_key_id = NEWKEY\naws_secret_access_key = x\n")
    after = collected(world)

    assert after.series == before.series
    assert after.error_groups == before.error_groups
    metrics.close()
    logs.close()


def test_calls_may_be_published_without_the_tenant(cloudwatch: World, clients: tuple[Any, Any]) -> None:
    cloudwatch.publish([a_request(1), a_request(1, tenant_id="globex", component="secret")])
    for component, callee in (("topics", "store"), ("secret", "vault")):
        dimensions = [{"Name": "component", "Value": component}, {"Name": "callee", "Value": callee}]
        data = {"MetricName": "Calls", "Dimensions": dimensions, "Timestamp": moment(1), "Value": 4, "Unit": "Count"}
        clients[0].put_metric_data(Namespace=NAMESPACE, MetricData=[data | {"StorageResolution": 1}])

    window = collected(cloudwatch)

    assert [(e.caller, e.callee, e.calls) for e in window.calls] == [("topics", "store", 4)]
