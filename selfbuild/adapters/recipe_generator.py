"""The offline generator: answers with the first recipe's patch that applies, or every refusal."""

import asyncio
from collections.abc import Sequence

import structlog

from selfbuild.domain.edits import EditError, apply_edits
from selfbuild.domain.errors import Unreachable
from selfbuild.domain.patches import Patch, PatchRequest, Proposal, SourceFile
from selfbuild.recipes import RECIPES, Recipe, RecipePatch, Refusal, edits_between

_log = structlog.get_logger()
_REFUSAL_CHARACTERS = 4000
_SUMMARY_CHARACTERS = 2000
_EDITS = 20


class RecipeGenerator:
    """Implements PatchGenerator without a model: the same request always gets the same answer."""

    name = "recipes"

    def __init__(self, recipes: Sequence[Recipe] = RECIPES) -> None:
        self._recipes = tuple(recipes)

    async def propose(self, request: PatchRequest, *, timeout_s: float) -> Proposal:
        """The first recipe's patch that applies; recipes in order, the file the telemetry names first.

        Raises:
            Unreachable: the time was used up.
        """
        try:
            async with asyncio.timeout(timeout_s):
                proposal = await asyncio.to_thread(self._propose, request)
        except TimeoutError as error:
            raise Unreachable(f"the recipes did not finish in {timeout_s} s") from error
        _log.info("recipe.tried", recipe=proposal.model, applied=proposal.patch is not None)
        return proposal

    def _propose(self, request: PatchRequest) -> Proposal:
        insight = request.opportunity.insight
        serving = [recipe for recipe in self._recipes if insight.insight_type in recipe.insight_types]
        reasons: list[str] = []
        for recipe in serving:
            for file in _ordered(request):
                outcome = recipe.apply(file.text, path=file.path, request=request)
                if isinstance(outcome, Refusal):
                    reasons.append(f"{recipe.name}: {file.path}: {outcome.reason}")
                    continue
                proposal = self._proposal(recipe, file, outcome)
                if proposal is not None:
                    return proposal
                reasons.append(f"{recipe.name}: {file.path}: the change needs too many edits")
        if not serving:
            reasons.append(f"no recipe serves {insight.insight_type.value}")
        elif not reasons:
            reasons.append("no file was shown")
        return Proposal(provider=self.name, patch=None, refusal="\n".join(reasons)[:_REFUSAL_CHARACTERS])

    def _proposal(self, recipe: Recipe, file: SourceFile, outcome: RecipePatch) -> Proposal | None:
        edits = edits_between(file.path, file.text, outcome.source)
        if not 0 < len(edits) <= _EDITS:
            return None
        patch = Patch(summary=outcome.summary[:_SUMMARY_CHARACTERS], edits=edits)
        try:
            exact = apply_edits({file.path: file.text}, patch) == {file.path: outcome.source}
        except EditError:
            exact = False
        return Proposal(provider=self.name, patch=patch, model=recipe.name, stop_reason="applied") if exact else None


def _ordered(request: PatchRequest) -> list[SourceFile]:
    location = request.opportunity.insight.location
    named = location.path if location is not None else None
    return sorted((file for file in request.files if file.path.endswith(".py")), key=lambda file: file.path != named)
