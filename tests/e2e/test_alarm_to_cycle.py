"""From an alarm of the local AWS to a running cycle, with every part real."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from selfbuild.live import Execution
from tests.e2e.alarm_rig import AlarmRig, alarm_rig
from tests.e2e.conftest import processes_naming

BOUND_S = 60


async def until(condition: Callable[[], Awaitable[Any]], rig: AlarmRig) -> Any:
    """The first true answer, within BOUND_S."""
    deadline = time.monotonic() + BOUND_S
    while not (answer := await condition()):
        assert time.monotonic() < deadline, rig.stack.child("worker").tail()
        await asyncio.sleep(0.05)
    return answer


async def test_alarm_on_bad_telemetry_starts_a_cycle_of_its_application(tmp_path: Path) -> None:
    with alarm_rig(tmp_path / "rig", ["acme", "globex"]) as rig:
        rig.watch("acme", "acme-errors")
        rig.fail("acme")

        cycle: Execution = await until(lambda: rig.cycle("acme"), rig)

        alarm_at = rig.alarm_at("acme-errors")
        assert alarm_at is not None
        assert cycle.started_at > alarm_at
        assert await rig.cycle("globex") is None
        assert (await rig.gate("acme")).received == 1
        await until(_as_coroutine(lambda: rig.messages() == 0), rig)
    assert not processes_naming(str(tmp_path))


@pytest.mark.slow
async def test_storm_of_fifty_alarms_of_one_application_makes_one_cycle(tmp_path: Path) -> None:
    with alarm_rig(tmp_path / "rig", ["acme"]) as rig:
        for number in range(50):
            rig.watch("acme", f"acme-{number}", threshold=0.5 + number / 100)
        rig.fail("acme")

        async def all_received() -> bool:
            return await rig.cycle("acme") is not None and (await rig.gate("acme")).received == 50

        await until(all_received, rig)
        await until(_as_coroutine(lambda: rig.messages() == 0), rig)
        gate = await rig.gate("acme")

    assert len(gate.cycles) == 1
    assert gate.joined + gate.held + gate.duplicates >= 40


@pytest.mark.slow
async def test_alarm_that_came_while_the_worker_was_dead_starts_a_cycle(tmp_path: Path) -> None:
    with alarm_rig(tmp_path / "rig", ["acme"]) as rig:
        rig.watch("acme", "acme-errors")
        rig.kill_worker()
        rig.fail("acme")
        await until(_as_coroutine(lambda: rig.alarm_at("acme-errors") is not None), rig)
        assert await rig.cycle("acme") is None

        rig.stack.start_worker()

        await until(lambda: rig.cycle("acme"), rig)


def _as_coroutine(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return condition()

    return ask
