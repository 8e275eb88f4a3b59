"""Step `generate`: show one provider the code an opportunity points at, and keep what it answers."""

from collections.abc import Mapping

from temporalio import activity

from selfbuild.analysis.relevance import MAX_SHOWN_FILES, rank_paths
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import Misconfigured
from selfbuild.domain.insights import InsightType, Opportunity
from selfbuild.domain.patches import ExpectedEffect, PatchRequest, Proposal, SourceFile, StoredPatch
from selfbuild.gate import PathPolicy
from selfbuild.ports import Artifacts, PatchGenerator, Records, Repository
from workflows import steps


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
        question = PatchRequest(
            opportunity=request.opportunity,
            files=await self._relevant_files(request.application, request.opportunity, base_sha),
            target_symbols=target_symbols(request.opportunity),
            missing_key_defaults=request.application.recipes.missing_key_defaults,
            feedback=request.feedback,
        )
        proposal = await generator.propose(question, timeout_s=request.timeout_s)
        transcript = await self._artifacts.put(
            f'{{"request":{question.model_dump_json()},"proposal":{proposal.model_dump_json()}}}'.encode()
        )
        patch, refusal = await self._keep(request, proposal)
        return steps.Generated(
            base_sha=base_sha,
            patch=patch,
            refusal=refusal,
            model=proposal.model,
            transcript=transcript,
            shown_files=tuple(each.path for each in question.files),
            usage=proposal.usage,
        )

    async def _relevant_files(
        self, application: Application, opportunity: Opportunity, sha: str
    ) -> tuple[SourceFile, ...]:
        """The files that may be changed and have most to do with the opportunity, most relevant first."""
        policy = PathPolicy.of(application.repository)
        paths = [
            path
            for path in await self._repository.list_files(application, sha)
            if path.endswith(".py") and policy.refusal(path) is None
        ]
        files = await self._repository.read(application, sha, paths)
        ranked = rank_paths(
            {each.path: each.text for each in files},
            component=opportunity.insight.component,
            location=opportunity.insight.location,
        )
        texts = {each.path: each for each in files}
        return tuple(texts[path] for path in ranked[:MAX_SHOWN_FILES])

    async def _keep(self, request: steps.GenerateRequest, proposal: Proposal) -> tuple[StoredPatch | None, str | None]:
        if proposal.patch is None:
            return None, proposal.refusal or "no patch and no reason given"
        ref = await self._artifacts.put(proposal.patch.model_dump_json().encode())
        barred = await self._records.patch_barred(request.application, proposal.patch.fingerprint)
        if barred is not None:
            return None, f"the same patch was taken back before: {barred}"
        return (
            StoredPatch(
                ref=ref,
                fingerprint=proposal.patch.fingerprint,
                summary=proposal.patch.summary,
                provider=proposal.provider,
                model=proposal.model,
                files=tuple(sorted({edit.path for edit in proposal.patch.edits})),
                expected_effect=expected_effect(request.opportunity),
            ),
            None,
        )


def target_symbols(opportunity: Opportunity) -> dict[str, tuple[str, ...]]:
    """What may change: the function that telemetry names, or anything in the shown files where it names none."""
    location = opportunity.insight.location
    if location is None or location.function is None:
        return {}
    return {location.path: (location.function,)}


def expected_effect(opportunity: Opportunity) -> ExpectedEffect:
    """What production must show, decided by the insight and never by the generator."""
    errors = opportunity.insight.insight_type is InsightType.ERROR_PATTERN
    return ExpectedEffect(component=opportunity.insight.component, kind="errors_gone" if errors else "latency_down")
