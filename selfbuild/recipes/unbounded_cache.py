"""A cache without a bound keeps every answer for ever; it gets a bound."""

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import ExpectedEffect, PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, Rule, functions_of, run_rule

CACHE_ENTRIES = 4096
"""Enough for a working set of users or pages, a few MB for values of a kilobyte."""


class UnboundedCache:
    """`@cache` and `@lru_cache(maxsize=None)` become `@lru_cache(maxsize=4096)`; `typed=` is kept.

    Refuses unless the decorator has exactly that meaning and the function has a parameter: without one the cache
    holds one entry.
    """

    name = "unbounded_cache"
    insight_types = frozenset({InsightType.RESOURCE_EXHAUSTION})

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path)),
            summary=f"Bound caches to {CACHE_ENTRIES} entries",
            nothing="no unbounded cache",
            effect=ExpectedEffect(component=request.opportunity.insight.component, kind="latency_down"),
            needles=("cache",),
        )


class _Rule(Rule):
    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        decorators = list(updated_node.decorators)
        for index, decorator in enumerate(original_node.decorators):
            if not self._is_unbounded(decorator.decorator) or not self.wanted(original_node):
                continue
            if not _has_parameter(original_node.params):
                self.refuse(original_node, "a function without parameters has one entry")
                continue
            self.need_import("functools", "lru_cache")
            self.applied.append(original_node.name.value)
            decorators[index] = decorators[index].with_changes(decorator=_bounded(decorator.decorator))
        return updated_node.with_changes(decorators=decorators)

    def _is_unbounded(self, decorator: cst.BaseExpression) -> bool:
        if not isinstance(decorator, cst.Call):
            return self.names(decorator) == {"functools.cache"}
        if self.names(decorator.func) != {"functools.lru_cache"}:
            return False
        sizes = [item.value for item in decorator.args if item.keyword is None or item.keyword.value == "maxsize"]
        return bool(sizes) and isinstance(sizes[0], cst.Name) and sizes[0].value == "None"


def _has_parameter(parameters: cst.Parameters) -> bool:
    plain = (*parameters.posonly_params, *parameters.params, *parameters.kwonly_params)
    return bool(plain) or isinstance(parameters.star_arg, cst.Param) or parameters.star_kwarg is not None


def _bounded(decorator: cst.BaseExpression) -> cst.BaseExpression:
    typed = [
        argument
        for argument in (decorator.args if isinstance(decorator, cst.Call) else ())
        if argument.keyword is not None and argument.keyword.value == "typed"
    ]
    words = [f"maxsize={CACHE_ENTRIES}", *(f"typed={cst.Module([]).code_for_node(item.value)}" for item in typed)]
    return cst.parse_expression(f"lru_cache({', '.join(words)})")
