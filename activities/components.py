"""The steps of generate_component: draft, check, commit, register."""

import json
from collections.abc import Mapping, Sequence

from temporalio import activity

from selfbuild.component_ports import (
    ComponentCommit,
    ComponentGate,
    ComponentGenerator,
    ComponentRegistry,
    ComponentRepository,
)
from selfbuild.domain.base import ArtifactRef
from selfbuild.domain.components import (
    ComponentFile,
    ComponentGateReport,
    ComponentQuestion,
    ComponentReport,
)
from selfbuild.domain.errors import Misconfigured
from selfbuild.domain.model_calls import Exchange, Spender
from selfbuild.ports import Artifacts
from workflows import component_steps as steps


class ComponentActivities:
    """Queues `llm`, `sandbox`, `deploy` and `cycle`: each method belongs to one of them."""

    def __init__(
        self,
        generators: Mapping[str, ComponentGenerator],
        gate: ComponentGate,
        repository: ComponentRepository,
        registry: ComponentRegistry,
        artifacts: Artifacts,
    ) -> None:
        self._generators = generators
        self._gate = gate
        self._repository = repository
        self._registry = registry
        self._artifacts = artifacts

    @activity.defn(name=steps.DRAFT.name)
    async def draft_component(self, request: steps.DraftRequest) -> steps.Draft:
        """One request to one provider; files and answer are kept as artifacts."""
        generator = self._generators.get(request.provider)
        if generator is None:
            known = ", ".join(sorted(self._generators))
            raise Misconfigured(f"provider {request.provider!r} makes no components on this worker (which has {known})")
        wanted = request.request
        question = ComponentQuestion(
            request=wanted,
            exchanges=tuple(
                [
                    Exchange(answer=(await self._artifacts.get(ref)).decode(), feedback=said)
                    for ref, said in zip(request.exchanges, request.feedback, strict=True)
                ]
            ),
            last_attempt=request.last_attempt,
            spender=Spender(
                tenant_id=wanted.tenant_id, application=wanted.requirements.name, cycle_id=wanted.component_id
            ),
        )
        proposal = await generator.propose(question, timeout_s=wanted.timeout_s)
        files = None
        if proposal.files:
            files = await self._artifacts.put(_packed(proposal.files))
        answer = None
        if proposal.answer is not None and proposal.answer.text:
            answer = await self._artifacts.put(proposal.answer.text.encode(), "text/plain")
        return steps.Draft(
            provider=proposal.provider,
            files=files,
            paths=tuple(file.path for file in proposal.files),
            summary=proposal.summary,
            refusal=None if files else proposal.refusal or "no files and no reason given",
            repairable=proposal.repairable,
            scaffold=proposal.scaffold,
            missing=proposal.missing,
            model=proposal.model,
            usage=proposal.usage,
            answer=answer,
        )

    @activity.defn(name=steps.CHECK.name)
    async def check_component(self, request: steps.CheckComponentRequest) -> ComponentGateReport:
        """Every check on the files; a refusal is a value."""
        return await self._gate.validate(request.request, await self._files(request.files))

    @activity.defn(name=steps.COMMIT.name)
    async def commit_component(self, request: steps.CommitComponentRequest) -> ComponentCommit:
        """Write the branch; done twice it is done once."""
        wanted = request.request
        return await self._repository.commit(
            wanted,
            await self._files(request.files),
            subject=f"{wanted.component_type}: {wanted.requirements.name}",
            trailers={
                "Component-Id": wanted.component_id,
                "Request-Digest": wanted.digest,
                "Requested-By": wanted.requested_by or "unknown",
                "Provider": request.provider if request.model is None else f"{request.provider} {request.model}",
            },
            at=request.at,
        )

    @activity.defn(name=steps.REGISTER.name)
    async def register_component(self, request: steps.RegisterComponentRequest) -> ComponentReport:
        """Write the registry, which gives the version."""
        return await self._registry.save(request.report)

    async def _files(self, ref: ArtifactRef) -> tuple[ComponentFile, ...]:
        return unpacked(await self._artifacts.get(ref))


def _packed(files: Sequence[ComponentFile]) -> bytes:
    return json.dumps([file.model_dump() for file in files], sort_keys=True).encode()


def unpacked(content: bytes) -> tuple[ComponentFile, ...]:
    """The files of an artifact."""
    return tuple(ComponentFile.model_validate(each) for each in json.loads(content))
