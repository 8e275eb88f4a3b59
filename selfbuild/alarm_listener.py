"""Takes alarms from the queue to the gates, beside the workers of a process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from selfbuild.alarm_routing import AlarmRouter
from selfbuild.domain.alarms import Unmatched, read_event
from selfbuild.domain.errors import MalformedAnswer, SelfBuildError
from selfbuild.ports import AlarmMessage, AlarmSource

LONG_POLL_S = 20
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
MAX_RECEIVE_COUNT = 5
"""Deliveries after which a queue with a dead-letter queue has moved a message there; one without would never."""

log = structlog.get_logger()


@dataclass(frozen=True)
class AlarmListenerState:
    """What the listener has met since it started."""

    last_poll_at: datetime | None = None
    """When the queue last answered."""
    last_message_at: datetime | None = None
    received: int = 0
    rung: int = 0
    ignored: int = 0
    """Well-formed and no reason to act, or nobody's."""
    malformed: int = 0
    errors: int = 0
    """Times that the queue or Temporal did not serve."""
    last_error: str = ""
    """Empty once the queue has answered again."""


class AlarmListener:
    """Long-polls the queue. A message is deleted only after Temporal has the alarm; a broken one never stops it."""

    def __init__(
        self,
        source: AlarmSource,
        router: AlarmRouter,
        *,
        long_poll_s: int = LONG_POLL_S,
        first_pause_s: float = FIRST_PAUSE_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._source = source
        self._router = router
        self._long_poll_s = long_poll_s
        self._first_pause_s = first_pause_s
        self._clock = clock
        self._failures = 0
        self.state = AlarmListenerState()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["AlarmListener"]:
        """Listen while the block runs."""
        stopping = asyncio.Event()
        task = asyncio.create_task(self.run(stopping))
        task.add_done_callback(_log_death)
        try:
            yield self
        finally:
            stopping.set()
            await asyncio.wait({task})

    async def run(self, stopping: asyncio.Event) -> None:
        """Take messages until `stopping`; does not wait for the end of a long poll then."""
        # A pool of its own: the event loop's default one is waited for when the loop closes.
        pool = ThreadPoolExecutor(1, thread_name_prefix="alarm-queue")
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stop.done():
                try:
                    await self._round(pool, stop)
                except SelfBuildError as error:
                    await _pause(stop, self._failed(error))
        finally:
            stop.cancel()
            pool.shutdown(wait=False, cancel_futures=True)

    async def _round(self, pool: ThreadPoolExecutor, stop: asyncio.Task[bool]) -> None:
        poll = asyncio.get_running_loop().run_in_executor(pool, self._source.receive, self._long_poll_s)
        waiting: set[asyncio.Future[Any]] = {poll, stop}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not poll.done():
            # What it may still receive is delivered again when its visibility time-out is over.
            poll.cancel()
            return
        messages = poll.result()
        self._note(last_poll_at=self._clock())
        for message in messages:
            await self._take(message)
        self._recovered()

    async def _take(self, message: AlarmMessage) -> None:
        self._note(received=self.state.received + 1, last_message_at=self._clock())
        try:
            alarm = read_event(message.body)
        except MalformedAnswer as error:
            await self._refuse(message, error)
            return
        owner = None if alarm is None else self._router.owner_of(alarm)
        if alarm is None or owner is None or isinstance(owner, Unmatched):
            self._note(ignored=self.state.ignored + 1)
        else:
            await self._router.ring(owner, alarm)
            self._note(rung=self.state.rung + 1)
        await asyncio.to_thread(self._source.acknowledge, message)

    async def _refuse(self, message: AlarmMessage, error: MalformedAnswer) -> None:
        """Leave it to the dead-letter queue; where there is none, drop it after as many deliveries."""
        self._note(malformed=self.state.malformed + 1)
        fields = {"error_message": str(error), "receive_count": message.receive_count, "length": len(message.body)}
        if message.receive_count <= MAX_RECEIVE_COUNT:
            log.warning("alarm.malformed", **fields)
            return
        log.error("alarm.dropped", **fields)
        await asyncio.to_thread(self._source.acknowledge, message)

    def _failed(self, error: SelfBuildError) -> float:
        """Note the failure; how long to wait now. The same text again and again is logged once."""
        text = f"{type(error).__name__}: {error}"
        write = log.debug if text == self.state.last_error else log.warning
        pause_s = min(LONGEST_PAUSE_S, self._first_pause_s * 2.0**self._failures)
        write("alarm_queue.failed", error_type=type(error).__name__, error_message=str(error), pause_s=pause_s)
        self._failures += 1
        self._note(errors=self.state.errors + 1, last_error=text)
        return pause_s

    def _recovered(self) -> None:
        if self._failures:
            log.info("alarm_queue.recovered", failures=self._failures)
        self._failures = 0
        self._note(last_error="")

    def _note(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)


async def _pause(stop: asyncio.Task[bool], seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(stop), seconds)


def _log_death(task: asyncio.Task[None]) -> None:
    """A listener that ends by an error of ours in the code is said aloud; the workers go on."""
    if not task.cancelled() and task.exception() is not None:
        log.error("alarm_listener.died", error_type=type(task.exception()).__name__, exc_info=task.exception())
