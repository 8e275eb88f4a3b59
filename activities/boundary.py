"""Around every activity, once: log context, heartbeats, error translation with a cap on text, critical sections.

What a step may not be interrupted in (deploy, promote, rollback) runs to its end when the workflow is cancelled; only a
worker that shuts down interrupts it, and then Temporal runs it again elsewhere.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from selfbuild.domain.errors import SelfBuildError, TransientError

MAX_ERROR_TEXT = 4_000
"""Characters. Longer failures end in a start-to-close time-out that hides their cause (measured with 3 MB)."""
MAX_RETRY_AFTER = timedelta(minutes=10)
"""A dependency may ask for longer; the operator should see the retry sooner."""
CRITICAL_SECTIONS = frozenset({"deploy", "promote", "rollback"})
ALERT_FROM_ATTEMPT = 5
"""A rollback that failed so often needs a person to look."""

log = structlog.get_logger()


class Boundary(Interceptor):
    """The worker's only interceptor."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        request = input.args[0] if input.args else None
        application = getattr(request, "application", None)
        structlog.contextvars.bind_contextvars(
            workflow_id=info.workflow_id,
            run_id=info.workflow_run_id,
            step=info.activity_type,
            attempt=info.attempt,
            tenant_id=getattr(application, "tenant_id", None),
            app_id=getattr(application, "name", None),
        )
        started = time.monotonic()
        try:
            result = await self._run(input, info)
        except SelfBuildError as error:
            _log_failure(error, info, started)
            # With the vendor's chain below it the server drops the whole failure as too large.
            raise _translated(error) from None
        except BaseException as error:
            _log_failure(error, info, started)
            raise _translated(error) from error
        finally:
            structlog.contextvars.clear_contextvars()
        log.info(
            "step.finished",
            step=info.activity_type,
            attempt=info.attempt,
            workflow_id=info.workflow_id,
            duration_ms=round((time.monotonic() - started) * 1000),
        )
        return result

    async def _run(self, input: ExecuteActivityInput, info: activity.Info) -> Any:
        beats = asyncio.create_task(_beat(info.heartbeat_timeout)) if info.heartbeat_timeout else None
        try:
            if info.activity_type in CRITICAL_SECTIONS:
                return await _to_its_end(lambda: self.next.execute_activity(input))
            return await self.next.execute_activity(input)
        finally:
            if beats is not None:
                beats.cancel()
                with suppress(asyncio.CancelledError):
                    await beats


async def _beat(timeout: timedelta) -> None:
    """Heartbeat while this worker's event loop is alive; a stuck call is ended by start-to-close."""
    while True:
        activity.heartbeat()
        await asyncio.sleep(max(0.2, timeout.total_seconds() / 4))


async def _to_its_end(section: Callable[[], Awaitable[Any]]) -> Any:
    task = asyncio.ensure_future(section())
    while True:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.done() or activity.is_worker_shutdown():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                raise


def _log_failure(error: BaseException, info: activity.Info, started: float) -> None:
    write = log.error if info.activity_type == "rollback" and info.attempt >= ALERT_FROM_ATTEMPT else log.warning
    write(
        "step.failed",
        step=info.activity_type,
        attempt=info.attempt,
        workflow_id=info.workflow_id,
        duration_ms=round((time.monotonic() - started) * 1000),
        error_type=type(error).__name__,
        error_message=str(error)[:MAX_ERROR_TEXT],
    )


def _translated(error: BaseException) -> BaseException:
    """Ours and unknown exceptions become ApplicationError with a bounded text; cancels pass.

    Which types are never retried is said in the steps' table, by type name, so a rollback can retry them all.
    """
    if isinstance(error, ApplicationError) or not isinstance(error, Exception):
        return error
    delay = None
    if isinstance(error, TransientError) and error.retry_after_s is not None:
        delay = min(timedelta(seconds=error.retry_after_s), MAX_RETRY_AFTER)
    return ApplicationError(
        str(error)[:MAX_ERROR_TEXT] or type(error).__name__,
        type=type(error).__name__,
        next_retry_delay=delay,
        category=(
            ApplicationErrorCategory.BENIGN
            if isinstance(error, SelfBuildError)
            else ApplicationErrorCategory.UNSPECIFIED
        ),
    )
