"""The collection of telemetry on the time-skipping server: rounds, pauses, changes, a history that does not grow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from selfbuild.domain.streams import StreamRequest, StreamState
from tests.builders import NOON, an_application
from workflows import steps
from workflows.telemetry_stream import SETTLE_S, TelemetryStream

REQUEST = StreamRequest(application=an_application(), interval_s=60, period_s=60)
BACKLOG_ROUNDS = 2


class Rounds:
    """Stands for the activity: remembers each round; the first ones still have older telemetry to read."""

    def __init__(self, *, failures: int = 0) -> None:
        self.asked: list[steps.StreamRound] = []
        self.at_s: list[float] = []
        self.changed = asyncio.Condition()
        self._failures = failures

    @activity.defn(name=steps.STREAM.name)
    async def stream_telemetry(self, round_: steps.StreamRound) -> steps.StreamRoundDone:
        if self._failures:
            self._failures -= 1
            raise ApplicationError("no permission", type="AccessDenied")
        async with self.changed:
            self.asked.append(round_)
            self.at_s.append(activity.info().scheduled_time.timestamp())
            self.changed.notify_all()
        state = round_.state or StreamState(
            tenant_id="acme", application="shop", cursor=NOON, updated_at=NOON, interval_s=60
        )
        moved = state.model_copy(update={"cursor": state.cursor + timedelta(hours=1)})
        return steps.StreamRoundDone(state=moved, caught_up=len(self.asked) > BACKLOG_ROUNDS)

    async def until(self, count: int) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(lambda: len(self.asked) >= count), 30)


@asynccontextmanager
async def streaming(
    environment: WorkflowEnvironment, rounds: Rounds
) -> AsyncIterator[WorkflowHandle[TelemetryStream, None]]:
    client = environment.client
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(Worker(client, task_queue=steps.CYCLE_QUEUE, workflows=[TelemetryStream]))
        await stack.enter_async_context(
            Worker(client, task_queue=steps.AWS_QUEUE, activities=[rounds.stream_telemetry])
        )
        handle = await client.start_workflow(
            TelemetryStream.run, REQUEST, id="stream/acme/shop", task_queue=steps.CYCLE_QUEUE
        )
        yield handle
        await handle.terminate()


async def skip(environment: WorkflowEnvironment, rounds: Rounds, count: int) -> None:
    """Let the server's clock run until so many rounds are done."""
    while len(rounds.asked) < count:
        done = len(rounds.asked)
        await environment.sleep(timedelta(seconds=61))
        await rounds.until(done + 1)


async def test_a_backlog_is_read_at_once_and_then_one_round_a_full_interval(skipping: WorkflowEnvironment) -> None:
    rounds = Rounds()

    async with streaming(skipping, rounds) as handle:
        await rounds.until(BACKLOG_ROUNDS + 1)
        await skip(skipping, rounds, BACKLOG_ROUNDS + 3)
        state = await handle.query(TelemetryStream.state)

    assert rounds.asked[0].state is None
    assert [each.state.cursor for each in rounds.asked[1:3] if each.state] == [
        NOON + timedelta(hours=1),
        NOON + timedelta(hours=2),
    ]
    assert [round(at - SETTLE_S) % 60 for at in rounds.at_s[BACKLOG_ROUNDS + 1 :]] == [0, 0]
    assert state is not None
    assert state.cursor > NOON


async def test_permissions_that_come_back_need_no_restart(skipping: WorkflowEnvironment) -> None:
    rounds = Rounds(failures=4)

    async with streaming(skipping, rounds):
        await skipping.sleep(timedelta(minutes=5))
        await rounds.until(1)


async def test_a_change_is_followed_at_once_and_keeps_the_cursor(skipping: WorkflowEnvironment) -> None:
    rounds = Rounds()

    async with streaming(skipping, rounds) as handle:
        await rounds.until(BACKLOG_ROUNDS + 1)
        await handle.signal(TelemetryStream.configure, REQUEST.model_copy(update={"interval_s": 600}))
        await rounds.until(BACKLOG_ROUNDS + 2)

    assert rounds.asked[-1].request.interval_s == 600
    assert rounds.asked[-1].state is not None
    assert rounds.asked[-1].state.cursor == NOON + timedelta(hours=BACKLOG_ROUNDS + 1)


async def test_a_long_history_is_cut_and_the_cursor_kept(skipping: WorkflowEnvironment) -> None:
    rounds = Rounds()

    async with streaming(skipping, rounds) as handle:
        first_run = (await handle.describe()).run_id
        await rounds.until(BACKLOG_ROUNDS + 1)
        for _ in range(60):
            await skipping.sleep(timedelta(minutes=10))
            if (await skipping.client.get_workflow_handle("stream/acme/shop").describe()).run_id != first_run:
                break
        described = await skipping.client.get_workflow_handle("stream/acme/shop").describe()
        state = await skipping.client.get_workflow_handle_for(TelemetryStream.run, "stream/acme/shop").query(
            TelemetryStream.state
        )

    assert described.run_id != first_run
    assert state is not None
    assert state.cursor >= NOON + timedelta(hours=len(rounds.asked) - 1)
