"""Cycles, improvements and rollbacks as they run in Temporal. Workflows are named by strings: nothing here runs one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from temporalio.api.enums.v1 import PendingActivityState, TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from selfbuild.domain import errors
from selfbuild.domain.alarms import Alarm, GateRequest
from selfbuild.domain.applications import Application
from selfbuild.domain.base import AwareDatetime, Value, cycle_id_of
from selfbuild.domain.cycles import CycleReport, CycleRequest, ImprovementReport
from selfbuild.domain.errors import Conflict, InvalidRequest, Misconfigured, NotFound, SelfBuildError, Unreachable
from selfbuild.domain.messages import RollbackRequest
from selfbuild.domain.releases import Rollback

CYCLE_QUEUE = "cycle"
CALL_TIMEOUT = timedelta(seconds=5)
"""The SDK repeats a call to a server that is gone for about ten seconds, whatever `rpc_timeout` says."""
QUERY_TIMEOUT = timedelta(seconds=2)
"""A query waits for a worker; without one the read model has to do."""
_TENANT_ID = SearchAttributeKey.for_keyword("TenantId")
_APPLICATION = SearchAttributeKey.for_keyword("Application")

ReportT = TypeVar("ReportT", CycleReport, ImprovementReport)


class Execution(Value):
    """One run of a workflow."""

    workflow_id: str
    run_id: str
    started_at: AwareDatetime
    closed_at: AwareDatetime | None = None
    state: str
    """As Temporal names it: RUNNING, COMPLETED, FAILED, CANCELED, TERMINATED, TIMED_OUT."""
    children: tuple[str, ...] = ()
    """Workflow ids of the children that still run."""
    pending: tuple["PendingStep", ...] = ()

    @property
    def running(self) -> bool:
        return self.state == WorkflowExecutionStatus.RUNNING.name

    @property
    def cycle_id(self) -> str:
        """The id of the cycle, where this is one."""
        return cycle_id_of(self.started_at, self.run_id)


class PendingStep(Value):
    """An activity that has not ended."""

    name: str
    activity_id: str
    attempt: int
    running: bool
    """False while Temporal waits before the next attempt, or for a free worker."""
    last_failure: str = ""


Execution.model_rebuild()


def cycle_workflow_id(application: Application) -> str:
    """One cycle at a time for each application."""
    return f"cycle/{application.tenant_id}/{application.name}"


class LiveWorkflows:
    """Starts, reads and stops workflows; every failure to reach Temporal is Unreachable."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def start_cycle(self, request: CycleRequest) -> Execution:
        """Start a cycle. Raises Conflict, naming the running cycle's id, where the application has one."""
        workflow_id = cycle_workflow_id(request.application)
        attributes = TypedSearchAttributes(
            [
                SearchAttributePair(_TENANT_ID, request.application.tenant_id),
                SearchAttributePair(_APPLICATION, request.application.name),
            ]
        )
        async with reaching_temporal():
            try:
                handle = await self._client.start_workflow(
                    "ImprovementCycle",
                    request,
                    id=workflow_id,
                    task_queue=CYCLE_QUEUE,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    search_attributes=attributes,
                    static_summary=f"{request.application.key}, {request.trigger}, by {request.requested_by}"[:200],
                )
            except WorkflowAlreadyStartedError as error:
                raise await self._conflict(request.application, workflow_id, error.run_id) from error
        return await self._described(workflow_id, handle.result_run_id)

    async def ring_gate(self, gate: GateRequest, alarm: Alarm) -> None:
        """Give an alarm to its application's gate, which is started where there is none."""
        async with reaching_temporal():
            await self._client.start_workflow(
                "AlarmGate",
                gate,
                id=f"alarm/{gate.tenant_id}/{gate.application}",
                task_queue=CYCLE_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                start_signal="alarm",
                start_signal_args=[alarm],
                priority=Priority(priority_key=1, fairness_key=gate.tenant_id),
                static_summary=f"alarms of {gate.tenant_id}/{gate.application}",
            )

    async def find(self, workflow_id: str, run_id: str | None = None) -> Execution | None:
        """The run, or the newest one; None where there is none any more."""
        handle = self._client.get_workflow_handle(workflow_id, run_id=run_id)
        try:
            async with reaching_temporal():
                return _execution(await handle.describe(rpc_timeout=CALL_TIMEOUT))
        except NotFound:
            return None

    async def find_cycle(self, cycle_id: str) -> Execution | None:
        """A cycle by its search attribute: also ended ones, but seconds late."""
        quoted = cycle_id.replace("'", "")
        async with reaching_temporal():
            async for each in self._client.list_workflows(
                f"CycleId = '{quoted}' AND WorkflowType = 'ImprovementCycle'", limit=1
            ):
                return await self.find(each.id, each.run_id)
        return None

    async def report(self, execution: Execution, kind: type[ReportT]) -> ReportT | None:
        """What the workflow itself says; None where no worker answers for it."""
        handle = self._client.get_workflow_handle(execution.workflow_id, run_id=execution.run_id)
        try:
            async with reaching_temporal():
                answer: ReportT = await handle.query("report", result_type=kind, rpc_timeout=QUERY_TIMEOUT)
        except (Unreachable, NotFound, WorkflowQueryFailedError, WorkflowQueryRejectedError):
            return None
        return answer

    async def cancel(self, execution: Execution) -> None:
        """Ask the workflow to end; it first takes back what is deployed and not yet judged."""
        handle = self._client.get_workflow_handle(execution.workflow_id, run_id=execution.run_id)
        async with reaching_temporal():
            await handle.cancel(rpc_timeout=CALL_TIMEOUT)

    async def ask_roll_back(self, execution: Execution, reason: str) -> None:
        """Tell a running improvement to take its release back now."""
        handle = self._client.get_workflow_handle(execution.workflow_id, run_id=execution.run_id)
        async with reaching_temporal():
            await handle.signal("roll_back", reason, rpc_timeout=CALL_TIMEOUT)

    async def roll_back(self, request: RollbackRequest, *, wait_s: float) -> Rollback | None:
        """Take a release back; asking twice is asking once.

        Returns:
            What the rollback left behind; None where it still runs after `wait_s`.

        Raises:
            Conflict: it cannot be done without a person; or whichever error of ours made it fail.
        """
        async with reaching_temporal():
            handle = await self._client.start_workflow(
                "RollbackRelease",
                request,
                id=f"rollback/{request.release_id}",
                task_queue=CYCLE_QUEUE,
                result_type=Rollback,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary=f"{request.release_id}, by {request.requested_by}"[:200],
            )
        try:
            async with asyncio.timeout(wait_s):
                result: Rollback = await handle.result()
        except TimeoutError:
            return None
        except WorkflowFailureError as error:
            raise _why_failed(error) from error
        return result

    async def pollers(self) -> int:
        """How many workers have asked for work on cycles in the last minutes."""
        request = DescribeTaskQueueRequest(
            namespace=self._client.namespace,
            task_queue=TaskQueue(name=CYCLE_QUEUE),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        )
        async with reaching_temporal():
            answer = await self._client.workflow_service.describe_task_queue(request, timeout=CALL_TIMEOUT)
        now = datetime.now(UTC)
        recent = [
            poller
            for poller in answer.pollers
            if now - poller.last_access_time.ToDatetime(tzinfo=UTC) < timedelta(minutes=2)
        ]
        return len({poller.identity for poller in recent})

    async def _described(self, workflow_id: str, run_id: str | None) -> Execution:
        found = await self.find(workflow_id, run_id)
        if found is None:
            raise Unreachable(f"workflow {workflow_id!r} was started but cannot be read back; ask for its state again")
        return found

    async def _conflict(self, application: Application, workflow_id: str, run_id: str | None) -> Conflict:
        running = await self.find(workflow_id, run_id)
        named = "" if running is None else f" {running.cycle_id}"
        return Conflict(f"cycle{named} already runs for {application.key!r}: wait for it, or cancel it")


