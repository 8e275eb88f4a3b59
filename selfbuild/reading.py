"""The state of cycles and improvements: the workflow's own word where it runs, else the read model."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from selfbuild.domain.access import Requester
from selfbuild.domain.applications import Application
from selfbuild.domain.base import Value
from selfbuild.domain.cycles import CycleReport, CycleStatus, ImprovementReport, ImprovementStatus, Phase
from selfbuild.domain.errors import Misconfigured, NotFound, Unreachable
from selfbuild.domain.model_calls import Usage
from selfbuild.domain.releases import ReleaseState
from selfbuild.domain.streams import StreamState
from selfbuild.domain.workers import WorkerFacts
from selfbuild.live import Execution, LiveWorkflows, PendingStep, cycle_workflow_id
from selfbuild.ports import Records, SpendLedger
from selfbuild.streams import stream_workflow_id

_ENDED = {"COMPLETED": CycleStatus.COMPLETED, "CANCELED": CycleStatus.CANCELLED}


class Current(Value):
    """A cycle as it stands."""

    report: CycleReport
    queued: bool = False
    """No worker has taken it up."""


class RecordedState(Value):
    """What the read model says for a status."""

    problem: str | None = None
    cycles: tuple[CycleReport, ...] = ()
    improvements: tuple[ImprovementReport, ...] = ()
    insight_count: int = 0
    streams: tuple[StreamState, ...] = ()
    workers: tuple[WorkerFacts, ...] = ()
    spent_today: Usage = Usage()
    """What models cost since midnight, UTC."""


class RunningState(Value):
    """What Temporal says for a status."""

    problem: str | None = None
    pollers: int | None = None
    cycles: tuple[str, ...] = ()
    improvements: tuple[ImprovementReport, ...] = ()
    pending: tuple[PendingStep, ...] | None = None
    """None where Temporal does not say."""
    streams: tuple[str, ...] = ()
    """Workflow ids of the collections of telemetry."""


class StateReader:
    """Reads for a requester; what the requester may not see does not exist."""

    def __init__(
        self,
        applications: Sequence[Application],
        records: Records,
        live: LiveWorkflows,
        ledger: SpendLedger | None = None,
    ) -> None:
        self._ledger = ledger
        self._applications = applications
        self._records = records
        self._live = live

    async def recorded_cycle(self, requester: Requester, cycle_id: str) -> CycleReport | None:
        """The read model's word on a cycle. Raises NotFound where the requester may not see it."""
        record = await self._records.cycle(cycle_id)
        if record is not None and not requester.may_use(record.tenant_id):
            raise NotFound(f"no cycle {cycle_id!r}")
        return record

    async def execution_of(self, requester: Requester, cycle_id: str, record: CycleReport | None) -> Execution | None:
        """The run of a cycle in Temporal, if it is still known there."""
        if record is not None:
            return await self._live.find(record.workflow_id, record.run_id)
        for execution in await self._newest(requester.tenants):
            if execution.cycle_id == cycle_id:
                return execution
        found = await self._live.find_cycle(cycle_id)
        return found if found is not None and requester.may_use(_tenant_of(found)) else None

    async def _newest(self, tenants: Sequence[str] | None) -> list[Execution]:
        """The newest run of each application's cycle."""
        mine = [each for each in self._applications if tenants is None or each.tenant_id in tenants]
        found = await asyncio.gather(*(self._live.find(cycle_workflow_id(each)) for each in mine))
        return [execution for execution in found if execution is not None]

    async def _running_streams(self, tenants: Sequence[str] | None) -> list[Execution]:
        mine = [each for each in self._applications if tenants is None or each.tenant_id in tenants]
        found = await asyncio.gather(*(self._live.find(stream_workflow_id(each)) for each in mine))
        return [execution for execution in found if execution is not None and execution.running]

    async def running(self, tenants: Sequence[str] | None) -> list[Execution]:
        """The cycles that run."""
        return [execution for execution in await self._newest(tenants) if execution.running]

    async def current(self, execution: Execution | None, record: CycleReport | None) -> Current:
        """The best that is known: the workflow's own word, else the record, else what Temporal says of the run."""
        if execution is None:
            if record is None:
                raise NotFound("the cycle is gone from Temporal and was never recorded")
            return Current(report=record)
        report = await self._live.report(execution, CycleReport) or record
        queued = report is None and execution.running
        if report is None:
            report = _known_of(execution)
        if not execution.running and report.status is CycleStatus.RUNNING:
            # Ended from outside, so that the workflow could not say so itself.
            report = report.model_copy(
                update={
                    "status": _ENDED.get(execution.state, CycleStatus.FAILED),
                    "outcome": report.outcome or execution.state.lower(),
                    "finished_at": execution.closed_at,
                }
            )
        return Current(report=report, queued=queued)

    async def improvement(
        self, requester: Requester, improvement_id: str
    ) -> tuple[ImprovementReport, Execution | None]:
        """An improvement and, while it runs, its workflow. Raises NotFound."""
        record = await self._records.improvement(improvement_id)
        if record is not None and not requester.may_use(record.tenant_id):
            raise NotFound(f"no improvement {improvement_id!r}")
        if record is not None and record.finished_at is not None:
            return await self._as_in_ledger(record), None
        for workflow_id in self._improvement_workflows(requester, improvement_id):
            execution = await self._live.find(workflow_id)
            report = await self._live.report(execution, ImprovementReport) if execution is not None else None
            if report is not None and report.improvement_id == improvement_id:
                return report, execution
        if record is None:
            raise NotFound(f"no improvement {improvement_id!r}")
        return record, None

    async def improvements(
        self, *, tenants: Sequence[str] | None, cycle_id: str | None, limit: int
    ) -> tuple[ImprovementReport, ...]:
        """The read model's word on improvements, newest first."""
        found = await self._records.improvements(tenants=tenants, cycle_id=cycle_id, limit=limit)
        return tuple([await self._as_in_ledger(report) for report in found])

    async def _as_in_ledger(self, report: ImprovementReport) -> ImprovementReport:
        """A release that was kept can be taken back later; the ledger knows, the report of its workflow does not."""
        if report.status is not ImprovementStatus.KEPT or report.release is None:
            return report
        entry = await self._records.ledger_get(report.release.release_id)
        if entry is None or entry.state is not ReleaseState.ROLLED_BACK:
            return report
        return report.model_copy(
            update={
                "status": ImprovementStatus.ROLLED_BACK,
                "reason": f"rolled back at {entry.updated_at:%Y-%m-%d %H:%M} UTC, after it was kept: {report.reason}",
            }
        )

    def _improvement_workflows(self, requester: Requester, improvement_id: str) -> list[str]:
        """Where an improvement may run: names may contain the dash that separates them in its id."""
        found = []
        for application in self._applications:
            prefix = f"{application.tenant_id}-{application.name}-"
            run8, _, number = improvement_id.removeprefix(prefix).partition("-")
            if requester.may_use(application.tenant_id) and improvement_id.startswith(prefix) and number.isdigit():
                found.append(f"{cycle_workflow_id(application)}/{run8}/{number}")
        return found

    async def active(self, cycles: Sequence[Execution]) -> tuple[list[ImprovementReport], list[PendingStep]]:
        """The improvements that run in these cycles, and all activities of both that have not ended."""
        pending = [step for cycle in cycles for step in cycle.pending]
        children = await asyncio.gather(*(self._live.find(child) for cycle in cycles for child in cycle.children))
        running = [child for child in children if child is not None and child.running]
        pending.extend(step for child in running for step in child.pending)
        reports = await asyncio.gather(*(self._live.report(child, ImprovementReport) for child in running))
        return [report for report in reports if report is not None], pending

    async def recorded_state(self, tenants: tuple[str, ...] | None, now: datetime) -> RecordedState:
        """The newest cycles and improvements, and the number of insights of the last 24 hours."""
        since = now - timedelta(hours=24)
        try:
            return RecordedState(
                cycles=await self._records.cycles(tenants=tenants, limit=200),
                improvements=await self._records.improvements(tenants=tenants, limit=200),
                insight_count=len(await self._records.insights(tenants=tenants, since=since, limit=10_000)),
                streams=await self._records.streams(tenants=tenants),
                workers=await self._records.workers(),
                spent_today=await self._spent_today(tenants, now),
            )
        except Unreachable as error:
            return RecordedState(problem=str(error))

    async def _spent_today(self, tenants: tuple[str, ...] | None, now: datetime) -> Usage:
        if self._ledger is None:
            return Usage()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        total = Usage()
        for tenant in tenants if tenants is not None else (None,):
            total = total.plus(await self._ledger.spent(since=midnight, tenant_id=tenant))
        return total

    async def running_state(self, tenants: tuple[str, ...] | None) -> RunningState:
        """The workers, the cycles and improvements that run, and their activities that have not ended."""
        try:
            pollers = await self._live.pollers()
            cycles = await self.running(tenants)
            streams = await self._running_streams(tenants)
            improvements, pending = await self.active(cycles)
        except (Unreachable, Misconfigured) as error:
            return RunningState(problem=str(error))
        return RunningState(
            pollers=pollers,
            cycles=tuple(cycle.cycle_id for cycle in cycles),
            improvements=tuple(improvements),
            pending=(*pending, *(step for stream in streams for step in stream.pending)),
            streams=tuple(stream.workflow_id for stream in streams),
        )


def _tenant_of(execution: Execution) -> str:
    return execution.workflow_id.split("/")[1]


def _known_of(execution: Execution) -> CycleReport:
    """What Temporal alone tells of a cycle for which no worker answers."""
    _, tenant_id, application, *_ = execution.workflow_id.split("/")
    return CycleReport(
        cycle_id=execution.cycle_id,
        workflow_id=execution.workflow_id,
        run_id=execution.run_id,
        tenant_id=tenant_id,
        application=application,
        status=CycleStatus.RUNNING,
        phase=Phase.COLLECTING,
        started_at=execution.started_at,
        notes=("no worker answers for this cycle: see 'selfbuild status'",),
    )
