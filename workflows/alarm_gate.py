"""Makes one emergency cycle of any number of alarms of one application."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import Priority
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError
from temporalio.workflow import ChildWorkflowCancellationType, ChildWorkflowHandle, ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from selfbuild.domain.alarms import Alarm, AlarmNote, GateRequest, GateState
    from selfbuild.domain.cycles import CycleReport, CycleRequest
    from workflows import steps
    from workflows.common import APPLICATION, TENANT_ID, cause_of
    from workflows.improvement_cycle import ImprovementCycle

EMERGENCY_PRIORITY = 1
"""Before scheduled cycles (3) wherever work waits."""
MAX_HAND_OVERS = 3
"""A cycle may end between "one runs" and "tell it", and another may start meanwhile."""
NOTHING_FOUND = "no_opportunities"
MAX_REFUSALS = 20


@workflow.defn(name="AlarmGate")
class AlarmGate:
    """Id `alarm/{tenant}/{application}`; started by the first alarm's signal, ends when it is quiet.

    The first alarm starts a cycle. Until the window is over, further alarms join that cycle, or are held once it has
    ended: what is still in ALARM then is found by the reconciler. A cycle that finds nothing is repeated once, one
    period later: CloudWatch may show the alarm before the samples that a cycle reads.
    """

    @workflow.init
    def __init__(self, request: GateRequest) -> None:
        self._request = request
        self._state = request.state
        self._fresh: list[AlarmNote] = []
        self._following: asyncio.Task[None] | None = None

    @workflow.query
    def state(self) -> GateState:
        """What it has met and done."""
        return self._state

    @workflow.signal
    def alarm(self, alarm: Alarm) -> None:
        """An alarm of the application went into ALARM."""
        self._state, new = self._state.with_alarm(alarm, workflow.now(), window_s=self._request.window_s)
        if new:
            self._fresh.append(alarm.note())

    @workflow.run
    async def run(self, request: GateRequest) -> GateState:
        """All that it has met and done."""
        workflow.upsert_search_attributes(
            [TENANT_ID.value_set(request.tenant_id), APPLICATION.value_set(request.application)]
        )
        while not self._quiet():
            if self._fresh:
                alarms, self._fresh = tuple(self._fresh), []
                await self._serve(alarms)
            elif self._looks_again():
                await self._look_again()
            else:
                self._hand_on_when_long()
                await self._something()
            workflow.set_current_details(_details(self._state))
        return self._state

    # Waiting

    def _quiet(self) -> bool:
        state = self._state
        return (
            state.received > 0
            and not self._fresh
            and self._following is None
            and state.look_again_at is None
            and (state.quiet_until is None or workflow.now() >= state.quiet_until)
        )

    def _looks_again(self) -> bool:
        due = self._state.look_again_at
        return due is not None and workflow.now() >= due

    async def _something(self) -> None:
        """Wait for an alarm, for the end of the cycle, or for what is due."""
        due = self._state.look_again_at
        if due is None and self._following is None:
            due = self._state.quiet_until
        before = self._following
        try:
            await workflow.wait_condition(
                lambda: bool(self._fresh) or self._following is not before,
                timeout=None if due is None else max(timedelta(0), due - workflow.now()),
                timeout_summary="quiet" if self._state.look_again_at is None else "look again",
            )
        except TimeoutError:
            return

    def _hand_on_when_long(self) -> None:
        """Go on with an empty history; a cycle that runs goes on too, and is not followed any more."""
        if workflow.info().is_continue_as_new_suggested():
            workflow.continue_as_new(self._request.model_copy(update={"state": self._state}))

    # Cycles

    async def _serve(self, alarms: tuple[AlarmNote, ...]) -> None:
        for _ in range(MAX_HAND_OVERS):
            state = self._state
            if state.running and await self._tell(alarms):
                return
            if state.look_again_at is not None:
                self._update(look_again_for=(*state.look_again_for, *alarms))
                return
            if state.quiet_until is not None and workflow.now() < state.quiet_until:
                self._update(held=state.held + len(alarms))
                return
            if await self._start(alarms, again=False):
                return
        workflow.logger.warning("alarm.left_to_reconciler", extra={"alarms": [alarm.name for alarm in alarms]})

    async def _tell(self, alarms: tuple[AlarmNote, ...]) -> bool:
        """Hand alarms to the cycle that runs; False when it has ended meanwhile."""
        cycle = workflow.get_external_workflow_handle_for(ImprovementCycle.run, self._cycle_id)
        try:
            await cycle.signal(ImprovementCycle.note_alarms, alarms)
        except ApplicationError:
            self._update(running=False)
            return False
        self._update(joined=self._state.joined + len(alarms))
        return True

    async def _look_again(self) -> None:
        alarms = self._state.look_again_for
        self._update(look_again_at=None, look_again_for=())
        if not await self._start(alarms, again=True):
            await self._serve(alarms)

    async def _start(self, alarms: tuple[AlarmNote, ...], *, again: bool) -> bool:
        """Start a cycle, or keep the reason against it. False: one runs that is not ours."""
        request = await self._prepare(alarms, again=again)
        until = workflow.now() + timedelta(seconds=self._request.window_s)
        if request is None:
            self._update(quiet_until=until)
            return True
        try:
            child = await workflow.start_child_workflow(
                ImprovementCycle.run,
                request,
                id=self._cycle_id,
                parent_close_policy=ParentClosePolicy.ABANDON,
                cancellation_type=ChildWorkflowCancellationType.ABANDON,
                priority=Priority(priority_key=EMERGENCY_PRIORITY, fairness_key=self._request.tenant_id),
                static_summary=f"{request.application.key}, alarm, by {request.requested_by}"[:200],
            )
        except WorkflowAlreadyStartedError:
            self._update(running=True, quiet_until=until)
            return False
        self._update(
            running=True,
            quiet_until=until,
            cycles=(*self._state.cycles, child.first_execution_run_id or ""),
        )
        self._following = asyncio.create_task(self._follow(child, request, again=again))
        return True

    async def _prepare(self, alarms: tuple[AlarmNote, ...], *, again: bool) -> CycleRequest | None:
        try:
            prepared = await steps.PREPARE_CYCLE(
                steps.PrepareCycleRequest(
                    tenant_id=self._request.tenant_id,
                    application=self._request.application,
                    trigger="alarm",
                    alarms=alarms,
                    again=again,
                ),
                tenant=self._request.tenant_id,
                summary=alarms[0].name,
            )
        except ActivityError as error:
            kind, message = cause_of(error)
            prepared = steps.PreparedCycle(refusal=f"{kind}: {message}")
        if prepared.request is None:
            self._update(refusals=(*self._state.refusals, prepared.refusal)[-MAX_REFUSALS:])
            workflow.logger.info("cycle.refused", extra={"reason": prepared.refusal})
        return prepared.request

    async def _follow(
        self, child: ChildWorkflowHandle[ImprovementCycle, CycleReport], request: CycleRequest, *, again: bool
    ) -> None:
        """Wait for the cycle's end; one that found nothing is repeated once."""
        outcome = ""
        try:
            outcome = (await child).outcome
        except ChildWorkflowError as error:
            workflow.logger.warning("cycle.ended_without_result", extra={"error_message": str(error.cause)})
        self._following = None
        self._update(running=False)
        if outcome == NOTHING_FOUND and not again:
            due = workflow.now() + timedelta(seconds=request.policy.period_s)
            self._update(look_again_at=due, look_again_for=request.alarms)

    @property
    def _cycle_id(self) -> str:
        return f"cycle/{self._request.tenant_id}/{self._request.application}"

    def _update(self, **changes: object) -> None:
        self._state = self._state.model_copy(update=changes)


def _details(state: GateState) -> str:
    names = ", ".join(entry.name for entry in state.entries[-5:])
    return (
        f"**{state.received} alarms** ({state.duplicates} duplicates, {state.joined} joined, {state.held} held), "
        f"**{len(state.cycles)} cycles**: {names}"
    )
