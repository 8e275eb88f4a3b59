"""The recipe generator: what it answers, and that its edits mean what the recipe did."""

import random

import pytest

from selfbuild.adapters.recipe_generator import RecipeGenerator
from selfbuild.domain.edits import apply_edits
from selfbuild.domain.errors import Unreachable
from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import Patch, SourceFile
from selfbuild.gate import guard
from selfbuild.recipes import RECIPES, edits_between
from tests.unit.recipes.requests import PATH, a_request
from tests.unit.recipes.test_errors import ACTIONS
from tests.unit.recipes.test_list_membership import TYPED as TOPICS


async def test_slow_membership_gets_a_patch_that_passes_the_guard() -> None:
    request = a_request(TOPICS)

    proposal = await RecipeGenerator().propose(request, timeout_s=30)

    assert proposal.provider == "recipes"
    assert proposal.model == "list_membership"
    assert proposal.patch is not None
    files = {PATH: request.files[0].text}
    result = guard(proposal.patch, files, shown=[PATH], target_symbols={}, regular_files=[PATH])
    assert result.accepted, result.checks


async def test_key_error_gets_the_default_of_the_policy() -> None:
    request = a_request(
        ACTIONS,
        insight_type=InsightType.ERROR_PATTERN,
        function="actions",
        error_type="KeyError",
        error_message="'owner'",
        defaults={"owner": "unassigned"},
    )

    proposal = await RecipeGenerator().propose(request, timeout_s=30)

    assert proposal.model == "missing_key"
    assert proposal.patch is not None
    assert '.get("owner", "unassigned")' in apply_edits({PATH: ACTIONS}, proposal.patch)[PATH]


async def test_without_a_place_the_shown_files_are_tried_in_order() -> None:
    files = (
        SourceFile(path="shop/plain.py", text="x = 1\n"),
        SourceFile(path="shop/one.py", text=TOPICS),
        SourceFile(path="shop/two.py", text=TOPICS),
    )

    proposal = await RecipeGenerator().propose(a_request(files=files), timeout_s=30)

    assert proposal.patch is not None
    assert {edit.path for edit in proposal.patch.edits} == {"shop/one.py"}


async def test_refusal_lists_the_reason_of_every_recipe() -> None:
    proposal = await RecipeGenerator().propose(a_request("x = 1\n"), timeout_s=30)

    assert proposal.patch is None
    assert proposal.refusal is not None
    tried = [line.partition(":")[0] for line in proposal.refusal.splitlines()]
    serving = [each.name for each in RECIPES if InsightType.PERFORMANCE_DEGRADATION in each.insight_types]
    assert tried == serving


async def test_same_request_gets_the_same_answer() -> None:
    request = a_request(TOPICS)

    first = await RecipeGenerator().propose(request, timeout_s=30)

    assert await RecipeGenerator().propose(request, timeout_s=30) == first


async def test_time_limit_is_worth_a_retry() -> None:
    with pytest.raises(Unreachable):
        await RecipeGenerator().propose(a_request(TOPICS), timeout_s=0)


@pytest.mark.parametrize("seed", range(60))
def test_edits_between_two_texts_lead_from_one_to_the_other(seed: int) -> None:
    chance = random.Random(seed)
    old = "".join(f"{chance.choice('abc')}\n" for _ in range(chance.randint(1, 40)))
    lines = old.splitlines(keepends=True)
    for _ in range(chance.randint(1, 5)):
        place = chance.randrange(len(lines) + 1)
        lines[place : place + chance.randint(0, 2)] = [f"{chance.choice('abcd')}\n"] * chance.randint(0, 3)
    new = "".join(lines)

    edits = edits_between(PATH, old, new)

    if old == new:
        assert edits == ()
    else:
        assert apply_edits({PATH: old}, Patch(summary="", edits=edits)) == {PATH: new}