@asynccontextmanager
async def reaching_temporal() -> AsyncIterator[None]:
    """Turn every way in which Temporal fails to answer into our errors."""
    try:
        async with asyncio.timeout(CALL_TIMEOUT.total_seconds()):
            yield
    except TimeoutError as error:
        raise Unreachable("Temporal does not answer: is the server up?") from error
    except RuntimeError as error:
        # The SDK reports a failed first connection of a lazy client so, and not as RPCError.
        if "Failed client connect" not in str(error):
            raise
        raise Unreachable("Temporal cannot be reached: is the server up, and TEMPORAL_ADDRESS right?") from error
    except RPCError as error:
        raise _translated(error) from error


def _translated(error: RPCError) -> SelfBuildError:
    if error.status is RPCStatusCode.NOT_FOUND and not error.message.startswith("Namespace"):
        return NotFound(error.message)
    if error.status is RPCStatusCode.INVALID_ARGUMENT:
        return InvalidRequest(error.message)
    if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED):
        return Misconfigured(f"Temporal refuses this agent: {error.message}")
    return Unreachable(f"Temporal does not answer: {error.message}")


def _why_failed(error: WorkflowFailureError) -> SelfBuildError:
    """The error of ours that made a workflow fail, told by the class name that histories keep."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ApplicationError):
        cause = cause.__cause__
    kind = getattr(errors, (cause.type or "") if cause is not None else "", None)
    if isinstance(kind, type) and issubclass(kind, SelfBuildError):
        return kind(cause.message if isinstance(cause, ApplicationError) else str(error))
    return Conflict(f"the workflow ended without a result: {cause or error}")


def _execution(described: WorkflowExecutionDescription) -> Execution:
    raw = described.raw_description
    return Execution(
        workflow_id=described.id,
        run_id=described.run_id,
        started_at=described.start_time,
        closed_at=described.close_time,
        state=described.status.name if described.status is not None else "UNKNOWN",
        children=tuple(child.workflow_id for child in raw.pending_children),
        pending=tuple(_pending(each) for each in raw.pending_activities),
    )


def _pending(info: PendingActivityInfo) -> PendingStep:
    return PendingStep(
        name=info.activity_type.name,
        activity_id=info.activity_id,
        attempt=info.attempt,
        running=info.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED,
        last_failure=info.last_failure.message[:500],
    )
