"""What cancel, terminate and conflicts leave behind, on the development server with the wall clock."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import CancelledError, WorkflowAlreadyStartedError
from temporalio.testing import WorkflowEnvironment

from selfbuild.domain.base import run8
from selfbuild.domain.cycles import CycleReport, CycleStatus, ImprovementStatus
from selfbuild.domain.messages import RollbackRequest
from selfbuild.domain.releases import Rollback
from tests.builders import a_cycle_request, a_policy, an_application, an_opportunity
from tests.workflow.conftest import Serving
from tests.workflow.steps_double import Steps, an_orphan

BOUND_S = 30


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, at most BOUND_S."""
    async with asyncio.timeout(BOUND_S):
        while not condition():
            await asyncio.sleep(0.05)


async def start(client: Client, **changes: Any) -> WorkflowHandle[Any, CycleReport]:
    request = a_cycle_request(**{"policy": a_policy(check_interval_s=1), **changes})
    return await client.start_workflow(
        "ImprovementCycle", request, id="cycle/acme/shop", task_queue="cycle", result_type=CycleReport
    )


async def cancelled(handle: WorkflowHandle[Any, CycleReport]) -> None:
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert isinstance(failure.value.cause, CancelledError)


async def test_cancel_rolls_the_live_release_back_before_the_cycle_closes(
    server: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = Steps(opportunities=tuple(an_opportunity(insight_id=f"i{n}") for n in range(2)), rollback_failures=2)
    async with serving(server.client, doubles):
        handle = await start(server.client)
        await until(lambda: doubles.calls["monitor"] > 0)

        await cancelled(handle)

        assert not doubles.live
        assert [each.bar_patch for each in doubles.rollbacks] == [False]
        assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED
        assert doubles.cycles[-1].status is CycleStatus.CANCELLED
        assert {each.status for each in doubles.improvements} == {ImprovementStatus.CANCELLED}


async def test_cancel_in_the_middle_of_a_deploy_waits_for_it_and_rolls_back(
    server: WorkflowEnvironment, serving: Serving
) -> None:
    doubles = Steps()
    doubles.deploy_gate.clear()
    async with serving(server.client, doubles):
        handle = await start(server.client)
        await until(lambda: doubles.calls["deploy"] == 1)
        await handle.cancel()
        await until(lambda: doubles.calls["deploy"] == 1)
        doubles.deploy_gate.set()
        with pytest.raises(WorkflowFailureError):
            await handle.result()

    assert doubles.log[-3:] == ["deploy begins 1-r1", "deploy 1-r1", "rollback 1-r1"]
    assert not doubles.live


async def test_terminated_cycle_still_rolls_its_release_back(server: WorkflowEnvironment, serving: Serving) -> None:
    doubles = Steps()
    async with serving(server.client, doubles):
        handle = await start(server.client)
        await until(lambda: doubles.calls["monitor"] > 0)

        await handle.terminate("operator")
        await until(lambda: bool(doubles.rollbacks))

    assert not doubles.live


async def test_second_cycle_of_an_application_conflicts_and_names_the_running_one(
    server: WorkflowEnvironment, serving: Serving
) -> None:
    async with serving(server.client, Steps()):
        handle = await start(server.client)

        with pytest.raises(WorkflowAlreadyStartedError) as conflict:
            await start(server.client)

        assert conflict.value.run_id == handle.result_run_id
        await cancelled(handle)


async def test_cycle_can_be_found_by_its_search_attributes(server: WorkflowEnvironment, serving: Serving) -> None:
    doubles = Steps()
    async with serving(server.client, doubles):
        handle = await start(server.client)
        await until(lambda: doubles.calls["monitor"] > 0)
        report = await handle.query("report", result_type=CycleReport)
        query = f"TenantId='acme' AND Application='shop' AND CycleId='{report.cycle_id}' AND Phase='monitoring'"

        async with asyncio.timeout(BOUND_S):
            while not (found := [each.id async for each in server.client.list_workflows(query)]):
                await asyncio.sleep(0.1)

        assert found == [f"{handle.id}/{run8(handle.result_run_id or '')}/1"]
        description = await server.client.get_workflow_handle(found[0]).describe()
        assert await description.static_summary() == "error_pattern: actions"
        await cancelled(handle)


async def test_reconciler_takes_back_what_nobody_owns(server: WorkflowEnvironment, serving: Serving) -> None:
    doubles = Steps(orphans=(an_orphan("r-1", an_application()), an_orphan("r-2", an_application())))
    doubles.live.update({"r-1", "r-2"})
    async with serving(server.client, doubles):
        started = await server.client.execute_workflow(
            "ReleaseReconciler", id="reconcile", task_queue="cycle", result_type=tuple[str, ...]
        )
        await until(lambda: len(doubles.rollbacks) == 2)

    assert sorted(started) == ["r-1", "r-2"]
    assert not doubles.live


async def test_rollback_asked_for_twice_is_done_once(server: WorkflowEnvironment, serving: Serving) -> None:
    doubles = Steps(orphans=(an_orphan("r-1", an_application()),), rollback_failures=1)
    async with serving(server.client, doubles):
        request = RollbackRequest(release_id="r-1", reason="wrong figures", requested_by="alice")
        first = await server.client.start_workflow(
            "RollbackRelease", request, id="rollback/r-1", task_queue="cycle", result_type=Rollback
        )
        with pytest.raises(WorkflowAlreadyStartedError):
            await server.client.start_workflow("RollbackRelease", request, id="rollback/r-1", task_queue="cycle")
        await first.result()

    assert [each.reason for each in doubles.rollbacks] == ["wrong figures (by alice)"]
