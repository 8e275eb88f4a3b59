"""Alarms of one application make one emergency cycle: in storms, beside a running cycle, over a killed worker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.alarms import AlarmActivities
from selfbuild.alarm_routing import AlarmRouter
from selfbuild.domain.alarms import Alarm, GateRequest, GateState
from selfbuild.domain.applications import Mode
from selfbuild.domain.cycles import CycleReport
from selfbuild.domain.messages import Launched, LaunchRequest
from selfbuild.live import LiveWorkflows
from tests.builders import a_cycle_request, an_application
from tests.fakes.alarms import FakeAlarmSource, an_alarm
from tests.workflow.alarm_steps import CYCLE, AlarmSteps
from tests.workflow.conftest import WORKFLOWS, Serving, dev_server
from workflows import steps

BOUND_S = 30
WINDOW_S = 300
GATE = "alarm/acme/shop"


async def ring(client: Client, alarm: Alarm | None = None, *, window_s: int = WINDOW_S) -> WorkflowHandle[Any, Any]:
    """As the listener does."""
    await LiveWorkflows(client).ring_gate(
        GateRequest(tenant_id="acme", application="shop", window_s=window_s), alarm or an_alarm()
    )
    return client.get_workflow_handle(GATE)


async def state(gate: WorkflowHandle[Any, Any]) -> GateState:
    found: GateState = await gate.query("state", result_type=GateState)
    return found


async def result(environment: WorkflowEnvironment) -> GateState:
    """What the gate ends with; a skipping server skips meanwhile."""
    async with AsyncExitStack() as stack:
        if environment.supports_time_skipping_v1:
            # Only handles that the environment's own start_workflow made do so by themselves.
            await stack.enter_async_context(environment.time_skipping_unlocked())  # type: ignore[attr-defined]
        handle = environment.client.get_workflow_handle(GATE, result_type=GateState)
        found: GateState = await asyncio.wait_for(handle.result(), BOUND_S)
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not condition():
            await asyncio.sleep(0.02)


def fresh(name: str = "shop-errors", **changes: Any) -> Alarm:
    return an_alarm(name, **{"changed_at": datetime.now(UTC), **changes})


async def test_first_alarm_starts_an_emergency_cycle(skipping: WorkflowEnvironment, serving: Serving) -> None:
    doubles = AlarmSteps()
    async with serving(skipping.client, doubles):
        await ring(skipping.client)

        gate = await result(skipping)

    (report,) = doubles.ended
    assert (report.trigger, report.outcome, [each.name for each in report.alarms]) == (
        "alarm",
        "observed",
        ["shop-errors"],
    )
    assert gate.cycles == (report.run_id,)
    assert doubles.prepared[0].alarms[0].reason == "Threshold Crossed: 1 datapoint"


async def test_storm_of_fifty_alarms_makes_one_cycle(skipping: WorkflowEnvironment, serving: Serving) -> None:
    doubles = AlarmSteps()
    doubles.collecting.clear()
    async with serving(skipping.client, doubles):
        await ring(skipping.client, an_alarm("a0"))
        await until(lambda: doubles.calls["collect waits"] > 0)
        for number in range(1, 50):
            handle = await ring(skipping.client, an_alarm(f"a{number}"))
        assert (await state(handle)).received == 50
        doubles.collecting.set()

        gate = await result(skipping)

    (report,) = doubles.ended
    assert len(gate.cycles) == 1
    assert gate.joined == 49
    assert {alarm.name for alarm in report.alarms} == {f"a{number}" for number in range(50)}


async def test_alarm_told_again_within_the_window_is_counted_and_does_nothing(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = AlarmSteps()
    async with serving(skipping.client, doubles):
        for number in range(3):
            handle = await ring(skipping.client, an_alarm(event_id=f"e{number}"))
        await ring(skipping.client, an_alarm(event_id="e0"))
        seen = await state(handle)

        await result(skipping)

    assert (seen.received, seen.duplicates) == (4, 3)
    assert [(entry.name, entry.count) for entry in seen.entries] == [("shop-errors", 4)]
    assert len(doubles.ended) == 1


async def test_other_alarm_within_the_window_of_an_ended_cycle_is_held(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = AlarmSteps()
    async with serving(skipping.client, doubles):
        await ring(skipping.client)
        await until(lambda: len(doubles.ended) == 1)
        await skipping.sleep(timedelta(seconds=60))
        await ring(skipping.client, an_alarm("shop-slow"))

        gate = await result(skipping)

    assert (gate.held, len(gate.cycles)) == (1, 1)


async def test_alarm_after_the_window_starts_another_cycle(skipping: WorkflowEnvironment, serving: Serving) -> None:
    doubles = AlarmSteps()
    async with serving(skipping.client, doubles):
        await ring(skipping.client)
        await result(skipping)
        await ring(skipping.client, an_alarm(event_id="e2"))
        await result(skipping)

    assert len(doubles.ended) == 2


async def test_gate_that_waits_for_a_long_cycle_starts_the_next_after_it(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = AlarmSteps()
    doubles.collecting.clear()
    async with serving(skipping.client, doubles):
        handle = await ring(skipping.client, window_s=0)
        await until(lambda: doubles.calls["collect waits"] == 1)
        await ring(skipping.client, an_alarm(event_id="e2"), window_s=0)
        while (await state(handle)).joined == 0:
            await asyncio.sleep(0.02)
        doubles.collecting.set()
        first = await result(skipping)
        await ring(skipping.client, an_alarm(event_id="e3"), window_s=0)
        await result(skipping)

    assert (len(first.cycles), first.joined) == (1, 1)
    assert len(doubles.ended) == 2


async def test_cycle_that_finds_nothing_is_repeated_once_a_period_later(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = AlarmSteps(opportunities=())
    async with serving(skipping.client, doubles):
        await ring(skipping.client)

        gate = await result(skipping)

    first, second = doubles.ended
    assert [request.again for request in doubles.prepared] == [False, True]
    assert [alarm.name for alarm in second.alarms] == ["shop-errors"]
    assert first.finished_at is not None
    assert timedelta(seconds=60) <= second.started_at - first.finished_at < timedelta(seconds=70)
    assert len(gate.cycles) == 2


async def test_alarm_that_comes_before_the_second_look_joins_it(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = AlarmSteps(opportunities=(), period_s=240)
    async with serving(skipping.client, doubles):
        await ring(skipping.client)
        await until(lambda: len(doubles.ended) == 1)
        await skipping.sleep(timedelta(seconds=30))
        await ring(skipping.client, an_alarm("shop-slow"))

        await result(skipping)

    assert [[alarm.name for alarm in report.alarms] for report in doubles.ended] == [
        ["shop-errors"],
        ["shop-errors", "shop-slow"],
    ]


async def test_refused_cycle_is_explained_and_not_asked_for_again_within_the_window(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = AlarmSteps(refusals=["cycles are off: set ENABLE_SELF_BUILDING=true"])
    async with serving(skipping.client, doubles):
        await ring(skipping.client)
        await until(lambda: len(doubles.prepared) == 1)
        await ring(skipping.client, an_alarm("shop-slow"))

        gate = await result(skipping)

    assert gate.refusals == ("cycles are off: set ENABLE_SELF_BUILDING=true",)
    assert (gate.cycles, gate.held, doubles.ended) == ((), 1, [])


async def test_preparation_is_repeated_while_temporal_or_the_store_is_out_of_reach(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = AlarmSteps(prepare_failures=3)
    async with serving(skipping.client, doubles):
        await ring(skipping.client)
        gate = await result(skipping)

    assert len(gate.cycles) == 1


async def test_cycle_that_fails_is_not_repeated(skipping: WorkflowEnvironment, serving: Serving) -> None:
    doubles = AlarmSteps(collect_error=ApplicationError("no", type="AccessDenied"))
    async with serving(skipping.client, doubles):
        await ring(skipping.client)
        gate = await result(skipping)

    assert len(gate.cycles) == 1
    assert [report.outcome for report in doubles.ended] == ["failed"]


# On the development server


async def test_alarm_joins_a_cycle_that_somebody_else_started(server: WorkflowEnvironment, serving: Serving) -> None:
    doubles = AlarmSteps()
    doubles.collecting.clear()
    async with serving(server.client, doubles):
        request = a_cycle_request(application=an_application(mode=Mode.OBSERVE))
        cycle = await server.client.start_workflow(
            "ImprovementCycle", request, id=CYCLE, task_queue="cycle", result_type=CycleReport
        )
        await until(lambda: doubles.calls["collect waits"] == 1)
        handle = await ring(server.client, fresh(), window_s=3)
        while (await state(handle)).joined == 0:
            await asyncio.sleep(0.02)
        doubles.collecting.set()
        report = await cycle.result()
        await ring(server.client, fresh("shop-slow"), window_s=3)
        gate = await result(server)

    assert report.trigger == "manual"
    assert [alarm.name for alarm in report.alarms] == ["shop-errors"]
    assert report.notes == ("while this cycle ran: shop-errors",)
    assert (gate.cycles, gate.joined, gate.held) == ((), 1, 1)


async def test_emergency_cycle_outranks_scheduled_ones_and_outlives_its_gate(
    server: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = AlarmSteps()
    doubles.collecting.clear()
    async with serving(server.client, doubles):
        gate = await ring(server.client, fresh(), window_s=1)
        await until(lambda: doubles.calls["collect waits"] == 1)
        cycle = server.client.get_workflow_handle(CYCLE, result_type=CycleReport)
        described = await cycle.describe()
        await gate.terminate()
        assert (await cycle.describe()).status is WorkflowExecutionStatus.RUNNING
        doubles.collecting.set()
        report = await cycle.result()

    # Activities take what they do not set themselves from their workflow.
    priority = described.raw_description.workflow_execution_info.priority
    assert (priority.priority_key, priority.fairness_key) == (1, "acme")
    assert report.outcome == "observed"


async def test_gate_goes_on_after_its_worker_was_lost_at_any_point(server: WorkflowEnvironment) -> None:
    doubles = AlarmSteps()

    @asynccontextmanager
    async def worker() -> AsyncIterator[None]:
        """Without a cache, so that every task replays from the beginning."""
        workers = [
            Worker(
                server.client,
                task_queue=queue,
                workflows=WORKFLOWS if queue == "cycle" else (),
                activities=doubles.of_queue(queue),
                max_cached_workflows=0,
            )
            for queue in ("cycle", "aws", "sandbox")
        ]
        for each in workers:
            tasks.append(asyncio.create_task(each.run()))
        yield
        await asyncio.gather(*(each.shutdown() for each in workers))

    tasks: list[asyncio.Task[None]] = []
    doubles.collecting.clear()
    await ring(server.client, fresh("a1"), window_s=2)
    async with worker():
        await until(lambda: doubles.calls["collect waits"] == 1)
        doubles.collecting.set()
    await ring(server.client, fresh("a2"), window_s=2)
    async with worker():
        gate = await result(server)

    assert (gate.received, len(gate.cycles)) == (2, 1)
    await asyncio.gather(*tasks)


@pytest.mark.slow
async def test_long_gate_goes_on_with_an_empty_history_and_all_it_knows(serving: Serving) -> None:
    async with dev_server("limit.historyCount.suggestContinueAsNew=30") as server:
        doubles = AlarmSteps()
        async with serving(server.client, doubles), asyncio.timeout(BOUND_S):
            handle = await ring(server.client, fresh("a0"), window_s=5)
            first = renewed = (await handle.describe()).run_id
            told = 1
            while renewed == first:
                await ring(server.client, fresh(f"a{told}"), window_s=5)
                told += 1
                renewed = (await handle.describe()).run_id
            gate = await result(server)

    assert (gate.received, len(gate.entries), len(gate.cycles)) == (told, told, 1)


async def test_lost_event_is_found_once(server: WorkflowEnvironment, serving: Serving) -> None:
    doubles, source = AlarmSteps(), FakeAlarmSource()
    live = LiveWorkflows(server.client)
    shop = an_application()
    router = AlarmRouter(live, (shop,), prefix="", window_s=1)
    activities = AlarmActivities(source, router, live, plans=None)  # type: ignore[arg-type]
    source.in_alarm = [fresh()]
    async with serving(server.client, doubles):
        first = await activities.reconcile_alarms(steps.Nothing())
        await until(lambda: len(doubles.ended) == 1)
        await result(server)
        second = await activities.reconcile_alarms(steps.Nothing())

    assert first.rung == ("acme/shop: shop-errors",)
    assert (second.rung, second.covered) == ((), 1)


async def test_reconciler_reports_that_cloudwatch_is_out_of_reach(
    skipping: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = AlarmSteps(reconciled=ApplicationError("not allowed", type="AccessDenied"))
    async with serving(skipping.client, doubles):
        found = await skipping.client.execute_workflow(
            "AlarmReconciler", id="r", task_queue="cycle", result_type=steps.ReconciledAlarms
        )

    assert found.problem == "AccessDenied: not allowed"


@pytest.mark.parametrize("running", [False, True], ids=["free", "busy"])
async def test_launcher_starts_a_cycle_or_says_that_one_runs(
    server: WorkflowEnvironment, serving: Serving, running: bool
) -> None:
    doubles = AlarmSteps()
    doubles.collecting.clear()
    async with serving(server.client, doubles):
        if running:
            request = a_cycle_request(application=an_application(mode=Mode.OBSERVE))
            await server.client.start_workflow("ImprovementCycle", request, id=CYCLE, task_queue="cycle")
        launched = await server.client.execute_workflow(
            "CycleLauncher",
            LaunchRequest(tenant_id="acme", application="shop"),
            id="launch/acme/shop",
            task_queue="cycle",
            result_type=Launched,
        )
        doubles.collecting.set()
        report = await server.client.get_workflow_handle(CYCLE, result_type=CycleReport).result()

    assert bool(launched.skipped) is running
    assert (launched.run_id == report.run_id) is not running
    assert report.trigger == ("manual" if running else "schedule")
