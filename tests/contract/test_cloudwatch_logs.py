"""Log groups, byte budgets and bounds of the source for CloudWatch."""

from datetime import timedelta
from typing import Any

from localaws.faults import fault_rule
from localaws.server import LocalAws
from selfbuild.adapters.cloudwatch import CloudWatchSource
from selfbuild.adapters.cloudwatch_log_events import ReadLimits
from selfbuild.domain.telemetry import TelemetryWindow
from tests.contract.telemetry_worlds import (
    LOG_GROUP,
    ORIGIN,
    PERIOD_S,
    Clock,
    World,
    a_batch,
    a_request,
    an_application,
    collected,
    line_of,
    missing_owner,
    moment,
    put_lines,
)


def make_groups(logs: Any, *names: str) -> None:
    for name in names:
        logs.create_log_group(logGroupName=name)
        logs.create_log_stream(logGroupName=name, logStreamName="one")
        event = {"timestamp": round((ORIGIN + 1) * 1000), "message": line_of(a_request(1, error=missing_owner()))}
        logs.put_log_events(logGroupName=name, logStreamName="one", logEvents=[event])


def window_of(world: World, log_group: str) -> TelemetryWindow:
    return world.source.collect(
        an_application(log_group=log_group),
        baseline_start=moment(0),
        start=moment(0),
        end=moment(60),
        period_s=PERIOD_S,
    )


def test_a_star_in_the_log_group_stands_for_any_text(cloudwatch: World, clients: tuple[Any, Any]) -> None:
    make_groups(clients[1], "/shop/web/errors", "/shop/api/errors", "/shop/api/access", "/shopping/errors")

    window = window_of(cloudwatch, "/shop/*/errors")
    batch = a_batch(cloudwatch, log_group="/shop/*/errors")

    assert [(g.count, g.component) for g in window.error_groups] == [(2, "topics")]
    assert len(batch.events) == 2
    assert (window.notes, batch.notes) == ((), ())


def test_more_log_groups_than_a_query_takes_are_noted(cloudwatch: World, clients: tuple[Any, Any]) -> None:
    make_groups(clients[1], *(f"/many/{n:02}" for n in range(52)))

    window = window_of(cloudwatch, "/many/*")

    assert [g.count for g in window.error_groups] == [50]
    assert window.notes == ("52 log groups match '/many/*': 50 are read",)


def test_a_log_group_that_may_not_be_read_leaves_the_others(
    cloudwatch: World, clients: tuple[Any, Any], aws: LocalAws
) -> None:
    make_groups(clients[1], "/two/a", "/two/b")
    denied = {"code": "AccessDeniedException", "status": 403}
    aws.faults.replace_rules([fault_rule({"operation": "StartQuery", "times": 2, **denied})])
    window = window_of(cloudwatch, "/two/*")
    aws.faults.replace_rules([fault_rule({"operation": "FilterLogEvents", "times": 1, **denied})])

    batch = a_batch(cloudwatch, log_group="/two/*")

    assert [g.count for g in window.error_groups] == [1]
    assert "errors from '/two/a' were not counted: logs:StartQuery: AccessDenied" in window.notes[0]
    assert len(batch.events) == 1
    assert "log events of '/two/a' were not read: logs:FilterLogEvents: AccessDenied" in batch.notes[0]
    assert "grant the worker's role" in batch.notes[0]


def test_a_query_over_the_byte_budget_is_cut_from_its_old_end(clients: tuple[Any, Any], clock: Clock) -> None:
    world = World(CloudWatchSource(*clients, clock, settle=timedelta(0)), lambda r: put_lines(clients[1], r))
    world.publish([a_request(n, error=missing_owner()) for n in range(60)])
    (group,) = clients[1].describe_log_groups(logGroupNamePrefix=LOG_GROUP)["logGroups"]
    stored = group["storedBytes"]

    def budgeted(budget: int) -> TelemetryWindow:
        source = CloudWatchSource(*clients, clock, settle=timedelta(0), insights_byte_budget=budget)
        return collected(World(source, world.publish))

    # The group is younger than the clock of the source, so that its bytes count as those of one second.
    ample, tight, none = budgeted(stored * 60), budgeted(stored * 20), budgeted(stored // 2)

    assert [sum(g.count for g in w.error_groups) for w in (ample, tight, none)] == [60, 20, 0]
    assert ample.notes == ()
    since = moment(40).strftime("%Y-%m-%dT%H:%M:%SZ")
    numbers = f"estimated {stored * 60:,} bytes to scan, budget {stored * 20:,} bytes"
    assert tight.notes == (f"errors from logs are counted from {since} on: {numbers}",)
    assert none.notes[0].startswith("errors from logs were not counted: estimated")
    assert 0 < tight.log_bytes_scanned < ample.log_bytes_scanned
    assert none.log_bytes_scanned == 0


def test_a_budget_without_the_permission_to_estimate_is_noted(
    clients: tuple[Any, Any], clock: Clock, aws: LocalAws
) -> None:
    source = CloudWatchSource(*clients, clock, settle=timedelta(0), insights_byte_budget=1)
    world = World(source, lambda requests: put_lines(clients[1], requests))
    world.publish([a_request(1, error=missing_owner())])
    denied = {"operation": "DescribeLogGroups", "code": "AccessDeniedException", "status": 403}
    aws.faults.replace_rules([fault_rule(denied)])

    window = collected(world)

    assert [g.count for g in window.error_groups] == [1]
    assert window.notes[0].endswith("grant the worker's role logs:DescribeLogGroups")
    assert window.notes[1].startswith("the log query scanned ")


def test_reading_log_events_stops_at_its_bounds_and_says_where(clients: tuple[Any, Any], clock: Clock) -> None:
    limits = ReadLimits(events=10)
    source = CloudWatchSource(*clients, clock, settle=timedelta(0), limits=limits)
    world = World(source, lambda requests: put_lines(clients[1], requests))
    world.publish([a_request(n, error=missing_owner()) for n in range(30)])

    batch = a_batch(world, rate=0.1)

    assert sum(event.weight for event in batch.events) == 10
    stopped = moment(9).strftime("%Y-%m-%dT%H:%M:%S")
    assert batch.notes == (f"log events of {LOG_GROUP!r} after {stopped}.000000Z were not read: 10 events were read",)
