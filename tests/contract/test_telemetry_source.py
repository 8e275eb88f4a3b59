"""What every telemetry source promises; run on the fake, on CloudWatch over HTTP and on files."""

import pytest

from selfbuild.domain.errors import (
    InvalidRequest,
)
from selfbuild.domain.telemetry import Direction, Measure
from tests.contract.telemetry_worlds import (
    ORIGIN,
    PERIOD_S,
    Clock,
    World,
    a_batch,
    a_request,
    an_application,
    collected,
    declared_window,
    missing_owner,
    moment,
    points_of,
    values_of,
)
from tests.fakes.telemetry import ServedError


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


def test_a_batch_holds_the_series_and_the_events_of_warnings_and_errors(world: World) -> None:
    world.publish([a_request(1), a_request(7, error=missing_owner()), a_request(8, warning="pool is nearly full")])

    batch = a_batch(world)

    assert (batch.tenant_id, batch.application) == ("acme", "meetnotes")
    assert (batch.start, batch.end) == (moment(0), moment(60))
    assert points_of(batch.series, "topics", "Requests") == {0: 1, 5: 2}
    failed, warned = batch.events
    assert (failed.at, failed.level, failed.component, failed.error_type) == (moment(7), "ERROR", "topics", "KeyError")
    assert (str(failed.location), failed.message, failed.release) == ("meetnotes/actions.py:12", "'owner'", "base")
    assert 'item["owner"]' in (failed.stack or "")
    assert (warned.level, warned.message, warned.weight) == ("WARNING", "pool is nearly full", 1.0)


def test_a_batch_ends_with_the_last_closed_period(world: World, clock: Clock) -> None:
    world.publish([a_request(1, error=missing_owner()), a_request(6, error=missing_owner())])
    clock.now = moment(9)

    batch = a_batch(world)

    assert (batch.start, batch.end) == (moment(0), moment(5))
    assert points_of(batch.series, "topics", "Requests") == {0: 1}
    assert [e.at for e in batch.events] == [moment(1)]


def test_a_batch_without_a_closed_period_is_empty(world: World, clock: Clock) -> None:
    world.publish([a_request(1, error=missing_owner())])
    clock.now = moment(3)

    batch = a_batch(world)

    assert (batch.start, batch.end, batch.series, batch.events) == (moment(0), moment(0), (), ())


def test_a_batch_holds_nothing_of_other_tenants(world: World) -> None:
    world.publish([a_request(1, tenant_id="globex", component="secret", error=missing_owner(), callees=("vault",))])

    batch = a_batch(world)

    assert (batch.series, batch.events) == ((), ())


def test_sampled_events_keep_every_kind_and_stand_for_all(world: World) -> None:
    world.publish([a_request(1 + n / 10, error=missing_owner(12)) for n in range(100)])
    world.publish([a_request(12 + n / 10, warning=f"slow call {n}") for n in range(40)])
    world.publish([a_request(20, error=ServedError("ValueError", "bad 7", "m/a.py", 3, "f"))])

    batch = a_batch(world, rate=0.1)

    by_type = {kind: [e for e in batch.events if e.error_type == kind] for kind in ("KeyError", None, "ValueError")}
    assert [len(by_type[kind]) for kind in by_type] == [10, 4, 1]
    assert [sum(e.weight for e in by_type[kind]) for kind in by_type] == pytest.approx([100, 40, 1])
    assert batch == a_batch(world, rate=0.1).model_copy(update={"api_calls": batch.api_calls})


def test_declared_metrics_keep_their_statistic_direction_and_unit(world: World) -> None:
    world.publish([a_request(1 + n / 100, gauges={"Queue": float(n), "Pool": 5.0}) for n in range(101)])

    window = declared_window(
        world,
        {"name": "Queue", "statistic": "p99", "worse": "up", "unit": None},
        {"name": "Queue", "statistic": "Maximum"},
        {"name": "Pool", "measure": "utilization", "capacity": 20},
        {"name": "Absent", "measure": "cache_hit_ratio"},
    )

    assert points_of(window.series, "topics", "Queue p99") == pytest.approx({0: 99})
    assert points_of(window.series, "topics", "Queue Maximum") == {0: 100}
    assert points_of(window.series, "topics", "Pool") == {0: 25}
    by_metric = {s.metric: s for s in window.series}
    assert (by_metric["Queue p99"].measure, by_metric["Queue p99"].worse) == (Measure.LEVEL, Direction.UP)
    assert (by_metric["Pool"].measure, by_metric["Pool"].unit) == (Measure.UTILIZATION, "Percent")
    assert "Absent" not in by_metric


def test_an_expression_is_computed_from_each_components_own_series(world: World) -> None:
    world.publish([a_request(1, error=missing_owner()), a_request(2), a_request(11), a_request(1, component="actions")])

    window = declared_window(
        world,
        {"name": "ErrorRate", "expression": "100 * errors / requests", "unit": "Percent", "worse": "up"},
        {"name": "Filled", "expression": "FILL(errors, -1) + 0 * FILL(requests, 0)"},
        {"name": "Chosen", "expression": "IF(errors, latency, 0)"},
    )

    assert points_of(window.series, "topics", "ErrorRate") == {0: 50, 10: 0}
    assert points_of(window.series, "actions", "ErrorRate") == {0: 0}
    assert points_of(window.series, "topics", "Chosen") == {0: 2, 10: 0}
    filled = points_of(window.series, "topics", "Filled")
    assert (len(filled), filled[0], filled[5], filled[55]) == (12, 1, -1, -1)


@pytest.mark.parametrize(
    "expression",
    ["SUM(METRICS())", "errors ^ 2", "latency > 3", "__import__('os')", "FILL(errors, REPEAT)", "1 + 1", "other / 2"],
)
def test_an_expression_beyond_the_allowed_names_application_and_metric(world: World, expression: str) -> None:
    with pytest.raises(InvalidRequest, match=r"application 'acme/meetnotes': metric 'Odd'"):
        declared_window(world, {"name": "Odd", "expression": expression})


def test_calls_between_components_are_counted_by_caller_and_callee(world: World) -> None:
    world.publish([a_request(1, callees=("store", "store", "cache")), a_request(6, callees=("store",))])
    world.publish([a_request(2, tenant_id="globex", callees=("vault",))])

    window = collected(world)

    edges = {(e.caller, e.callee): e.calls for e in window.calls}
    assert edges == {("topics", "store"): 3, ("topics", "cache"): 1}
    assert points_of(window.series, "topics", "Calls store") == {0: 2, 5: 1}
    assert {(s.measure, s.unit) for s in window.series if s.metric == "Calls cache"} == {(Measure.CALLS, "Count")}


def test_releases_are_dated_by_what_they_served(world: World) -> None:
    world.publish([a_request(1, release="old"), a_request(11, release="old"), a_request(31, release="new")])
    world.publish([a_request(2, release="theirs", tenant_id="globex", component="secret")])

    window = collected(world)

    assert [(r.release, r.first_seen, r.last_seen) for r in window.releases] == [
        ("new", moment(30), moment(35)),
        ("old", moment(0), moment(15)),
    ]
