"""Stand-ins for the steps that lead from an alarm or a schedule to a cycle, beside those of the cycle itself."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from selfbuild.domain.applications import Mode
from selfbuild.domain.cycles import CycleReport
from tests.builders import a_cycle_request, a_policy, an_application
from tests.workflow.steps_double import Steps
from workflows import steps

CYCLE = "cycle/acme/shop"


@dataclass
class AlarmSteps(Steps):
    """The steps of a cycle, and those before it; `refusals` are answered first."""

    refusals: list[str] = field(default_factory=list)
    prepared: list[steps.PrepareCycleRequest] = field(default_factory=list)
    prepare_failures: int = 0
    collecting: asyncio.Event = field(default_factory=asyncio.Event)
    period_s: int = 60
    reconciled: steps.ReconciledAlarms | ApplicationError = field(default_factory=steps.ReconciledAlarms)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.collecting.set()

    @activity.defn(name=steps.PREPARE_CYCLE.name)
    async def prepare_cycle(self, request: steps.PrepareCycleRequest) -> steps.PreparedCycle:
        self.prepared.append(request)
        if self.prepare_failures:
            self.prepare_failures -= 1
            raise ApplicationError("Temporal does not answer", type="Unreachable")
        if self.refusals:
            return steps.PreparedCycle(refusal=self.refusals.pop(0))
        cycle = a_cycle_request(
            application=an_application(mode=Mode.OBSERVE),
            policy=a_policy(period_s=self.period_s, max_improvements=1, analysis_window_s=3600),
            trigger=request.trigger,
            requested_by="alarm",
            alarms=request.alarms,
        )
        return steps.PreparedCycle(request=cycle)

    @activity.defn(name=steps.RECONCILE_ALARMS.name)
    async def reconcile_alarms(self, request: steps.Nothing) -> steps.ReconciledAlarms:
        if isinstance(self.reconciled, ApplicationError):
            raise self.reconciled
        return self.reconciled

    @activity.defn(name=steps.COLLECT.name)
    async def collect(self, request: steps.CollectRequest) -> steps.Collected:
        self.calls["collect waits"] += 1
        await self.collecting.wait()
        return await super().collect(request)

    def _all(self) -> list[Callable[..., Any]]:
        return [*super()._all(), self.prepare_cycle, self.reconcile_alarms]

    @property
    def ended(self) -> list[CycleReport]:
        """The last word on each cycle that has ended."""
        return [report for report in self.cycles if report.finished_at is not None]
