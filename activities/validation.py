"""Step `validate`: put a patch through the gate on a clean checkout."""

from pathlib import Path
from tempfile import TemporaryDirectory

from temporalio import activity

from activities.generation import target_symbols
from selfbuild.domain.patches import GateReport, Patch
from selfbuild.gate.feedback import failure_class, feedback
from selfbuild.ports import Artifacts, Gate, Repository
from workflows import steps


class ValidationActivities:
    """Queue `sandbox`."""

    def __init__(self, gate: Gate, repository: Repository, artifacts: Artifacts) -> None:
        self._gate = gate
        self._repository = repository
        self._artifacts = artifacts

    @activity.defn(name=steps.VALIDATE.name)
    async def validate(self, request: steps.ValidateRequest) -> GateReport:
        """Every check on the patch applied to `base_sha`; a refusal is a value."""
        patch = Patch.model_validate_json(await self._artifacts.get(request.patch.ref))
        with TemporaryDirectory(prefix="selfbuild-gate-") as folder:
            tree = Path(folder)
            await self._repository.export(request.application, request.base_sha, tree)
            report = await self._gate.validate(
                patch=patch,
                base_tree=tree,
                application=request.application,
                shown_files=request.shown_files,
                target_symbols=target_symbols(request.opportunity),
                quality_threshold=request.quality_threshold,
                insight=request.opportunity.insight,
            )
            shown = await self._repository.read(request.application, request.base_sha, request.shown_files)
            sources = {each.path: each.text for each in shown}
            return report.model_copy(
                update={"feedback": feedback(report, patch, sources), "failure_class": failure_class(report)}
            )
