"""generate_component: ask the providers in turn until the gate accepts, write the branch, register."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from selfbuild.domain.base import ArtifactRef
    from selfbuild.domain.components import (
        ComponentGateReport,
        ComponentReport,
        ComponentRequest,
        ComponentStatus,
        Registration,
        new_report,
        next_steps,
    )
    from workflows import component_steps as steps
    from workflows.common import OUTCOME, PHASE, TENANT_ID, cause_of, uncancelled

MAX_MODEL_CALLS = 3
"""One draft and two repairs by each provider."""
DETERMINISTIC_PROVIDERS = frozenset({"recipes"})
"""Asking them again gives the same answer."""


@workflow.defn(name="GenerateComponent")
class GenerateComponent:
    """One component; id `component/{tenant}/{component_id}`."""

    @workflow.init
    def __init__(self, request: ComponentRequest) -> None:
        self._request = request
        self._report = new_report(request, workflow.now(), workflow_id=workflow.info().workflow_id)
        self._ended_by_suspicion = False

    @workflow.query
    def report(self) -> ComponentReport:
        """Where the component stands."""
        return self._report

    @workflow.run
    async def run(self, request: ComponentRequest) -> ComponentReport:
        workflow.upsert_search_attributes([TENANT_ID.value_set(request.tenant_id)])
        try:
            await self._generate()
        except BaseException as error:
            if not is_cancelled_exception(error):
                raise
            self._end(ComponentStatus.CANCELLED, "cancelled by request")
            await self._register()
            raise
        await self._register()
        return self._report

    async def _generate(self) -> None:
        try:
            for provider in self._request.providers:
                draft = await self._ask(provider)
                if draft is not None and draft.files is not None:
                    await self._commit(draft, draft.files)
                    return
                if self._ended_by_suspicion:
                    break
            self._end(ComponentStatus.REJECTED, self._report.reason or "no provider made a component")
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            kind, message = cause_of(error)
            self._end(ComponentStatus.FAILED, f"{kind}: {message}")

    async def _ask(self, provider: str) -> steps.Draft | None:
        """Let one provider try, with the gate's words on each refused draft, until it has nothing better."""
        feedback: list[str] = []
        answers: list[ArtifactRef] = []
        calls = 1 if provider in DETERMINISTIC_PROVIDERS else MAX_MODEL_CALLS
        for number in range(1, calls + 1):
            draft = await self._draft(provider, answers, feedback, last=number == calls)
            if draft is None:
                return None
            if draft.files is None:
                if not draft.repairable or draft.answer is None:
                    return None
                feedback.append(draft.refusal or "no files")
            else:
                gate = await self._check(draft.files, draft.summary)
                if gate.accepted:
                    return draft
                self._ended_by_suspicion = gate.final
                if gate.final or draft.answer is None:
                    return None
                feedback.append(gate.message)
            answers.append(draft.answer)
        return None

    async def _draft(
        self, provider: str, answers: list[ArtifactRef], feedback: list[str], *, last: bool
    ) -> steps.Draft | None:
        self._enter("generating", f"asking {provider}")
        step = steps.DRAFT.with_budget(
            attempts=self._request.provider_attempts,
            longest_wait_s=self._request.provider_wait_s,
            start_to_close_s=self._request.timeout_s + 30,
        )
        number = len(self._report.attempts) + 1
        try:
            draft = await step(
                steps.DraftRequest(
                    request=self._request,
                    provider=provider,
                    exchanges=tuple(answers),
                    feedback=tuple(feedback),
                    last_attempt=last,
                ),
                tenant=self._request.tenant_id,
                summary=f"{provider}: {self._request.requirements.name}",
                activity_id=f"draft-{provider}-{number}",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            kind, message = cause_of(error)
            self._attempted(f"{provider}: {kind}: {message}")
            return None
        self._keep(draft)
        return draft

    def _keep(self, draft: steps.Draft) -> None:
        said = (
            f"{len(draft.paths)} files by {draft.model or draft.provider}"
            if draft.files
            else f"refused: {draft.refusal}"
        )
        self._attempted(f"{draft.provider}: {said}")
        self._report = self._report.model_copy(update={"usage": self._report.usage.plus(draft.usage)})
        if draft.files is None:
            return
        self._report = self._report.model_copy(
            update={
                "provider": draft.provider,
                "model": draft.model,
                "scaffold": draft.scaffold,
                "missing": draft.missing,
                "stored_files": draft.files,
            }
        )

    async def _check(self, files: ArtifactRef, summary: str) -> ComponentGateReport:
        self._enter("validating", summary)
        gate = await steps.CHECK(
            steps.CheckComponentRequest(request=self._request, files=files),
            tenant=self._request.tenant_id,
            summary=f"gate: {self._request.requirements.name}",
        )
        self._report = self._report.model_copy(
            update={
                "files_generated": gate.files,
                "validation": gate.validation,
                "checks": gate.checks,
                "reason": gate.message,
            }
        )
        if not gate.accepted:
            self._attempted(f"gate: {gate.message}")
        return gate

    async def _commit(self, draft: steps.Draft, files: ArtifactRef) -> None:
        self._enter("committing", f"branch component/{self._request.component_id}")
        commit = await steps.COMMIT(
            steps.CommitComponentRequest(
                request=self._request,
                files=files,
                provider=draft.provider,
                model=draft.model,
                at=self._report.created_at,
            ),
            tenant=self._request.tenant_id,
            summary=f"branch component/{self._request.component_id}",
        )
        registration = Registration(
            key=f"{self._request.tenant_id}/{self._request.requirements.name}",
            version=0,
            repository=commit.repository,
            branch=commit.branch,
            commit=commit.commit,
            path=commit.path,
            registered_at=workflow.now(),
        )
        self._report = self._report.model_copy(update={"registration": registration})
        self._end(ComponentStatus.REGISTERED, draft.summary)

    def _enter(self, phase: str, what: str) -> None:
        workflow.upsert_search_attributes([PHASE.value_set(phase)])
        workflow.set_current_details(f"**{phase}** {what}")

    def _attempted(self, what: str) -> None:
        self._report = self._report.model_copy(
            update={"attempts": (*self._report.attempts, what[:2000]), "reason": what[:2000]}
        )

    def _end(self, status: ComponentStatus, reason: str) -> None:
        self._report = self._report.model_copy(
            update={"status": status, "reason": reason, "finished_at": workflow.now()}
        )
        self._report = self._report.model_copy(update={"next_steps": next_steps(self._report)})
        workflow.upsert_search_attributes([PHASE.value_set("done"), OUTCOME.value_set(status)])
        workflow.set_current_details(f"**{status}** {reason}")

    async def _register(self) -> None:
        """The registry decides the version; without it the component is on its branch, but nobody finds it."""
        self._report = await uncancelled(
            steps.REGISTER(
                steps.RegisterComponentRequest(report=self._report),
                tenant=self._request.tenant_id,
                summary=self._report.status,
            )
        )
