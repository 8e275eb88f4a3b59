"""One opportunity carried through: patch, gate, canary, judge, then kept or rolled back.

Whatever happens after a deploy began, the release ends promoted by a PASS or rolled back; a cancel waits for that.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from selfbuild.domain.base import AwareDatetime, Verdict
    from selfbuild.domain.cycles import ImprovementReport, ImprovementRequest, ImprovementStatus, Phase
    from selfbuild.domain.model_calls import Usage
    from selfbuild.domain.patches import GateReport, StoredPatch
    from selfbuild.domain.releases import Judgement, Release
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

MAX_FAILED_MEASUREMENTS = 4
"""Consecutive checks that could not measure before the release is taken back (Argo Rollouts' default)."""
MAX_RELEASE_ATTEMPTS = 3
"""How often a release is tried again because people pushed meanwhile."""
SUBJECT_LENGTH = 72
SECURITY_CLASSES = frozenset({"path", "scope", "unicode", "code"})
"""A patch refused for one of these is never asked to be repaired: it may be an injection."""
MODEL_RISK = 0.3
"""Least risk of a patch that no recipe made: the gate cannot see a change of meaning that breaks no test."""
MAX_ANSWERS = {"recipes": 6, "scripted": 1}
"""Generators without a model: recipes go on to the next one that fits, a script has one answer."""
_STATUS_OF = {
    Phase.GENERATING: ImprovementStatus.GENERATING,
    Phase.VALIDATING: ImprovementStatus.VALIDATING,
    Phase.WAITING: ImprovementStatus.PENDING,
    Phase.DEPLOYING: ImprovementStatus.DEPLOYING,
    Phase.MONITORING: ImprovementStatus.MONITORING,
    Phase.ROLLING_BACK: ImprovementStatus.MONITORING,
}


@workflow.defn(name="Improvement")
class Improvement:
    """Child of a cycle, one an opportunity; id `cycle/{tenant}/{application}/{run8}/{n}`."""

    @workflow.init
    def __init__(self, request: ImprovementRequest) -> None:
        self._request = request
        self._turn = False
        self._final_refusal = False
        self._model_answers = 0
        self._tried: list[str] = []
        self._needs_approval: tuple[str, ...] = ()
        self._rollback_wanted: str | None = None
        self._clock = PhaseClock(workflow.now())
        self._report = ImprovementReport(
            improvement_id=request.improvement_id,
            cycle_id=request.cycle_id,
            tenant_id=request.application.tenant_id,
            application=request.application.name,
            status=ImprovementStatus.PENDING,
            opportunity=request.opportunity,
            started_at=workflow.now(),
        )

    @workflow.query
    def report(self) -> ImprovementReport:
        """Where the improvement stands."""
        return self._report

    @workflow.signal
    def grant_turn(self) -> None:
        """The cycle lets this improvement use the application's release slot."""
        self._turn = True

    @workflow.signal
    def roll_back(self, reason: str) -> None:
        """An operator wants the release taken back now."""
        self._rollback_wanted = reason

    @workflow.run
    async def run(self, request: ImprovementRequest) -> ImprovementReport:
        workflow.upsert_search_attributes(
            [
                TENANT_ID.value_set(request.application.tenant_id),
                APPLICATION.value_set(request.application.name),
                CYCLE_ID.value_set(request.cycle_id),
            ]
        )
        try:
            await self._carry_through()
        except BaseException as error:
            if not is_cancelled_exception(error):
                raise
            if self._report.status is not ImprovementStatus.KEPT:
                self._end(ImprovementStatus.CANCELLED, "cancelled by request")
            await self._record()
            raise
        await self._record()
        return self._report

    async def _carry_through(self) -> None:
        try:
            found = await self._make_patch()
            if found is None:
                return
            refusal = self._refusal_to_deploy(found[1])
            if refusal is not None:
                self._end(ImprovementStatus.REJECTED, refusal)
                return
            await self._wait_for_turn()
            await self._release(*found)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            kind, message = cause_of(error)
            self._end(ImprovementStatus.FAILED, f"{kind}: {message}")

    # Patch

    async def _make_patch(self) -> tuple[steps.Generated, StoredPatch] | None:
        """Ask the providers in turn until the gate accepts a patch."""
        for provider in self._request.providers:
            found = await self._ask(provider)
            if found is not None:
                return found
            if self._final_refusal:
                break
        self._end(ImprovementStatus.REJECTED, self._report.reason or "no provider made a patch")
        return None

    async def _ask(self, provider: str) -> tuple[steps.Generated, StoredPatch] | None:
        """Let one provider try, with the gate's words on each refused patch, until it has nothing better."""
        exchanges: list[steps.ExchangeRef] = []
        failures: set[str] = set()
        for _ in range(MAX_ANSWERS.get(provider, self._request.policy.max_generation_attempts)):
            if not self._may_ask(provider):
                return None
            generated = await self._generate(provider, tuple(exchanges))
            if generated is None:
                return None
            if provider not in MAX_ANSWERS:
                self._model_answers += 1
            failure, feedback = await self._failure(provider, generated)
            if failure is None:
                return None if generated.patch is None else (generated, generated.patch)
            if self._final_refusal:
                return None
            if failure in failures and provider not in MAX_ANSWERS:
                self._attempted(f"{provider}: gave up: its answers fail alike ({failure})", Usage())
                return None
            failures.add(failure)
            exchanges.append(steps.ExchangeRef(answer=generated.answer, feedback=feedback))
        return None

    def _may_ask(self, provider: str) -> bool:
        """Models together get so many answers an opportunity; offline generators cost nothing."""
        limit = self._request.policy.max_generation_attempts
        if provider in MAX_ANSWERS or self._model_answers < limit:
            return True
        self._attempted(f"{provider}: not asked: models gave {limit} answers already", Usage())
        return False

    async def _failure(self, provider: str, generated: steps.Generated) -> tuple[str | None, str]:
        """What is wrong with an answer, by class and in words for a repair; no class = nothing that can be repaired."""
        patch = generated.patch
        if patch is None:
            if generated.barred is not None:
                self._tried.append(generated.barred)
            refusal = generated.refusal or "no patch"
            return ("barred" if generated.barred else "format", refusal) if generated.repairable else (None, refusal)
        if patch.fingerprint in self._tried:
            return "the same patch again", "You proposed this patch before, and it was refused."
        gate = await self._validate(generated, patch)
        if gate.accepted:
            self._needs_approval = _unproven(provider, gate)
            return None, ""
        self._tried.append(patch.fingerprint)
        attack = gate.reason_class in SECURITY_CLASSES and provider != "recipes"
        self._final_refusal = attack or gate.verdict is not Verdict.FAIL
        return gate.failure_class or gate.reason_class or "unknown", gate.feedback or gate.message

    async def _generate(self, provider: str, exchanges: tuple[steps.ExchangeRef, ...]) -> steps.Generated | None:
        self._enter(Phase.GENERATING, f"asking {provider}")
        policy = self._request.policy
        step = steps.GENERATE.with_budget(
            attempts=policy.dependency_max_attempts,
            longest_wait_s=policy.dependency_retry_s,
            start_to_close_s=policy.generation_timeout_s + 30,
        )
        request = steps.GenerateRequest(
            application=self._request.application,
            opportunity=self._request.opportunity,
            cycle_id=self._request.cycle_id,
            provider=provider,
            timeout_s=policy.generation_timeout_s,
            exchanges=exchanges,
            tried=tuple(self._tried),
            last_attempt=self._model_answers + 1 >= policy.max_generation_attempts,
        )
        number = len(self._report.attempts) + 1
        try:
            generated = await step(
                request,
                tenant=self._tenant,
                summary=f"{provider}: {self._request.opportunity.insight.component}",
                activity_id=f"generate-{provider}-{number}",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            kind, message = cause_of(error)
            self._attempted(f"{provider}: {kind}: {message}", Usage())
            return None
        said = f"patch by {generated.model or provider}" if generated.patch else f"refused: {generated.refusal}"
        self._attempted(f"{provider}: {said}", generated.usage)
        return generated

    def _attempted(self, what: str, usage: Usage) -> None:
        total = self._report.usage.plus(usage)
        self._report = self._report.model_copy(
            update={"attempts": (*self._report.attempts, what), "usage": total, "reason": what}
        )

    async def _validate(self, generated: steps.Generated, patch: StoredPatch) -> GateReport:
        self._enter(Phase.VALIDATING, patch.summary)
        gate = await steps.VALIDATE(
            steps.ValidateRequest(
                application=self._request.application,
                opportunity=self._request.opportunity,
                base_sha=generated.base_sha,
                patch=patch,
                shown_files=generated.shown_files,
                quality_threshold=self._request.policy.quality_threshold,
            ),
            tenant=self._tenant,
            summary=f"gate on {generated.base_sha[:12]}",
        )
        self._report = self._report.model_copy(
            update={
                "patch": patch,
                "diff": gate.diff,
                "checks": gate.checks,
                "quality_score": gate.quality_score,
                "reason": gate.message,
            }
        )
        return gate

    # Release

    def _refusal_to_deploy(self, patch: StoredPatch) -> str | None:
        """Why an accepted patch is not deployed without a person, or None."""
        if not self._request.deploy_allowed:
            return "deploying is off: set ENABLE_AUTONOMOUS_IMPROVEMENTS=true to allow it"
        if self._needs_approval:
            return f"a person must agree: {'; '.join(self._needs_approval)}: apply the patch by hand"
        risk = max(self._request.opportunity.risk, 0.0 if patch.provider == "recipes" else MODEL_RISK)
        tolerance = self._request.policy.risk_tolerance
        if risk > tolerance:
            return f"risk {risk:.2f} is above IMPROVEMENT_RISK_TOLERANCE {tolerance:.2f}: apply the patch by hand"
        return None

    async def _wait_for_turn(self) -> None:
        """One release at a time for an application, so that each is judged against what really serves."""
        self._enter(Phase.WAITING, "for the application's release slot")
        parent = workflow.info().parent
        if parent is None:
            return
        handle = workflow.get_external_workflow_handle(parent.workflow_id, run_id=parent.run_id)
        await handle.signal("request_turn", self._request.improvement_id)
        await workflow.wait_condition(lambda: self._turn)

    async def _release(self, generated: steps.Generated, patch: StoredPatch) -> None:
        for attempt in range(1, MAX_RELEASE_ATTEMPTS + 1):
            head = await steps.READ_HEAD(
                steps.ApplicationRequest(application=self._request.application),
                tenant=self._tenant,
                summary="newest commit",
            )
            if head != generated.base_sha:
                generated = generated.model_copy(update={"base_sha": head})
                gate = await self._validate(generated, patch)
                if not gate.accepted:
                    self._end(ImprovementStatus.REJECTED, f"no longer passes on {head[:12]}: {gate.message}")
                    return
                unproven = _unproven(patch.provider, gate)
                if unproven:
                    why = "; ".join(unproven)
                    self._end(ImprovementStatus.REJECTED, f"a person must agree to it on {head[:12]}: {why}")
                    return
            if await self._try_release(generated, patch, f"{self._request.improvement_id}-r{attempt}"):
                return
        self._end(ImprovementStatus.FAILED, f"the branch moved on during {MAX_RELEASE_ATTEMPTS} attempts to release")

    async def _try_release(self, generated: steps.Generated, patch: StoredPatch, release_id: str) -> bool:
        """Deploy, judge, promote or roll back. False: people pushed meanwhile and nothing of ours is left."""
        try:
            release = await self._deploy(generated, patch, release_id)
            raise_if_cancelled()
            judgement = await self._monitor(release)
            if judgement.verdict is Verdict.PASS:
                await self._promote(release_id)
                self._end(ImprovementStatus.KEPT, judgement.reason)
                raise_if_cancelled()
                return True
            status, reason, blame = ImprovementStatus.ROLLED_BACK, judgement.reason, judgement.verdict is Verdict.FAIL
        except ActivityError as error:
            if is_cancelled_exception(error):
                await self._roll_back(release_id, patch, "cancelled by request", blame=False)
                raise
            kind, message = cause_of(error)
            status, reason, blame = ImprovementStatus.ROLLED_BACK, f"{kind}: {message}", kind == "InvalidRequest"
            if kind == "Conflict":
                await self._roll_back(release_id, patch, reason, blame=False)
                raise_if_cancelled()
                return False
        except asyncio.CancelledError:
            if self._report.status is not ImprovementStatus.KEPT:
                await self._roll_back(release_id, patch, "cancelled by request", blame=False)
            raise
        await self._roll_back(release_id, patch, reason, blame=blame)
        self._end(status, reason)
        raise_if_cancelled()
        return True

    async def _deploy(self, generated: steps.Generated, patch: StoredPatch, release_id: str) -> Release:
        self._enter(Phase.DEPLOYING, release_id)
        insight = self._request.opportunity.insight
        score = self._report.quality_score or 0.0
        release = await steps.DEPLOY(
            steps.DeployRequest(
                application=self._request.application,
                release_id=release_id,
                improvement_id=self._request.improvement_id,
                workflow_id=workflow.info().workflow_id,
                base_sha=generated.base_sha,
                patch=patch,
                subject=_subject(f"{insight.component}: {patch.summary}"),
                trailers={
                    "Cycle-Id": self._request.cycle_id,
                    "Improvement-Id": self._request.improvement_id,
                    "Insight": f"{insight.insight_id} {insight.insight_type} {insight.component}",
                    "Evidence-Digest": insight.fingerprint,
                    "Patch-Digest": patch.fingerprint,
                    "Verdict": f"gate PASS, quality {score:.2f}",
                    "Release-Id": release_id,
                },
            ),
            tenant=self._tenant,
            summary=f"release {release_id}",
        )
        self._report = self._report.model_copy(update={"release": release})
        return release

    async def _monitor(self, release: Release) -> Judgement:
        """Look at every interval until the verdict is in; inconclusive windows are extended, then the release goes."""
        self._enter(Phase.MONITORING, f"{release.sha[:12]} beside {release.baseline_sha[:12]}")
        policy = self._request.policy
        slow_ms = await self._freeze(release)
        window = timedelta(seconds=policy.monitoring_duration_s)
        deadline, extensions, unmeasured, look = release.deployed_at + window, 0, 0, 0
        while True:
            look += 1
            pause_s = min(policy.check_interval_s, max(0.0, (deadline - workflow.now()).total_seconds()))
            await self._sleep(pause_s, look)
            if self._rollback_wanted is not None:
                return Judgement(verdict=Verdict.FAIL, reason=f"rolled back by request: {self._rollback_wanted}")
            final = workflow.now() >= deadline
            judgement = await self._look(release, slow_ms, final=final, look=look)
            unmeasured = unmeasured + 1 if judgement.verdict is Verdict.ERROR else 0
            if unmeasured >= MAX_FAILED_MEASUREMENTS or judgement.verdict is Verdict.FAIL:
                return judgement
            if not final:
                continue
            if judgement.verdict is Verdict.PASS:
                return judgement
            if judgement.verdict is Verdict.INCONCLUSIVE:
                if extensions >= policy.max_window_extensions:
                    return judgement
                extensions += 1
                deadline = workflow.now() + window
            else:
                deadline = workflow.now() + timedelta(seconds=policy.check_interval_s)

    async def _sleep(self, seconds: float, look: int) -> None:
        try:
            await workflow.wait_condition(
                lambda: self._rollback_wanted is not None,
                timeout=timedelta(seconds=max(seconds, 0.001)),
                timeout_summary=f"check {look}",
            )
        except TimeoutError:
            return

    async def _freeze(self, release: Release) -> dict[str, float]:
        policy = self._request.policy
        span = timedelta(seconds=max(policy.monitoring_duration_s, policy.analysis_window_s))
        frozen = await steps.FREEZE(
            steps.FreezeRequest(
                application=self._request.application,
                baseline_sha=release.baseline_sha,
                start=release.deployed_at - span,
                end=release.deployed_at,
            ),
            tenant=self._tenant,
            summary="slow thresholds",
        )
        return frozen.slow_ms

    async def _look(self, release: Release, slow_ms: dict[str, float], *, final: bool, look: int) -> Judgement:
        patch = self._report.patch
        until: AwareDatetime = workflow.now()
        try:
            judgement = await steps.MONITOR(
                steps.MonitorRequest(
                    application=self._request.application,
                    release=release,
                    slow_ms=slow_ms,
                    policy=self._request.policy,
                    component=self._request.opportunity.insight.component,
                    expected_kind=patch.expected_effect.kind if patch else "",
                    until=until,
                    final=final,
                ),
                tenant=self._tenant,
                summary=f"check {look}{' (last)' if final else ''}",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            kind, message = cause_of(error)
            judgement = Judgement(verdict=Verdict.ERROR, reason=f"could not measure: {kind}: {message}")
        self._report = self._report.model_copy(update={"judgement": judgement})
        self._show(judgement.reason)
        return judgement

    async def _promote(self, release_id: str) -> None:
        self._enter(Phase.DEPLOYING, f"promoting {release_id}")
        await steps.PROMOTE(
            steps.PromoteRequest(application=self._request.application, release_id=release_id),
            tenant=self._tenant,
            summary=f"promote {release_id}",
        )

    async def _roll_back(self, release_id: str, patch: StoredPatch, reason: str, *, blame: bool) -> None:
        self._enter(Phase.ROLLING_BACK, reason)
        rollback = await uncancelled(
            steps.ROLL_BACK(
                steps.RollBackRequest(
                    application=self._request.application,
                    release_id=release_id,
                    improvement_id=self._request.improvement_id,
                    reason=reason,
                    patch_digest=patch.fingerprint,
                    bar_patch=blame,
                ),
                tenant=self._tenant,
                summary=f"roll back {release_id}",
            )
        )
        self._report = self._report.model_copy(update={"rollback": rollback})

    # Bookkeeping

    @property
    def _tenant(self) -> str:
        return self._request.application.tenant_id

    def _enter(self, phase: Phase, what: str) -> None:
        self._clock.enter(phase, workflow.now())
        self._report = self._report.model_copy(update={"status": _STATUS_OF[phase], "phase_s": self._clock.seconds()})
        workflow.upsert_search_attributes([PHASE.value_set(phase)])
        self._show(f"**{phase}** {what}")
        workflow.logger.info("improvement.phase_entered", extra={"phase": phase})

    def _show(self, text: str) -> None:
        insight = self._request.opportunity.insight
        workflow.set_current_details(f"{insight.description}\n\n{text}")

    def _end(self, status: ImprovementStatus, reason: str) -> None:
        self._clock.enter(Phase.DONE, workflow.now())
        self._report = self._report.model_copy(
            update={
                "status": status,
                "reason": reason,
                "finished_at": workflow.now(),
                "phase_s": self._clock.seconds(),
            }
        )
        workflow.upsert_search_attributes([PHASE.value_set(Phase.DONE), OUTCOME.value_set(status)])
        self._show(f"**{status}** {reason}")

    async def _record(self) -> None:
        try:
            await uncancelled(
                steps.RECORD_IMPROVEMENT(
                    steps.RecordImprovementRequest(report=self._report),
                    tenant=self._tenant,
                    summary=self._report.status,
                )
            )
        except ActivityError as error:
            workflow.logger.warning("improvement.not_recorded", extra={"error_message": str(error)})


def _unproven(provider: str, gate: GateReport) -> tuple[str, ...]:
    """Why a person must agree. A recipe's preconditions stand for what the gate could not show of its behaviour."""
    return gate.needs_approval if provider == "recipes" else (*gate.needs_approval, *gate.unshown)


def _subject(text: str) -> str:
    """A commit's subject line."""
    return text if len(text) <= SUBJECT_LENGTH else f"{text[: SUBJECT_LENGTH - 1].rstrip()}…"
