"""Recipes on real Python that nobody wrote for them: the standard library and installed packages."""

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes import RECIPES, Recipe, RecipePatch, Refusal, edits_between
from tests.unit.recipes.requests import PATH, a_request

FOLDERS = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")]
LARGEST_BYTES = 16_000


def sample(every: int, count: int) -> list[Path]:
    """`count` files, spread over both folders."""
    found: list[Path] = []
    for folder in FOLDERS:
        paths = [p for p in sorted(folder.rglob("*.py")) if 500 < p.stat().st_size < LARGEST_BYTES]
        found += [path for path in paths if "site-packages" in str(folder) or "site-packages" not in str(path)][::every]
    return found[:: max(1, len(found) // count)][:count]


def requests_for(recipe: Recipe, tree: ast.Module) -> Iterator[PatchRequest]:
    """Everywhere, and for recipes that need a place: the first functions and the first key that is read."""
    functions = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)][:6]
    if recipe.name == "memoise":
        yield a_request(targets={PATH: tuple(functions)})
    elif recipe.name == "missing_key":
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value:
                key = str(node.slice.value)
                yield a_request(
                    insight_type=InsightType.ERROR_PATTERN,
                    line=node.lineno,
                    error_type="KeyError",
                    error_message=repr(key),
                    defaults={key: "x"},
                )
                return
    else:
        yield a_request()


def applied(path: Path) -> int:
    """How many recipes changed the file; fails where one breaks it."""
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return 0
    count = 0
    for recipe in RECIPES:
        for request in requests_for(recipe, tree):
            outcome = recipe.apply(source, path=PATH, request=request)
            if isinstance(outcome, Refusal):
                continue
            count += 1
            compile(outcome.source, str(path), "exec", dont_inherit=True)
            assert outcome.source != source, (recipe.name, path)
            assert edits_between(PATH, source, outcome.source), (recipe.name, path)
            again = recipe.apply(outcome.source, path=PATH, request=request)
            assert not isinstance(again, RecipePatch), (recipe.name, path)
    return count


@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 15))])
def test_recipes_never_break_a_file(part: int) -> None:
    paths = sample(25, 60)

    assert len(paths) == 60
    assert sum(applied(path) for path in paths[part::15]) >= 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_recipes_never_break_any_of_many_files() -> None:
    assert sum(applied(path) for path in sample(4, 600)) > 20
