"""One run of the loop for one application: collect, analyze, then carry each opportunity through."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    is_cancelled_exception,
)
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from selfbuild.domain.alarms import AlarmNote
    from selfbuild.domain.applications import Mode
    from selfbuild.domain.base import cycle_id_of, run8
    from selfbuild.domain.cycles import (
        CycleReport,
        CycleRequest,
        CycleStatus,
        ImprovementReport,
        ImprovementRequest,
        ImprovementStatus,
        Phase,
    )
    from selfbuild.domain.insights import Analysis, Opportunity
    from selfbuild.domain.model_calls import Usage
    from workflows import steps
    from workflows.common import (
        APPLICATION,
        CYCLE_ID,
        OUTCOME,
        PHASE,
        TENANT_ID,
        PhaseClock,
        cause_of,
        raise_if_cancelled,
        uncancelled,
    )
    from workflows.improvement import Improvement

MAX_ALARMS = 100
"""Alarms that a report names; a storm has one cause more often than a hundred."""
MAX_NOTE_LENGTH = 500

ImprovementHandle = workflow.ChildWorkflowHandle[Improvement, ImprovementReport]


@workflow.defn(name="ImprovementCycle")
class ImprovementCycle:
    """Id `cycle/{tenant}/{application}`: a second one for the same application conflicts."""

    @workflow.init
    def __init__(self, request: CycleRequest) -> None:
        info = workflow.info()
        self._request = request
        self._clock = PhaseClock(info.workflow_start_time)
        self._analysis = Analysis(insights=(), opportunities=())
        self._children: dict[str, ImprovementHandle] = {}
        self._order: tuple[str, ...] = ()
        self._waiting: set[str] = set()
        self._ended: set[str] = set()
        self._report = CycleReport(
            cycle_id=cycle_id_of(info.workflow_start_time, info.run_id),
            workflow_id=info.workflow_id,
            run_id=info.run_id,
            tenant_id=request.application.tenant_id,
            application=request.application.name,
            status=CycleStatus.RUNNING,
            phase=Phase.COLLECTING,
            trigger=request.trigger,
            requested_by=request.requested_by,
            alarms=request.alarms,
            dry_run=request.dry_run,
            started_at=info.workflow_start_time,
        )

    @workflow.query
    def report(self) -> CycleReport:
        """Where the cycle stands."""
        return self._report

    @workflow.signal
    def request_turn(self, improvement_id: str) -> None:
        """A child asks for the application's release slot."""
        self._waiting.add(improvement_id)

    @workflow.signal
    def note_alarms(self, alarms: tuple[AlarmNote, ...]) -> None:
        """Alarms of the application came while the cycle runs; they belong into its report."""
        room = MAX_ALARMS - len(self._report.alarms)
        self._report = self._report.model_copy(update={"alarms": (*self._report.alarms, *alarms[: max(0, room)])})
        self._note(f"while this cycle ran: {', '.join(alarm.name for alarm in alarms)}"[:MAX_NOTE_LENGTH])

    @workflow.run
    async def run(self, request: CycleRequest) -> CycleReport:
        workflow.upsert_search_attributes(
            [
                TENANT_ID.value_set(request.application.tenant_id),
                APPLICATION.value_set(request.application.name),
                CYCLE_ID.value_set(self._report.cycle_id),
            ]
        )
        try:
            await self._record()
            raise_if_cancelled()
            await self._loop()
        except BaseException as error:
            if is_cancelled_exception(error):
                await self._end(CycleStatus.CANCELLED, "cancelled")
                raise
            if not isinstance(error, ActivityError):
                raise
            kind, message = cause_of(error)
            self._note(f"{kind}: {message}")
            await self._end(CycleStatus.FAILED, "failed")
            raise ApplicationError(
                f"cycle {self._report.cycle_id} failed: {kind}: {message}", type="CycleFailed", non_retryable=True
            ) from error
        await self._end(CycleStatus.COMPLETED, self._outcome())
        return self._report

    async def _loop(self) -> None:
        self._analysis = await self._analyze(await self._collect())
        opportunities = self._analysis.opportunities[: self._request.policy.max_improvements]
        self._report = self._report.model_copy(
            update={
                "insight_count": len(self._analysis.insights),
                "opportunities": self._analysis.opportunities,
                "notes": (*self._report.notes, *self._analysis.notes),
            }
        )
        await self._record()
        raise_if_cancelled()
        if self._request.dry_run or self._request.application.mode is Mode.OBSERVE or not opportunities:
            return
        self._enter(Phase.IMPROVING, f"{len(opportunities)} opportunities")
        await self._improve(opportunities)

    async def _collect(self) -> steps.Collected:
        self._enter(Phase.COLLECTING, "telemetry")
        policy = self._request.policy
        end = workflow.now()
        start = end - timedelta(seconds=policy.analysis_window_s)
        collected = await steps.COLLECT(
            steps.CollectRequest(
                application=self._request.application,
                baseline_start=start - timedelta(seconds=policy.baseline_window_s),
                start=start,
                end=end,
                period_s=policy.period_s,
            ),
            tenant=self._tenant,
            summary=f"telemetry of {self._request.application.key}",
            activity_id="collect-cloudwatch",
        )
        self._report = self._report.model_copy(
            update={
                "aws_api_calls": collected.api_calls,
                "aws_cost_usd": collected.cost_usd,
                "telemetry_events": collected.sample_count + collected.log_events,
            }
        )
        return collected

    async def _analyze(self, collected: steps.Collected) -> Analysis:
        self._enter(Phase.ANALYZING, f"{collected.sample_count} samples, {collected.error_group_count} error groups")
        return await steps.ANALYZE(
            steps.AnalyzeRequest(
                application=self._request.application, telemetry=collected.telemetry, policy=self._request.policy
            ),
            tenant=self._tenant,
            summary="insights and ranking",
        )

    # Improvements

    async def _improve(self, opportunities: tuple[Opportunity, ...]) -> None:
        prefix = f"{self._request.application.tenant_id}-{self._request.application.name}-{self._run8}"
        self._order = tuple(f"{prefix}-{number}" for number in range(1, len(opportunities) + 1))
        slots = asyncio.Semaphore(self._request.policy.max_concurrent_improvements)
        turns = asyncio.create_task(self._serve_turns())
        try:
            # TaskGroup waits for every child, and so for every rollback, even when the cycle is cancelled.
            async with asyncio.TaskGroup() as group:
                for improvement_id, opportunity in zip(self._order, opportunities, strict=True):
                    group.create_task(self._one(improvement_id, opportunity, slots))
        except BaseExceptionGroup as failures:
            cancels, others = failures.split(asyncio.CancelledError)
            if others is not None:
                raise others.exceptions[0] from None
            raise asyncio.CancelledError("cycle cancelled") from cancels
        finally:
            turns.cancel()
        raise_if_cancelled()

    async def _one(self, improvement_id: str, opportunity: Opportunity, slots: asyncio.Semaphore) -> None:
        number = improvement_id.rpartition("-")[2]
        async with slots:
            try:
                self._children[improvement_id] = await workflow.start_child_workflow(
                    Improvement.run,
                    ImprovementRequest(
                        cycle_id=self._report.cycle_id,
                        improvement_id=improvement_id,
                        application=self._request.application,
                        policy=self._request.policy,
                        opportunity=opportunity,
                        providers=self._request.providers,
                        deploy_allowed=self._request.deploy_allowed,
                    ),
                    id=f"{workflow.info().workflow_id}/{self._run8}/{number}",
                    parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
                    cancellation_type=ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
                    static_summary=f"{opportunity.insight.insight_type}: {opportunity.insight.component}",
                    static_details=opportunity.insight.description,
                )
                report = await self._children[improvement_id]
            except ChildWorkflowError as error:
                if is_cancelled_exception(error) and workflow.cancellation_reason() is not None:
                    raise asyncio.CancelledError(str(error)) from error
                report = self._lost(improvement_id, opportunity, error)
            finally:
                self._ended.add(improvement_id)
        self._report = self._report.model_copy(
            update={
                "improvements": tuple(
                    sorted((*self._report.improvements, report), key=lambda each: each.improvement_id)
                ),
                "usage": _sum_usage(self._report.usage, report.usage),
            }
        )

    def _lost(self, improvement_id: str, opportunity: Opportunity, error: ChildWorkflowError) -> ImprovementReport:
        """What is said of a child that was cancelled or terminated on its own."""
        cancelled = is_cancelled_exception(error)
        return ImprovementReport(
            improvement_id=improvement_id,
            cycle_id=self._report.cycle_id,
            tenant_id=self._report.tenant_id,
            application=self._report.application,
            status=ImprovementStatus.CANCELLED if cancelled else ImprovementStatus.FAILED,
            reason=f"{type(error.cause).__name__}: {error.cause}",
            opportunity=opportunity,
            started_at=self._report.started_at,
            finished_at=workflow.now(),
        )

    async def _serve_turns(self) -> None:
        """Grant the release slot to one child at a time, the worst problem first even when it is ready last."""
        for improvement_id in self._order:
            await self._turn_of(improvement_id)

    async def _turn_of(self, improvement_id: str) -> None:
        await workflow.wait_condition(lambda: improvement_id in self._waiting | self._ended)
        child = self._children.get(improvement_id)
        if child is None or improvement_id in self._ended:
            return
        try:
            await child.signal(Improvement.grant_turn)
        except ApplicationError as error:
            workflow.logger.warning("turn.not_granted", extra={"error_message": str(error)})
            return
        await workflow.wait_condition(lambda: improvement_id in self._ended)

    # Bookkeeping

    @property
    def _run8(self) -> str:
        return run8(workflow.info().run_id)

    @property
    def _tenant(self) -> str:
        return self._request.application.tenant_id

    def _enter(self, phase: Phase, what: str) -> None:
        self._clock.enter(phase, workflow.now())
        self._report = self._report.model_copy(update={"phase": phase, "phase_s": self._clock.seconds()})
        workflow.upsert_search_attributes([PHASE.value_set(phase)])
        workflow.set_current_details(f"**{phase}** {what}")
        workflow.logger.info("cycle.phase_entered", extra={"phase": phase})

    def _note(self, text: str) -> None:
        self._report = self._report.model_copy(update={"notes": (*self._report.notes, text)})

    def _outcome(self) -> str:
        statuses = {each.status for each in self._report.improvements}
        if not self._report.opportunities:
            return "no_opportunities"
        if self._request.dry_run or self._request.application.mode is Mode.OBSERVE:
            return "observed"
        if ImprovementStatus.KEPT in statuses:
            return "improved"
        if ImprovementStatus.ROLLED_BACK in statuses:
            return "rolled_back"
        return "no_patch"

    async def _end(self, status: CycleStatus, outcome: str) -> None:
        self._clock.enter(Phase.DONE, workflow.now())
        self._report = self._report.model_copy(
            update={
                "status": status,
                "outcome": outcome,
                "phase": Phase.DONE,
                "finished_at": workflow.now(),
                "phase_s": self._clock.seconds(),
            }
        )
        workflow.upsert_search_attributes([PHASE.value_set(Phase.DONE), OUTCOME.value_set(outcome)])
        workflow.set_current_details(f"**{outcome}** {len(self._report.improvements)} improvements")
        await self._record()

    async def _record(self) -> None:
        """Write the read model; a store that is down never decides a cycle."""
        try:
            await uncancelled(
                steps.RECORD_CYCLE(
                    steps.RecordCycleRequest(
                        application=self._request.application, report=self._report, insights=self._analysis.insights
                    ),
                    tenant=self._tenant,
                    summary=self._report.status,
                )
            )
        except ActivityError as error:
            workflow.logger.warning("cycle.not_recorded", extra={"error_message": str(error)})


def _sum_usage(left: Usage, right: Usage) -> Usage:
    return Usage(
        input_tokens=left.input_tokens + right.input_tokens,
        output_tokens=left.output_tokens + right.output_tokens,
        cost_usd=left.cost_usd + right.cost_usd,
    )
