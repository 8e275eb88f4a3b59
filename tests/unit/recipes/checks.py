"""What every recipe's tests ask: applied once, understood by the guard, and the same behaviour where it is promised."""

import copy
from collections.abc import Callable, Sequence
from textwrap import dedent
from typing import Any

from selfbuild.domain.patches import Patch, PatchRequest
from selfbuild.gate import guard
from selfbuild.recipes import RECIPES, RecipePatch, Refusal, edits_between
from tests.unit.recipes.requests import PATH, a_request

BY_NAME = {recipe.name: recipe for recipe in RECIPES}


def outcome_of(name: str, source: str, request: PatchRequest | None = None) -> RecipePatch | Refusal:
    return BY_NAME[name].apply(dedent(source), path=PATH, request=request or a_request(source))


def patched(name: str, source: str, request: PatchRequest | None = None) -> str:
    """The changed source: it compiles, the recipe refuses it, and the guard lets the patch pass."""
    source = dedent(source)
    outcome = outcome_of(name, source, request)
    assert isinstance(outcome, RecipePatch), outcome
    compile(outcome.source, PATH, "exec", dont_inherit=True)
    again = outcome_of(name, outcome.source, request)
    assert isinstance(again, Refusal), f"applied twice:\n{again.source}"
    patch = Patch(summary=outcome.summary, edits=edits_between(PATH, source, outcome.source))
    seen = guard(patch, {PATH: source}, shown=[PATH], target_symbols={}, regular_files=[PATH])
    assert seen.accepted, (seen.message, [check.findings for check in seen.checks if check.findings], outcome.source)
    return outcome.source


def refused(name: str, source: str, request: PatchRequest | None = None) -> str:
    """Why the recipe refuses the source."""
    outcome = outcome_of(name, source, request)
    assert isinstance(outcome, Refusal), f"{outcome.summary}\n{outcome.source}"
    return outcome.reason


def answers(source: str, calls: Sequence[str]) -> list[object]:
    """What the expressions answer one after the other, or the type of what they raise."""
    space: dict[str, Any] = {}
    exec(compile(dedent(source), PATH, "exec", dont_inherit=True), space)
    found: list[object] = []
    for call in calls:
        try:
            found.append(copy.deepcopy(eval(call, space)))
        except (ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError) as error:
            found.append(type(error))
    return found


def same_answers(name: str, source: str, calls: Sequence[str], request: PatchRequest | None = None) -> str:
    """The changed source, which answers every call as the source does."""
    changed = patched(name, source, request)
    before = answers(source, calls)

    assert answers(changed, calls) == before, changed
    return changed


def counting(calls: list[str], name: str) -> Callable[..., None]:
    """A function that notes that it was called."""
    return lambda *_, **__: calls.append(name)
