"""What the boundary does around every activity."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.boundary import MAX_ERROR_TEXT, MAX_RETRY_AFTER, Boundary
from selfbuild.domain.base import Value
from selfbuild.domain.errors import Conflict, Throttled


@dataclass
class Inner(ActivityInboundInterceptor):
    """The activity itself."""

    outcome: Any = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event | None = None
    finished: bool = False

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        self.entered.set()
        if self.release is not None:
            await self.release.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        self.finished = True
        return self.outcome


def environment(step: str = "monitor", heartbeat: timedelta | None = None) -> ActivityEnvironment:
    made = ActivityEnvironment()
    made.info = ActivityEnvironment.default_info()
    object.__setattr__(made.info, "activity_type", step)
    object.__setattr__(made.info, "heartbeat_timeout", heartbeat)
    return made


async def run(inner: Inner, made: ActivityEnvironment | None = None) -> Any:
    inbound = Boundary().intercept_activity(inner)
    call = ExecuteActivityInput(fn=lambda: None, args=[Value()], executor=None, headers={})
    return await (made or environment()).run(inbound.execute_activity, call)


async def failure_of(error: Exception) -> ApplicationError:
    with pytest.raises(ApplicationError) as raised:
        await run(Inner(outcome=error))
    return raised.value


async def test_result_passes_through() -> None:
    assert await run(Inner(outcome="ok")) == "ok"


async def test_permanent_error_keeps_its_class_name_and_may_be_retried_where_the_step_says_so() -> None:
    failure = await failure_of(Conflict("main moved on"))

    assert (failure.type, failure.message, failure.non_retryable) == ("Conflict", "main moved on", False)


@pytest.mark.parametrize(
    ("asked_s", "given"),
    [
        pytest.param(30.0, timedelta(seconds=30), id="as-asked"),
        pytest.param(4_000_000.0, MAX_RETRY_AFTER, id="49-days-are-cut"),
        pytest.param(None, None, id="not-asked"),
    ],
)
async def test_retry_after_reaches_temporal(asked_s: float | None, given: timedelta | None) -> None:
    failure = await failure_of(Throttled("slow down", retry_after_s=asked_s))

    assert failure.next_retry_delay == given


async def test_error_text_is_cut() -> None:
    failure = await failure_of(RuntimeError("x" * 3_000_000))

    assert len(failure.message) == MAX_ERROR_TEXT


async def test_long_step_heartbeats() -> None:
    beats: list[Any] = []
    made = environment(heartbeat=timedelta(seconds=0.8))
    made.on_heartbeat = lambda *details: beats.append(details)
    inner = Inner(outcome="ok", release=asyncio.Event())
    running = asyncio.create_task(run(inner, made))

    async with asyncio.timeout(5):
        while len(beats) < 3:
            await asyncio.sleep(0.05)
    assert inner.release is not None
    inner.release.set()

    assert await running == "ok"


@pytest.mark.parametrize(("step", "finishes"), [("deploy", True), ("rollback", True), ("collect_telemetry", False)])
async def test_cancel_lets_a_critical_section_end(step: str, *, finishes: bool) -> None:
    made = environment(step)
    inner = Inner(outcome="ok", release=asyncio.Event())
    running = asyncio.create_task(run(inner, made))
    await inner.entered.wait()

    made.cancel()
    await asyncio.sleep(0)
    assert inner.release is not None
    inner.release.set()
    await asyncio.wait([running], timeout=5)

    assert inner.finished is finishes
    assert running.cancelled() is not finishes


async def test_worker_shutdown_interrupts_even_a_critical_section() -> None:
    made = environment("deploy")
    inner = Inner(outcome="ok", release=asyncio.Event())
    running = asyncio.create_task(run(inner, made))
    await inner.entered.wait()

    made.worker_shutdown()
    made.cancel()
    await asyncio.wait([running], timeout=5)

    assert running.cancelled()
    assert not inner.finished
