"""What holds for all recipes: what they refuse, what they declare, which comes first, where they look."""

import pytest

from selfbuild.adapters.recipe_generator import RecipeGenerator
from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import SourceFile
from selfbuild.recipes import RECIPES, Recipe, ordered_recipes, reachable, unclaimed
from tests.unit.recipes.checks import refused
from tests.unit.recipes.requests import a_key_error, a_request

EFFECTS = {"errors_gone", "latency_down", "growth_stopped", "calls_down"}
SLOW = InsightType.PERFORMANCE_DEGRADATION
GROWING = InsightType.RESOURCE_EXHAUSTION


@pytest.mark.parametrize(
    "source",
    [
        "def f(:\n",
        "\x00",
        "(" * 3000,
        "x = " + "1 + " * 5000 + "1\n",
        "x = " + "-" * 3000 + "1\n",
        "x = 1\n" * 60_000,
        "",
    ],
    ids=["syntax", "nul", "deep", "sum", "signs", "large", "empty"],
)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_unreadable_source_is_refused(recipe: Recipe, source: str) -> None:
    request = a_key_error(function="f") if recipe.name == "missing_key" else a_request(source[:100], function="f")

    assert refused(recipe.name, source, request)


def test_every_recipe_says_what_it_needs_and_serves_an_insight() -> None:
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES) >= 15
    for recipe in RECIPES:
        assert recipe.insight_types
        assert "Refuses unless" in (type(recipe).__doc__ or ""), recipe.name


@pytest.mark.parametrize(
    ("insight_type", "kind", "metric", "first"),
    [
        (InsightType.ERROR_PATTERN, "errors", None, "missing_key"),
        (GROWING, "creep", "MemoryBytes", "mutable_default"),
        (GROWING, "exhaustion", "OpenFileDescriptors", "file_leak"),
        (InsightType.OPTIMIZATION_OPPORTUNITY, "calls", "Calls", "batch_calls"),
        (InsightType.THROUGHPUT_DROP, "level_shift", "Requests", "blocking_in_async"),
    ],
    ids=["error", "memory", "files", "calls", "throughput"],
)
def test_insight_decides_which_recipe_is_tried_first(
    insight_type: InsightType, kind: str, metric: str | None, first: str
) -> None:
    insight = a_request(insight_type=insight_type, kind=kind, metric=metric).opportunity.insight

    recipes = ordered_recipes(insight)

    assert recipes[0].name == first
    assert all(insight_type in recipe.insight_types for recipe in recipes)


QUADRATIC = """
def {name}(rows):
    seen = []
    for row in rows:
        if row not in seen:
            seen.append(row)
    return seen
"""
SERVICE = """
from shop.text import distinct_topics, distinct_tags

def list_topics(body):
    return {"topics": distinct_topics(body["words"])}

def list_tags(body):
    return {"tags": distinct_tags(body["words"])}

def unused(x):
    return x
"""
ROUTES = {
    "decorator": (
        '@app.post("/topics")\n'
        "def a(body):\n"
        "    return distinct_topics(body)\n"
        '@app.post("/tags")\n'
        "def b(body):\n"
        "    return distinct_tags(body)\n"
    ),
    "table": (
        "def a(body):\n"
        "    return distinct_topics(body)\n"
        "def b(body):\n"
        "    return distinct_tags(body)\n"
        'ROUTES = {"/topics": a, "/tags": b}\n'
    ),
    "route": (
        "def a(body):\n"
        "    return distinct_topics(body)\n"
        "def b(body):\n"
        "    return distinct_tags(body)\n"
        'routes = [Route("/topics", a), Route("/tags", b)]\n'
    ),
    "branch": (
        "class H:\n"
        "    def do_POST(self):\n"
        '        if self.path == "/topics":\n'
        "            return self.a()\n"
        '        elif self.path == "/tags":\n'
        "            return self.b()\n"
        "    def a(self):\n"
        "        return distinct_topics(self.body)\n"
        "    def b(self):\n"
        "        return distinct_tags(self.body)\n"
    ),
    "names": SERVICE,
}
TEXT = QUADRATIC.format(name="distinct_tags") + QUADRATIC.format(name="distinct_topics")


@pytest.mark.parametrize("service", ROUTES.values(), ids=ROUTES.keys())
async def test_only_code_of_the_component_is_changed(service: str) -> None:
    files = (SourceFile(path="shop/app.py", text=service), SourceFile(path="shop/text.py", text=TEXT))

    proposal = await RecipeGenerator().propose(a_request(files=files, component="topics"), timeout_s=60)

    assert proposal.model == "list_membership"
    assert proposal.patch is not None
    changed = TEXT
    for edit in proposal.patch.edits:
        changed = changed.replace(edit.search, edit.replace)
    assert changed.startswith(QUADRATIC.format(name="distinct_tags"))


def test_functions_of_a_component_are_followed_through_calls_and_classes() -> None:
    text = """
class Index:
    def __init__(self, rows):
        self.rows = prepared(rows)
    def find(self, key):
        return lookup(self.rows, key)
def prepared(rows): return rows
def lookup(rows, key): return rows
def other(): return 1
def search(request): return Index(request).find(1)
def report(request): return other()
ROUTES = {"search": search, "report": report}
"""

    assert reachable({"a.py": text}, "search") == {
        "a.py": frozenset({"search", "__init__", "find", "prepared", "lookup"})
    }
    assert "other" not in unclaimed({"a.py": text}, "search")["a.py"]
    assert reachable({"a.py": text}, "nothing like it") is None


async def test_patch_that_was_tried_gives_way_to_the_next_recipe() -> None:
    source = (
        QUADRATIC.format(name="topics") + "\n\nimport requests\n\n\ndef topics_of(u):\n    return requests.get(u)\n"
    )
    first = await RecipeGenerator().propose(a_request(source, component="topics"), timeout_s=60)
    assert first.patch is not None

    again = a_request(source, component="topics", tried=(first.patch.fingerprint,))
    second = await RecipeGenerator().propose(again, timeout_s=60)

    assert (first.model, second.model) == ("list_membership", "missing_timeout")
