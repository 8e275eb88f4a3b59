"""What an event says, whose alarm it is, what a gate remembers, and what the listener does with messages."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.alarms import AlarmActivities
from selfbuild.alarm_listener import AlarmListener
from selfbuild.alarm_routing import AlarmRouter
from selfbuild.cycle_plans import CyclePlans
from selfbuild.domain.alarms import (
    LAMBDA_FAILURE,
    Alarm,
    AlarmMetric,
    GateRequest,
    GateState,
    Unmatched,
    application_of,
    read_event,
)
from selfbuild.domain.applications import Application, DeclaredMetric, TelemetryConfig
from selfbuild.domain.cycles import CycleRequest
from selfbuild.domain.errors import MalformedAnswer, NotFound, SelfBuildError, Unreachable
from selfbuild.live import Execution
from selfbuild.settings import Settings
from tests.builders import a_cycle_request, an_application
from tests.fakes.alarms import NAMESPACE, NOON, FakeAlarmSource, a_state_change, an_alarm
from workflows import steps

BOUND_S = 10


def watched(tenant_id: str = "acme", name: str = "shop", **telemetry: Any) -> Application:
    config = TelemetryConfig(**{"namespace": NAMESPACE, "log_group": f"/{tenant_id}/{name}", **telemetry})
    return an_application(tenant_id=tenant_id, name=name, telemetry=config)


def a_lambda_failure(**context: Any) -> dict[str, Any]:
    arn = "arn:aws:lambda:us-east-1:123456789012:function:notes:$LATEST"
    return {
        "id": "e-9",
        "detail-type": LAMBDA_FAILURE,
        "source": "lambda",
        "time": "2026-11-23T12:00:00Z",
        "detail": {
            "requestContext": {"functionArn": arn, "condition": "RetriesExhausted", **context},
            "responsePayload": {"errorType": "KeyError", "errorMessage": "'owner' of a customer"},
        },
    }


# Events


def test_state_change_tells_name_time_and_metrics() -> None:
    alarm = read_event(json.dumps(a_state_change()))

    assert alarm is not None
    assert (alarm.event_id, alarm.name, alarm.changed_at) == ("e-1", "shop-errors", NOON)
    assert alarm.metrics == (
        AlarmMetric(namespace=NAMESPACE, name="Errors", dimensions={"tenant_id": "acme", "component": "cart"}),
    )


def test_failed_function_is_named_and_its_message_stays_outside() -> None:
    alarm = read_event(json.dumps(a_lambda_failure()))

    assert alarm is not None
    assert (alarm.name, alarm.function_name, alarm.reason) == ("lambda/notes", "notes", "RetriesExhausted: KeyError")
    assert "customer" not in alarm.model_dump_json()


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(
            a_state_change(state={"value": "OK", "timestamp": "2026-11-23T12:00:00.000+0000"}), id="return to OK"
        ),
        pytest.param({"detail-type": "EC2 Instance State-change Notification", "detail": {}}, id="another event"),
    ],
)
def test_event_that_is_no_alarm_is_nothing(event: dict[str, Any]) -> None:
    assert read_event(json.dumps(event)) is None


def test_composite_alarm_is_one_without_metrics() -> None:
    alarm = read_event(json.dumps(a_state_change(configuration={"alarmRule": "ALARM(a) OR ALARM(b)"})))

    assert alarm is not None
    assert alarm.metrics == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param("", "not JSON", id="empty"),
        pytest.param("{", "not JSON", id="cut"),
        pytest.param("[" * 100_000, "not JSON", id="deep"),
        pytest.param("[]", "not a JSON object", id="list"),
        pytest.param('{"Message": "secret"}', "no detail-type", id="no event"),
        pytest.param(json.dumps(a_state_change(state={})), "detail.state.value: missing", id="no state"),
        pytest.param(json.dumps(a_state_change(alarmName="")), "detail.alarmName: string_too_short", id="no name"),
        pytest.param(json.dumps(a_lambda_failure(functionArn="secret")), "functionArn", id="no function"),
    ],
)
def test_malformed_event_is_told_by_its_class_and_without_its_values(body: str, said: str) -> None:
    with pytest.raises(MalformedAnswer, match=said) as caught:
        read_event(body)

    assert "secret" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["detail", "id", "time", "source"]), json_values), st.booleans())
def test_no_event_makes_the_reader_raise_anything_else(members: dict[str, Any], change: bool) -> None:
    body = json.dumps({**(a_state_change() if change else a_lambda_failure()), **members})

    try:
        alarm = read_event(body)
    except MalformedAnswer:
        return

    assert alarm is None or alarm.name


# Whose alarm


def metric(namespace: str = NAMESPACE, **dimensions: str) -> tuple[AlarmMetric, ...]:
    return (AlarmMetric(namespace=namespace, name="Errors", dimensions=dimensions),)


ACME, GLOBEX = watched(), watched("globex")
NOTES = watched("acme", "notes", namespace="Other", log_group="/aws/lambda/notes")
NAMED = watched("acme", "cart", namespace="Cart", alarms=("checkout-*",))
DATABASE = watched(
    "acme",
    "stock",
    namespace="Stock",
    metrics=(
        DeclaredMetric(
            name="CPUUtilization", namespace="AWS/RDS", dimensions={"DBInstanceIdentifier": "stock"}, component="db"
        ),
    ),
)
ALL = (ACME, GLOBEX, NOTES, NAMED, DATABASE)


@pytest.mark.parametrize(
    ("alarm", "owner"),
    [
        pytest.param(an_alarm(metrics=metric(tenant_id="acme")), ACME, id="tenant"),
        pytest.param(an_alarm(metrics=metric(tenant_id="globex", component="x")), GLOBEX, id="other tenant"),
        pytest.param(an_alarm(metrics=metric("Other")), NOTES, id="own namespace"),
        pytest.param(an_alarm("checkout-slow", metrics=()), NAMED, id="composite by name"),
        pytest.param(an_alarm("checkout-slow", metrics=metric()), NAMED, id="name before a shared namespace"),
        pytest.param(an_alarm("f", metrics=metric("AWS/Lambda", FunctionName="notes")), NOTES, id="function metric"),
        pytest.param(an_alarm("lambda/notes", metrics=(), function_name="notes"), NOTES, id="failed function"),
        pytest.param(
            an_alarm(
                metrics=(
                    AlarmMetric(
                        namespace="AWS/RDS", name="CPUUtilization", dimensions={"DBInstanceIdentifier": "stock"}
                    ),
                )
            ),
            DATABASE,
            id="declared metric of a service",
        ),
    ],
)
def test_alarm_belongs_to_who_publishes_or_claims_it(alarm: Alarm, owner: Application) -> None:
    found = application_of(alarm, ALL)

    assert isinstance(found, Application)
    assert found.key == owner.key


@pytest.mark.parametrize(
    ("alarm", "said"),
    [
        pytest.param(an_alarm(metrics=metric()), "it could mean acme/shop, globex/shop", id="no tenant"),
        pytest.param(an_alarm(metrics=metric(tenant_id="initech")), "no application publishes", id="unknown tenant"),
        pytest.param(an_alarm(metrics=metric("Nobody/Knows")), "no application publishes", id="unknown namespace"),
        pytest.param(
            an_alarm(metrics=metric(tenant_id="acme") + metric(tenant_id="globex")), "no application", id="two tenants"
        ),
        pytest.param(
            an_alarm("checkout-slow", metrics=metric("Cart", tenant_id="globex")),
            "no application",
            id="name of one tenant on metrics of another",
        ),
        pytest.param(an_alarm("lambda/x", metrics=(), function_name="x"), "/aws/lambda/x", id="unknown function"),
        pytest.param(
            an_alarm(metrics=metric("AWS/RDS", DBInstanceIdentifier="other")), "no application", id="other database"
        ),
    ],
)
def test_unmatched_alarm_names_the_remedy(alarm: Alarm, said: str) -> None:
    found = application_of(alarm, ALL)

    assert isinstance(found, Unmatched)
    assert said in found.reason


@given(
    st.dictionaries(st.sampled_from(["tenant_id", "component"]), st.sampled_from(["acme", "globex", "x"])),
    st.sampled_from(["shop-errors", "checkout-slow", ""]),
    st.sampled_from([NAMESPACE, "Other", "Cart", "Stock", "AWS/RDS"]),
)
def test_alarm_that_names_a_tenant_never_reaches_another(dimensions: dict[str, str], name: str, namespace: str) -> None:
    found = application_of(an_alarm(name, metrics=metric(namespace, **dimensions)), ALL)

    if isinstance(found, Application) and "tenant_id" in dimensions:
        assert found.tenant_id == dimensions["tenant_id"]


# What a gate remembers


def test_alarm_counts_as_new_again_only_after_the_window() -> None:
    state = GateState()
    told = []
    for number, after_s in enumerate([0, 10, 299, 300, 301]):
        alarm = an_alarm(event_id=f"e{number}")
        state, new = state.with_alarm(alarm, NOON + timedelta(seconds=after_s), window_s=300)
        told.append(new)

    assert told == [True, False, False, True, False]
    assert (state.received, state.duplicates, state.entries[0].count) == (5, 3, 5)


def test_event_delivered_twice_is_one_even_after_the_window() -> None:
    state, _ = GateState().with_alarm(an_alarm(), NOON, window_s=0)

    state, new = state.with_alarm(an_alarm(), NOON + timedelta(hours=1), window_s=0)

    assert not new
    assert state.event_ids == ("event-of-shop-errors",)


def test_memory_of_a_gate_is_bounded() -> None:
    state = GateState()
    for number in range(600):
        state, _ = state.with_alarm(an_alarm(f"a{number}"), NOON + timedelta(seconds=number), window_s=300)

    assert (len(state.entries), len(state.event_ids), state.received) == (500, 500, 600)
    assert state.entries[-1].name == "a599"


# Listener


class Gates:
    """Stands for Temporal: keeps what was rung."""

    def __init__(self) -> None:
        self.rung: list[tuple[GateRequest, Alarm]] = []
        self.failure: SelfBuildError | None = None
        self.cycle: Execution | None = None

    async def ring_gate(self, gate: GateRequest, alarm: Alarm) -> None:
        if self.failure is not None:
            raise self.failure
        self.rung.append((gate, alarm))

    async def find(self, workflow_id: str, run_id: str | None = None) -> Execution | None:
        return self.cycle


def a_router(gates: Gates, prefix: str = "") -> AlarmRouter:
    return AlarmRouter(gates, ALL, prefix=prefix, window_s=300)  # type: ignore[arg-type]


@asynccontextmanager
async def listening(source: FakeAlarmSource, gates: Gates, prefix: str = "") -> AsyncIterator[AlarmListener]:
    listener = AlarmListener(source, a_router(gates, prefix), long_poll_s=20, first_pause_s=0.01)
    async with listener.listening():
        yield listener
        source.failure = Unreachable("over")  # ends the long poll of the fake


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_alarm_reaches_the_gate_of_its_application_and_leaves_the_queue() -> None:
    source, gates = FakeAlarmSource(), Gates()
    async with listening(source, gates) as listener:
        source.send(a_state_change())
        await until(lambda: listener.state.rung == 1 and not source.left)

    (gate, alarm) = gates.rung[0]
    assert (gate.tenant_id, gate.application, gate.window_s, alarm.name) == ("acme", "shop", 300, "shop-errors")
    assert listener.state.last_message_at is not None


async def test_bad_messages_neither_stop_the_listener_nor_leave_the_queue() -> None:
    source, gates = FakeAlarmSource(), Gates()
    async with listening(source, gates) as listener:
        for body in ("", "[]", "{", json.dumps({"detail-type": 5})):
            source.send(body)
        source.send(a_state_change())
        await until(lambda: listener.state.rung == 1 and len(source.left) == 4)

        assert (listener.state.malformed, listener.state.errors) == (4, 0)


async def test_message_without_a_dead_letter_queue_is_dropped_after_five_deliveries() -> None:
    source, gates = FakeAlarmSource(), Gates()
    source.send("broken")
    async with listening(source, gates) as listener:
        for delivery in range(1, 7):
            await until(lambda delivery=delivery: listener.state.malformed == delivery)  # type: ignore[misc]
            assert bool(source.left) or delivery == 6
            source.expire()
        await until(lambda: not source.left)

    assert listener.state.malformed == 6


async def test_unmatched_and_unimportant_alarms_leave_the_queue_unrung() -> None:
    source, gates = FakeAlarmSource(), Gates()
    async with listening(source, gates, prefix="shop-") as listener:
        source.send(a_state_change("other-name"))
        source.send(a_state_change(configuration={}))
        source.send(a_state_change(state={"value": "OK", "timestamp": "2026-11-23T12:00:00.000+0000"}))
        await until(lambda: listener.state.ignored == 3 and not source.left)

    assert gates.rung == []


async def test_alarm_stays_in_the_queue_until_temporal_has_it() -> None:
    source, gates = FakeAlarmSource(), Gates()
    gates.failure = Unreachable("Temporal does not answer")
    async with listening(source, gates) as listener:
        source.send(a_state_change())
        await until(lambda: listener.state.errors > 0)
        assert len(source.left) == 1

        gates.failure = None
        source.expire()
        await until(lambda: listener.state.rung == 1 and not source.left)

        assert listener.state.last_error == ""


async def test_listener_waits_out_a_queue_that_fails() -> None:
    source, gates = FakeAlarmSource(), Gates()
    source.failure = NotFound("no queue 'x': set it up")
    async with listening(source, gates) as listener:
        await until(lambda: listener.state.errors >= 3)
        assert listener.state.last_error == "NotFound: no queue 'x': set it up"

        source.failure = None
        source.send(a_state_change())
        await until(lambda: listener.state.rung == 1)


async def test_stop_does_not_wait_for_the_end_of_a_long_poll() -> None:
    source, gates = FakeAlarmSource(), Gates()
    stopping = asyncio.Event()
    task = asyncio.create_task(AlarmListener(source, a_router(gates)).run(stopping))
    await until(lambda: source.polls == 1)

    stopping.set()

    await asyncio.wait_for(task, 2)
    source.failure = Unreachable("over")  # ends the long poll of the fake


# Activities


class Plans:
    """Allows everything, unless `refusal` is set."""

    def __init__(self) -> None:
        self.refusal = ""

    def plan(self, tenant_id: str, application: str, *, trigger: Any, alarms: Any = ()) -> CycleRequest | str:
        chosen = next(each for each in ALL if each.key == f"{tenant_id}/{application}")
        return self.refusal or a_cycle_request(application=chosen, trigger=trigger, alarms=tuple(alarms))


def an_execution(started_after_s: float, *, running: bool) -> Execution:
    return Execution(
        workflow_id="cycle/acme/shop",
        run_id="0198f000-1111-7222-8333-444455556666",
        started_at=NOON + timedelta(seconds=started_after_s),
        state="RUNNING" if running else "COMPLETED",
    )


def activities(source: FakeAlarmSource, gates: Gates, plans: Plans | None = None) -> AlarmActivities:
    return AlarmActivities(source, a_router(gates), gates, plans or Plans())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cycle", "rung"),
    [
        pytest.param(None, True, id="no cycle ever"),
        pytest.param(an_execution(-60, running=False), True, id="a cycle that ended before"),
        pytest.param(an_execution(1, running=False), False, id="a cycle that started after"),
        pytest.param(an_execution(-60, running=True), False, id="a cycle that runs"),
    ],
)
async def test_reconciler_rings_for_alarms_that_no_cycle_has_seen(cycle: Execution | None, rung: bool) -> None:
    source, gates = FakeAlarmSource(), Gates()
    source.in_alarm = [an_alarm(), an_alarm("unknown", metrics=())]
    gates.cycle = cycle

    result = await activities(source, gates).reconcile_alarms(steps.Nothing())

    assert [alarm.name for _, alarm in gates.rung] == (["shop-errors"] if rung else [])
    assert (result.found, result.covered, result.unmatched) == (2, 0 if rung else 1, ("unknown",))


def prepare(**changes: Any) -> steps.PrepareCycleRequest:
    fields: dict[str, Any] = {
        "tenant_id": "acme",
        "application": "shop",
        "trigger": "alarm",
        "alarms": (an_alarm().note(),),
    }
    return steps.PrepareCycleRequest(**{**fields, **changes})


@pytest.mark.parametrize(
    ("cycle", "changes", "starts"),
    [
        pytest.param(None, {}, True, id="first"),
        pytest.param(an_execution(5, running=False), {}, False, id="started since"),
        pytest.param(an_execution(5, running=True), {}, True, id="runs, so that starting conflicts"),
        pytest.param(an_execution(5, running=False), {"again": True}, True, id="second look"),
        pytest.param(an_execution(5, running=False), {"trigger": "schedule", "alarms": ()}, True, id="schedule"),
    ],
)
async def test_cycle_is_not_repeated_for_an_alarm_that_one_has_seen(
    cycle: Execution | None, changes: dict[str, Any], starts: bool
) -> None:
    gates = Gates()
    gates.cycle = cycle

    prepared = await activities(FakeAlarmSource(), gates).prepare_cycle(prepare(**changes))

    assert (prepared.request is not None) is starts
    assert starts or "has started since" in prepared.refusal


async def test_refusal_of_the_settings_is_passed_on() -> None:
    plans = Plans()
    plans.refusal = "cycles are off"

    prepared = await activities(FakeAlarmSource(), Gates(), plans).prepare_cycle(prepare())

    assert prepared == steps.PreparedCycle(refusal="cycles are off")


# What a cycle is given


def plans(path: Path, **settings: Any) -> CyclePlans:
    path.write_text(
        '[[application]]\ntenant_id = "acme"\nname = "shop"\n'
        '[application.telemetry]\nlog_group = "/acme/shop"\n'
        '[application.repository]\nurl = "/shop.git"\n'
        '[application.release]\ncontrol_url = "http://127.0.0.1:1"\n'
    )
    return CyclePlans(Settings(applications_file=path, _env_file=None, **settings))


def test_emergency_cycle_analyses_an_hour_and_carries_one_improvement(tmp_path: Path) -> None:
    alarms = (an_alarm().note(), an_alarm("shop-slow").note())

    planned = plans(tmp_path / "a.toml", enable_autonomous_improvements=True).plan(
        "acme", "shop", trigger="alarm", alarms=alarms
    )

    assert isinstance(planned, CycleRequest)
    assert (planned.policy.analysis_window_s, planned.policy.max_improvements) == (3600, 1)
    assert (planned.trigger, planned.requested_by, planned.alarms) == ("alarm", "alarm shop-errors and 1 more", alarms)
    assert planned.deploy_allowed


def test_emergency_cycle_keeps_a_window_that_is_shorter_already(tmp_path: Path) -> None:
    planned = plans(tmp_path / "a.toml", analysis_window_seconds=25).plan("acme", "shop", trigger="alarm")

    assert isinstance(planned, CycleRequest)
    assert planned.policy.analysis_window_s == 25


def test_scheduled_cycle_is_like_one_asked_for(tmp_path: Path) -> None:
    planned = plans(tmp_path / "a.toml").plan("acme", "shop", trigger="schedule")

    assert isinstance(planned, CycleRequest)
    assert planned.policy == Settings(_env_file=None).policy(tenant_id="acme")
    assert (planned.requested_by, planned.deploy_allowed) == ("schedule", False)


@pytest.mark.parametrize(
    ("settings", "application", "said"),
    [
        pytest.param({"enable_self_building": False}, "shop", "set ENABLE_SELF_BUILDING=true", id="switched off"),
        pytest.param({}, "gone", "no application acme/gone", id="removed"),
    ],
)
def test_no_cycle_is_planned_where_none_may_start(
    tmp_path: Path, settings: dict[str, Any], application: str, said: str
) -> None:
    planned = plans(tmp_path / "a.toml", **settings).plan("acme", application, trigger="schedule")

    assert isinstance(planned, str)
    assert said in planned


def test_settings_name_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFBUILD_ALARM_QUEUE_NAME", "mine")

    assert Settings.load(None).alarm_queue_name == "mine"
