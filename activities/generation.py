"""Step `generate`: show one provider the code an opportunity points at, and keep what it answers."""

from collections.abc import Mapping

from temporalio import activity

from selfbuild.analysis.callers import find_callers
from selfbuild.analysis.conventions import CONFIGURATION_FILES, conventions
from selfbuild.analysis.relevance import MAX_SHOWN_FILES, rank_paths
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import Misconfigured
from selfbuild.domain.insights import InsightType, Opportunity
from selfbuild.domain.model_calls import Exchange, Spender
from selfbuild.domain.patches import ExpectedEffect, Patch, PatchRequest, SourceFile, StoredPatch
from selfbuild.gate import PathPolicy
from selfbuild.ports import Artifacts, PatchGenerator, Records, Repository
from workflows import steps

_EFFECTS = {
    InsightType.ERROR_PATTERN: "errors_gone",
    InsightType.RESOURCE_EXHAUSTION: "growth_stopped",
    InsightType.OPTIMIZATION_OPPORTUNITY: "calls_down",
}


class GenerationActivities:
    """Queue `llm`: the only worker that holds provider keys."""

    def __init__(
        self,
        generators: Mapping[str, PatchGenerator],
        repository: Repository,
        records: Records,
        artifacts: Artifacts,
    ) -> None:
        self._generators = generators
        self._repository = repository
        self._records = records
        self._artifacts = artifacts

    @activity.defn(name=steps.GENERATE.name)
    async def generate(self, request: steps.GenerateRequest) -> steps.Generated:
        """One request to one provider; prompt and answer are kept as an artifact."""
        generator = self._generators.get(request.provider)
        if generator is None:
            known = ", ".join(sorted(self._generators))
            raise Misconfigured(
                f"provider {request.provider!r} is not set up on this worker (has {known}): set its key"
            )
        base_sha = await self._repository.head(request.application)
        question = await self._question(request, base_sha)
        proposal = await generator.propose(question, timeout_s=request.timeout_s)
        transcript = await self._artifacts.put(
            f'{{"request":{question.model_dump_json()},"proposal":{proposal.model_dump_json()}}}'.encode()
        )
        answer = proposal.answer and await self._artifacts.put(proposal.answer.text.encode(), "text/plain")
        generated = steps.Generated(
            base_sha=base_sha,
            patch=None,
            refusal=proposal.refusal or "no patch and no reason given",
            repairable=proposal.repairable,
            model=proposal.model,
            transcript=transcript,
            answer=answer,
            shown_files=tuple(each.path for each in question.files),
            usage=proposal.usage,
        )
        return generated if proposal.patch is None else await self._with_patch(generated, request, proposal.patch)

    async def _question(self, request: steps.GenerateRequest, base_sha: str) -> PatchRequest:
        application, opportunity = request.application, request.opportunity
        texts = await self._python_files(application, base_sha)
        settings = await self._repository.read(application, base_sha, CONFIGURATION_FILES)
        ranked = rank_paths(texts, component=opportunity.insight.component, location=opportunity.insight.location)
        shown = ranked[:MAX_SHOWN_FILES]
        symbols = target_symbols(opportunity)
        return PatchRequest(
            opportunity=opportunity,
            files=tuple(SourceFile(path=path, text=texts[path]) for path in shown),
            target_symbols=symbols,
            missing_key_defaults=application.recipes.missing_key_defaults,
            recipes=application.recipes,
            callers=find_callers(texts, symbols, shown=shown),
            conventions=conventions(texts | {each.path: each.text for each in settings}),
            exchanges=tuple([await self._exchange(each) for each in request.exchanges]),
            tried=request.tried,
            last_attempt=request.last_attempt,
            spender=Spender(tenant_id=application.tenant_id, application=application.name, cycle_id=request.cycle_id),
        )

    async def _exchange(self, said: steps.ExchangeRef) -> Exchange:
        answer = await self._artifacts.get(said.answer) if said.answer is not None else b""
        return Exchange(answer=answer.decode(), feedback=said.feedback)

    async def _python_files(self, application: Application, sha: str) -> dict[str, str]:
        """Path -> text of the files that may be changed."""
        policy = PathPolicy.of(application.repository)
        paths = [
            path
            for path in await self._repository.list_files(application, sha)
            if path.endswith(".py") and policy.refusal(path) is None
        ]
        return {each.path: each.text for each in await self._repository.read(application, sha, paths)}

    async def _with_patch(
        self, generated: steps.Generated, request: steps.GenerateRequest, patch: Patch
    ) -> steps.Generated:
        """The answer with its patch, unless that was taken back before."""
        ref = await self._artifacts.put(patch.model_dump_json().encode())
        barred = await self._records.patch_barred(request.application, patch.fingerprint)
        if barred is not None:
            refusal = f"the same patch was taken back before: {barred}"
            return generated.model_copy(update={"refusal": refusal, "barred": patch.fingerprint, "repairable": True})
        stored = StoredPatch(
            ref=ref,
            fingerprint=patch.fingerprint,
            summary=patch.summary,
            provider=request.provider,
            model=generated.model,
            files=tuple(sorted({edit.path for edit in patch.edits})),
            expected_effect=expected_effect(request.opportunity),
        )
        return generated.model_copy(update={"patch": stored, "refusal": None})


def target_symbols(opportunity: Opportunity) -> dict[str, tuple[str, ...]]:
    """What may change: the function that telemetry names, or anything in the shown files where it names none."""
    location = opportunity.insight.location
    if location is None or location.function is None:
        return {}
    return {location.path: (location.function,)}


def expected_effect(opportunity: Opportunity) -> ExpectedEffect:
    """What production must show, decided by the insight and never by the generator."""
    kind = _EFFECTS.get(opportunity.insight.insight_type, "latency_down")
    return ExpectedEffect(component=opportunity.insight.component, kind=kind)
