"""All recipes, and which of them an insight asks for first."""

from collections.abc import Sequence

from selfbuild.domain.insights import Insight, InsightType
from selfbuild.recipes.base import Recipe
from selfbuild.recipes.batch_calls import BatchCalls
from selfbuild.recipes.blocking_in_async import BlockingInAsync
from selfbuild.recipes.bounded_retry import BoundedRetry
from selfbuild.recipes.client_per_call import ClientPerCall
from selfbuild.recipes.file_leak import FileLeak
from selfbuild.recipes.front_removal import FrontRemoval
from selfbuild.recipes.hoist_regex import HoistRegex
from selfbuild.recipes.list_membership import ListMembership
from selfbuild.recipes.loop_invariant import LoopInvariant
from selfbuild.recipes.memoise import Memoise
from selfbuild.recipes.missing_key import MissingKey
from selfbuild.recipes.missing_timeout import MissingTimeout
from selfbuild.recipes.missing_value import MissingValue
from selfbuild.recipes.mutable_default import MutableDefault
from selfbuild.recipes.nested_join import NestedJoin
from selfbuild.recipes.quadratic_copy import QuadraticCopy
from selfbuild.recipes.searched_list import SearchedList
from selfbuild.recipes.ttl_memoise import TtlMemoise
from selfbuild.recipes.unbounded_cache import UnboundedCache
from selfbuild.recipes.unbounded_growth import UnboundedGrowth

RECIPES: tuple[Recipe, ...] = (
    MissingKey(),
    MissingValue(),
    BoundedRetry(),
    BatchCalls(),
    TtlMemoise(),
    BlockingInAsync(),
    ListMembership(),
    NestedJoin(),
    QuadraticCopy(),
    FrontRemoval(),
    LoopInvariant(),
    SearchedList(),
    MissingTimeout(),
    ClientPerCall(),
    UnboundedCache(),
    UnboundedGrowth(),
    MutableDefault(),
    FileLeak(),
    HoistRegex(),
    Memoise(),
)
"""What the policy asks for by name, then what costs a request most, the surest causes first."""

_GROWTH = ("mutable_default", "unbounded_growth", "unbounded_cache", "file_leak", "client_per_call")
_HANDLES = ("file_leak", "client_per_call", "missing_timeout")
_CALLS = ("batch_calls", "ttl_memoise", "memoise", "client_per_call", "loop_invariant")
_HANDLE_WORDS = ("fd", "descriptor", "handle", "open_file", "openfile", "socket", "connection", "pool", "thread")
_MEMORY_WORDS = ("memory", "rss", "heap", "bytes", "objects")


def ordered_recipes(insight: Insight, recipes: Sequence[Recipe] = RECIPES) -> list[Recipe]:
    """The recipes that serve the insight's type, those first that its kind and metric speak for.

    Growth over time points at what is never given back, a handle metric at what is never closed, more calls a request
    at what could be asked once. The rest follows in the order of `recipes`.
    """
    first = _favoured(insight)
    serving = [recipe for recipe in recipes if insight.insight_type in recipe.insight_types]
    return sorted(serving, key=lambda recipe: first.index(recipe.name) if recipe.name in first else len(first))


def _favoured(insight: Insight) -> tuple[str, ...]:
    metric = (insight.metric_name or "").casefold()
    if any(word in metric for word in _HANDLE_WORDS):
        return _HANDLES
    if insight.kind in ("calls", "cache"):
        return _CALLS
    grows = insight.kind in ("creep", "exhaustion") or any(word in metric for word in _MEMORY_WORDS)
    if grows or insight.insight_type is InsightType.RESOURCE_EXHAUSTION:
        return _GROWTH
    if insight.insight_type is InsightType.THROUGHPUT_DROP:
        return ("blocking_in_async", "missing_timeout")
    return ()
