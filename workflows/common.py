"""What the workflows share: search attributes, the public progress text, and steps that a cancel must not interrupt."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime
from typing import TypeVar

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError

T = TypeVar("T")

TENANT_ID = SearchAttributeKey.for_keyword("TenantId")
APPLICATION = SearchAttributeKey.for_keyword("Application")
CYCLE_ID = SearchAttributeKey.for_keyword("CycleId")
PHASE = SearchAttributeKey.for_keyword("Phase")
OUTCOME = SearchAttributeKey.for_keyword("Outcome")
SEARCH_ATTRIBUTES = (TENANT_ID, APPLICATION, CYCLE_ID, PHASE, OUTCOME)


async def uncancelled(step: Awaitable[T]) -> T:
    """Await a step to its end even when the workflow is cancelled meanwhile.

    The server does not retry an activity whose cancel was requested, so a rollback that is interrupted by a cancel
    and a crash would be lost. The cancel is swallowed here: call `raise_if_cancelled()` where the workflow would go on.
    """
    task = asyncio.ensure_future(step)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
    return task.result()


def raise_if_cancelled() -> None:
    """Raise where a cancel came in while a step ran to its end: the SDK swallows it then.

    Source: https://github.com/temporalio/sdk-python/issues/620
    """
    if workflow.cancellation_reason() is not None:
        raise asyncio.CancelledError("cancelled while a step ran to its end")


def cause_of(error: ActivityError) -> tuple[str, str]:
    """(class name, message) of what made an activity fail for good."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return cause.type or "ApplicationError", cause.message
    return type(cause).__name__ if cause else "ActivityError", str(cause or error)


class PhaseClock:
    """Adds up how long each phase lasted, from the workflow's own clock."""

    def __init__(self, started_at: datetime) -> None:
        self._phase: str | None = None
        self._since = started_at
        self._seconds: dict[str, float] = {}

    def enter(self, phase: str, now: datetime) -> None:
        """Close the running phase and open `phase`."""
        if self._phase is not None:
            spent = (now - self._since).total_seconds()
            self._seconds[self._phase] = round(self._seconds.get(self._phase, 0.0) + spent, 3)
        self._phase, self._since = phase, now

    def seconds(self) -> dict[str, float]:
        """Seconds by closed phase, in the order they were entered."""
        return dict(self._seconds)
