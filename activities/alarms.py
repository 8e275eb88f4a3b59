"""Steps that lead from an alarm or a schedule to a cycle."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from temporalio import activity

from selfbuild.alarm_routing import AlarmRouter
from selfbuild.domain.alarms import AlarmNote, Unmatched
from selfbuild.domain.applications import Application
from selfbuild.domain.cycles import CycleRequest, Trigger
from selfbuild.live import Execution, LiveWorkflows, cycle_workflow_id
from selfbuild.ports import AlarmSource
from workflows import steps


class Plans(Protocol):
    """What may start now."""

    def plan(
        self, tenant_id: str, application: str, *, trigger: Trigger, alarms: Sequence[AlarmNote] = ()
    ) -> CycleRequest | str:
        """The request of a cycle, or why none may start."""
        ...


class AlarmActivities:
    """`prepare_cycle` on queue `cycle`, `reconcile_alarms` on queue `aws`."""

    def __init__(self, source: AlarmSource, router: AlarmRouter, live: LiveWorkflows, plans: Plans) -> None:
        self._source = source
        self._router = router
        self._live = live
        self._plans = plans

    @activity.defn(name=steps.PREPARE_CYCLE.name)
    async def prepare_cycle(self, request: steps.PrepareCycleRequest) -> steps.PreparedCycle:
        """The input of a cycle as the settings stand now, or why none is to start."""
        planned = self._plans.plan(
            request.tenant_id, request.application, trigger=request.trigger, alarms=request.alarms
        )
        if isinstance(planned, str):
            return steps.PreparedCycle(refusal=planned)
        if request.alarms and not request.again:
            newest = max(alarm.changed_at for alarm in request.alarms)
            cycle = await self._cycle_of(planned.application)
            if cycle is not None and not cycle.running and cycle.started_at >= newest:
                return steps.PreparedCycle(refusal=f"cycle {cycle.cycle_id} has started since the alarm")
        return steps.PreparedCycle(request=planned)

    @activity.defn(name=steps.RECONCILE_ALARMS.name)
    async def reconcile_alarms(self, request: steps.Nothing) -> steps.ReconciledAlarms:
        """Ring for every alarm in ALARM since whose change no cycle of its application has started, and none runs."""
        alarms = await asyncio.to_thread(self._source.alarms_in_alarm, self._router.prefix)
        rung: list[str] = []
        unmatched: list[str] = []
        cycles: dict[str, Execution | None] = {}
        for alarm in alarms:
            owner = self._router.owner_of(alarm)
            if isinstance(owner, Unmatched):
                unmatched.append(alarm.name)
                continue
            if owner.key not in cycles:
                cycles[owner.key] = await self._cycle_of(owner)
            if not _covered(alarm.changed_at, cycles[owner.key]):
                await self._router.ring(owner, alarm)
                rung.append(f"{owner.key}: {alarm.name}")
        return steps.ReconciledAlarms(
            found=len(alarms),
            rung=tuple(rung),
            covered=len(alarms) - len(rung) - len(unmatched),
            unmatched=tuple(unmatched),
        )

    async def _cycle_of(self, application: Application) -> Execution | None:
        return await self._live.find(cycle_workflow_id(application))


def _covered(changed_at: datetime, cycle: Execution | None) -> bool:
    """A cycle that runs is waited for; one that started after the change has seen what the alarm saw."""
    return cycle is not None and (cycle.running or cycle.started_at >= changed_at)
