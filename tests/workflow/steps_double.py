"""Stand-ins for every step, so that workflows meet each outcome on a real Temporal server without the world."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from selfbuild.domain.base import ArtifactRef, Verdict
from selfbuild.domain.cycles import CycleReport, ImprovementReport
from selfbuild.domain.insights import Analysis, Opportunity
from selfbuild.domain.patches import GateReport
from selfbuild.domain.releases import Judgement, Release, ReleaseState, Rollback
from tests.builders import NOON, SHA_A, SHA_B, a_stored_patch, an_opportunity
from workflows import steps


def passed(reason: str = "not worse than its baseline") -> Judgement:
    return Judgement(verdict=Verdict.PASS, reason=reason)


def failed(reason: str = "errors are 5 times the baseline's") -> Judgement:
    return Judgement(verdict=Verdict.FAIL, reason=reason)


def undecided(reason: str = "window not over") -> Judgement:
    return Judgement(verdict=Verdict.INCONCLUSIVE, reason=reason)


def accepted(**changes: Any) -> GateReport:
    fields: dict[str, Any] = {"verdict": Verdict.PASS, "checks": (), "quality_score": 0.97, "diff": "--- a\n+++ b\n"}
    return GateReport(**{**fields, **changes})


def refused(reason_class: str, message: str) -> GateReport:
    return GateReport(verdict=Verdict.FAIL, checks=(), quality_score=0.4, reason_class=reason_class, message=message)


@dataclass
class Steps:
    """What each step answers, and what was asked."""

    opportunities: tuple[Opportunity, ...] = field(default_factory=lambda: (an_opportunity(),))
    judge: Callable[[steps.MonitorRequest], Judgement] = field(
        default=lambda request: passed() if request.final else undecided()
    )
    gate: Callable[[steps.ValidateRequest], GateReport] = field(default=lambda request: accepted())
    generate_answer: Callable[[steps.GenerateRequest], steps.Generated] | None = None
    collect_error: ApplicationError | None = None
    rollback_failures: int = 0
    deploy_gate: asyncio.Event = field(default_factory=asyncio.Event)
    deploy_error: ApplicationError | None = None
    heads: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    live: set[str] = field(default_factory=set)
    promoted: set[str] = field(default_factory=set)
    most_live: int = 0
    cycles: list[CycleReport] = field(default_factory=list)
    improvements: list[ImprovementReport] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    rollbacks: list[steps.RollBackRequest] = field(default_factory=list)
    orphans: tuple[steps.LedgerView, ...] = ()

    def __post_init__(self) -> None:
        self.deploy_gate.set()

    @activity.defn(name=steps.COLLECT.name)
    async def collect(self, request: steps.CollectRequest) -> steps.Collected:
        self._called("collect")
        if self.collect_error is not None:
            raise self.collect_error
        return steps.Collected(
            telemetry=ArtifactRef(digest="0" * 64, size_bytes=1),
            series_count=3,
            sample_count=100,
            error_group_count=1,
            log_events=20,
            api_calls=4,
            cost_usd=0.001,
            source="double",
        )

    @activity.defn(name=steps.ANALYZE.name)
    async def analyze(self, request: steps.AnalyzeRequest) -> Analysis:
        self._called("analyze")
        return Analysis(insights=tuple(each.insight for each in self.opportunities), opportunities=self.opportunities)

    @activity.defn(name=steps.GENERATE.name)
    async def generate(self, request: steps.GenerateRequest) -> steps.Generated:
        self._called("generate")
        self.log.append(f"generate {request.provider} {len(request.exchanges)}")
        if self.generate_answer is not None:
            return self.generate_answer(request)
        return generated(provider=request.provider, nth=len(request.tried) + 1)

    @activity.defn(name=steps.VALIDATE.name)
    async def validate(self, request: steps.ValidateRequest) -> GateReport:
        self._called("validate")
        self.log.append(f"validate {request.base_sha[0]}")
        return self.gate(request)

    @activity.defn(name=steps.READ_HEAD.name)
    async def read_head(self, request: steps.ApplicationRequest) -> str:
        self._called("read_head")
        return self.heads.pop(0) if self.heads else SHA_A

    @activity.defn(name=steps.FREEZE.name)
    async def freeze(self, request: steps.FreezeRequest) -> steps.Frozen:
        return steps.Frozen(slow_ms={"actions": 10.0})

    @activity.defn(name=steps.DEPLOY.name)
    async def deploy(self, request: steps.DeployRequest) -> Release:
        self._called("deploy")
        self.log.append(f"deploy begins {request.release_id[-4:]}")
        await _to_its_end(self.deploy_gate)
        if self.deploy_error is not None:
            error, self.deploy_error = self.deploy_error, None
            raise error
        self.live.add(request.release_id)
        self.most_live = max(self.most_live, len(self.live))
        self.log.append(f"deploy {request.release_id[-4:]}")
        return Release(
            release_id=request.release_id,
            application_key=request.application.key,
            baseline_sha=SHA_A,
            sha=SHA_B,
            canary_share=0.5,
            deployed_at=activity.info().started_time,
        )

    @activity.defn(name=steps.MONITOR.name)
    async def monitor(self, request: steps.MonitorRequest) -> Judgement:
        self._called("monitor")
        return self.judge(request)

    @activity.defn(name=steps.PROMOTE.name)
    async def promote(self, request: steps.PromoteRequest) -> steps.Nothing:
        self.live.discard(request.release_id)
        self.promoted.add(request.release_id)
        self.log.append(f"promote {request.release_id[-4:]}")
        return steps.Nothing()

    @activity.defn(name=steps.ROLL_BACK.name)
    async def roll_back(self, request: steps.RollBackRequest) -> Rollback:
        self._called("rollback")
        if self.rollback_failures > 0:
            self.rollback_failures -= 1
            raise ApplicationError("another git process holds the lock", type="Conflict")
        self.rollbacks.append(request)
        self.live.discard(request.release_id)
        self.log.append(f"rollback {request.release_id[-4:]}")
        return Rollback(release_id=request.release_id, serving_sha=SHA_A, revert_sha="f" * 40)

    @activity.defn(name=steps.FIND_RELEASE.name)
    async def find_release(self, request: steps.FindReleaseRequest) -> steps.LedgerView:
        return next(each for each in self.orphans if each.release_id == request.release_id)

    @activity.defn(name=steps.FIND_ORPHANS.name)
    async def find_orphans(self, request: steps.Nothing) -> steps.OpenReleases:
        return steps.OpenReleases(releases=self.orphans)

    @activity.defn(name=steps.RECORD_CYCLE.name)
    async def record_cycle(self, request: steps.RecordCycleRequest) -> steps.Nothing:
        self.cycles.append(request.report)
        return steps.Nothing()

    @activity.defn(name=steps.RECORD_IMPROVEMENT.name)
    async def record_improvement(self, request: steps.RecordImprovementRequest) -> steps.Nothing:
        self.improvements.append(request.report)
        return steps.Nothing()

    def of_queue(self, queue: str) -> list[Callable[..., Any]]:
        """The doubles that serve a queue, as the steps' table says."""
        queue_of = {step.name: step.queue for step in steps.STEPS}
        return [each for each in self._all() if queue_of[_name(each)] == queue]

    def _all(self) -> list[Callable[..., Any]]:
        return [
            self.collect,
            self.analyze,
            self.generate,
            self.validate,
            self.read_head,
            self.freeze,
            self.deploy,
            self.monitor,
            self.promote,
            self.roll_back,
            self.find_release,
            self.find_orphans,
            self.record_cycle,
            self.record_improvement,
        ]

    def _called(self, name: str) -> None:
        self.calls[name] += 1


