"""The offline generator: answers with the first recipe's patch that applies, or every refusal."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from selfbuild.domain.edits import EditError, apply_edits
from selfbuild.domain.errors import Unreachable
from selfbuild.domain.patches import Patch, PatchRequest, Proposal, SourceFile
from selfbuild.recipes import (
    RECIPES,
    Recipe,
    RecipePatch,
    Refusal,
    edits_between,
    ordered_recipes,
    reachable,
    unclaimed,
)

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
        """The first recipe's patch that applies and was not tried before.

        Recipes in the order the insight asks for, the file the telemetry names first. Where no function is named, the
        functions that serve the component are looked at first, then those that no other component is known to use.

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
        serving = ordered_recipes(insight, self._recipes)
        reasons: list[str] = []
        for scoped in _scopes(request):
            for recipe in serving:
                for file in _ordered(scoped):
                    proposal = self._applied(recipe, file, scoped)
                    if isinstance(proposal, Proposal):
                        return proposal
                    reasons.append(f"{recipe.name}: {file.path}: {proposal}")
        if not serving:
            reasons.append(f"no recipe serves {insight.insight_type.value}")
        elif not reasons:
            reasons.append("no file was shown")
        refusal = "\n".join(dict.fromkeys(reasons))[:_REFUSAL_CHARACTERS]
        return Proposal(provider=self.name, patch=None, refusal=refusal)

    def _applied(self, recipe: Recipe, file: SourceFile, request: PatchRequest) -> Proposal | str:
        """The recipe's answer for one file, or why there is none."""
        outcome = recipe.apply(file.text, path=file.path, request=request)
        if isinstance(outcome, Refusal):
            return outcome.reason
        proposal = self._proposal(recipe, file, outcome)
        if proposal is None or proposal.patch is None:
            return "the change needs too many edits"
        return "the patch was tried before" if proposal.patch.fingerprint in request.tried else proposal

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


def _scopes(request: PatchRequest) -> list[PatchRequest]:
    """The request once for each set of functions to look at, narrowest first."""
    insight = request.opportunity.insight
    if request.target_symbols or (insight.location is not None and insight.location.function is not None):
        return [request]
    texts = {file.path: file.text for file in request.files if file.path.endswith(".py")}
    own = reachable(texts, insight.component)
    if own is None:
        return [request]
    wider = unclaimed(texts, insight.component)
    return [_within(request, own), _within(request, wider)]


def _within(request: PatchRequest, functions: Mapping[str, frozenset[str]]) -> PatchRequest:
    symbols = {file.path: tuple(sorted(functions.get(file.path, ()))) for file in request.files}
    return request.model_copy(update={"target_symbols": symbols})
