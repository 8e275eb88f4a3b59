"""One schedule an application: made once, corrected, deleted with it, paused for good, and it starts cycles."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from selfbuild.domain.applications import Application
from selfbuild.domain.cycles import CycleReport
from selfbuild.domain.errors import NotFound
from selfbuild.domain.messages import Launched
from selfbuild.schedules import (
    CATCH_UP,
    EnsuredSchedules,
    ensure_alarm_reconciler,
    ensure_schedules,
    find_schedule,
    list_schedules,
    pause_schedule,
    resume_schedule,
    trigger_schedule,
    wanted_schedule,
)
from selfbuild.settings import Settings
from tests.builders import an_application
from tests.workflow.alarm_steps import CYCLE, AlarmSteps
from tests.workflow.conftest import Serving
from workflows import steps

BOUND_S = 30
SHOP, CART = an_application(), an_application(name="cart")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


async def ensured(client: Client, *applications: Application, hours: int = 24) -> EnsuredSchedules:
    settings = Settings(improvement_cycle_interval_hours=hours, _env_file=None)
    return await ensure_schedules(client, settings, applications)


async def listed(client: Client, *names: str) -> None:
    """Wait until the listing, which is a little late, names these applications."""
    async with asyncio.timeout(BOUND_S):
        while tuple(view.application for view in await list_schedules(client)) != names:
            await asyncio.sleep(0.05)


def intervals(every: timedelta, count: int) -> list[timedelta]:
    schedules = [wanted_schedule("acme", f"app{number}", every=every, now=NOW) for number in range(count)]
    return [schedule.spec.intervals[0].offset or timedelta(0) for schedule in schedules]


def test_hours_of_applications_are_spread_over_the_interval() -> None:
    day = timedelta(hours=24)

    offsets = intervals(day, 240)

    assert all(timedelta(0) <= offset < day for offset in offsets)
    by_hour = [sum(offset // timedelta(hours=1) == hour for offset in offsets) for hour in range(24)]
    assert min(by_hour) >= 1
    assert max(by_hour) <= 25
    assert offsets == intervals(day, 240)


async def test_schedules_are_made_once_and_deleted_with_their_application(server: WorkflowEnvironment) -> None:
    first = await ensured(server.client, SHOP, CART)
    again = await ensured(server.client, SHOP, CART)
    await listed(server.client, "cart", "shop")

    gone = await ensured(server.client, SHOP)

    assert first == EnsuredSchedules(created=["acme/shop", "acme/cart"])
    assert again == EnsuredSchedules(kept=["acme/shop", "acme/cart"])
    assert gone == EnsuredSchedules(kept=["acme/shop"], deleted=["acme/cart"])
    with pytest.raises(NotFound, match=r"'acme/cart'.*APPLICATIONS_FILE"):
        await find_schedule(server.client, "acme", "cart")


async def test_first_cycle_is_an_hour_away_and_missed_ones_are_left_out(server: WorkflowEnvironment) -> None:
    await ensured(server.client, SHOP, hours=1)

    view = await find_schedule(server.client, "acme", "shop")
    described = await server.client.get_schedule_handle("schedule/acme/shop").describe()

    assert view.next_at is not None
    assert view.next_at > datetime.now(UTC) + timedelta(minutes=59)
    assert described.schedule.policy.catchup_window == CATCH_UP
    assert view.interval_s == 3600
    assert view.note == "a cycle of acme/shop every 1:00:00"


async def test_paused_schedule_stays_paused_when_workers_start_with_other_settings(
    server: WorkflowEnvironment,
) -> None:
    await ensured(server.client, SHOP)
    await pause_schedule(server.client, "acme", "shop", "release freeze")

    changed = await ensured(server.client, SHOP, hours=12)

    view = await find_schedule(server.client, "acme", "shop")
    assert changed.updated == ["acme/shop"]
    assert (view.paused, view.note, view.interval_s, view.next_at) == (True, "release freeze", 12 * 3600, None)

    await resume_schedule(server.client, "acme", "shop", "over")
    resumed = await find_schedule(server.client, "acme", "shop")
    assert (resumed.paused, resumed.note) == (False, "over")
    assert resumed.next_at is not None


@pytest.mark.parametrize("refusal", ["", "cycles are off: set ENABLE_SELF_BUILDING=true"], ids=["on", "off"])
async def test_schedule_starts_the_cycle_of_its_application(
    server: WorkflowEnvironment, serving: Serving, refusal: str
) -> None:
    doubles = AlarmSteps(refusals=[refusal] if refusal else [])
    await ensured(server.client, SHOP)
    async with serving(server.client, doubles):
        await trigger_schedule(server.client, "acme", "shop")
        launched = await launch(server.client)
        report = None if refusal else await reported(server.client)

    assert launched.skipped == refusal
    (request,) = doubles.prepared
    assert (request.trigger, request.alarms) == ("schedule", ())
    if report is not None:
        assert (report.trigger, report.run_id) == ("schedule", launched.run_id)


async def launch(client: Client) -> Launched:
    """What became of the schedule's last run."""
    async with asyncio.timeout(BOUND_S):
        while (identity := (await find_schedule(client, "acme", "shop")).last_workflow_id) is None:
            await asyncio.sleep(0.05)
    handle: Any = client.get_workflow_handle(identity, result_type=Launched)
    result: Launched = await handle.result()
    return result


async def reported(client: Client) -> CycleReport:
    handle: Any = client.get_workflow_handle(CYCLE, result_type=CycleReport)
    report: CycleReport = await handle.result()
    return report


async def test_search_for_lost_alarms_is_scheduled_once(server: WorkflowEnvironment, serving: Serving) -> None:
    doubles = AlarmSteps(reconciled=steps.ReconciledAlarms(found=2))
    await ensure_alarm_reconciler(server.client)
    await ensure_alarm_reconciler(server.client)
    schedule = server.client.get_schedule_handle("alarm-reconciler")
    async with serving(server.client, doubles):
        await schedule.trigger()
        async with asyncio.timeout(BOUND_S):
            while not (actions := (await schedule.describe()).info.recent_actions):
                await asyncio.sleep(0.05)
        action: Any = actions[0].action
        handle: Any = server.client.get_workflow_handle(action.workflow_id, result_type=steps.ReconciledAlarms)
        found: steps.ReconciledAlarms = await handle.result()

    assert found.found == 2


async def test_operations_on_an_unknown_application_name_it(server: WorkflowEnvironment) -> None:
    with pytest.raises(NotFound, match="'acme/nobody'"):
        await pause_schedule(server.client, "acme", "nobody", "x")
    with pytest.raises(NotFound, match="'acme/nobody'"):
        await trigger_schedule(server.client, "acme", "nobody")