def _name(double: Callable[..., Any]) -> str:
    definition = activity._Definition.from_callable(double)  # the SDK has no public way to ask for the name
    assert definition is not None
    assert definition.name is not None
    return definition.name


async def _to_its_end(gate: asyncio.Event) -> None:
    """Like the boundary's critical section: a cancel does not interrupt a deploy."""
    while not gate.is_set():
        activity.heartbeat()
        try:
            await asyncio.wait_for(gate.wait(), 0.2)
        except (TimeoutError, asyncio.CancelledError):
            continue


def generated(
    *, provider: str = "recipes", refusal: str | None = None, nth: int = 1, repairable: bool = False
) -> steps.Generated:
    """The `nth` different patch of a provider, or its refusal."""
    patch = None if refusal else a_stored_patch(provider=provider, fingerprint=f"{nth:x}" * 64)
    return steps.Generated(
        base_sha=SHA_A,
        patch=patch,
        refusal=refusal,
        repairable=repairable,
        model=provider,
        answer=ArtifactRef(digest=f"{nth:x}" * 64, size_bytes=2),
        shown_files=("shop/actions.py",),
    )


def an_orphan(release_id: str, application: Any) -> steps.LedgerView:
    return steps.LedgerView(
        application=application,
        release_id=release_id,
        state=ReleaseState.CANARY,
        improvement_id="i",
        patch_digest="e" * 64,
        workflow_id="cycle/acme/shop/x/1",
    )


__all__ = ["NOON", "Steps", "accepted", "an_orphan", "failed", "generated", "passed", "refused", "undecided"]
