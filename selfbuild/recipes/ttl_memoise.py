"""Answers that may be a little old are kept for as long as the policy allows."""

import re

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, code_of, effect_of, functions_of, run_rule
from selfbuild.recipes.plan import PlannedRule, parameters, walk

CACHE_ENTRIES = 1024
_UNHASHABLE = re.compile(r"\b([Ll]ist|[Dd]ict|[Ss]et|bytearray|Mutable\w+)\b")


class TtlMemoise:
    """The body of `price(sku)` moves to a cached function that is asked with the number of the current period too.

    Refuses unless the policy gives the function's allowed staleness, it is an undecorated function of the module, no
    coroutine and no generator, and no parameter is annotated as something that cannot be hashed or collects arguments.
    An answer is kept for at most the staleness; an exception never is.
    """

    name = "ttl_memoise"
    insight_types = frozenset(
        {InsightType.PERFORMANCE_DEGRADATION, InsightType.OPTIMIZATION_OPPORTUNITY, InsightType.THROUGHPUT_DROP}
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        staleness_s = request.recipes.staleness_s
        if not staleness_s:
            return Refusal(reason="the policy allows no function old answers")
        kind = "calls_down" if request.opportunity.insight.kind == "calls" else "latency_down"
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path), staleness_s),
            summary="Keep answers for a while",
            nothing="no function whose answers may be old",
            effect=effect_of(request, kind),
            needles=tuple(f"def {name}" for name in staleness_s),
        )


class _Rule(PlannedRule):
    def __init__(self, functions: frozenset[str] | None, staleness_s: dict[str, float]) -> None:
        super().__init__(functions)
        self._staleness_s = staleness_s

    def plan(self, module: cst.Module) -> None:
        for function in module.body:
            if isinstance(function, cst.FunctionDef) and self.wanted(function):
                age_s = self._staleness_s.get(function.name.value)
                if age_s is not None:
                    self.attempt(function, self._keep, function, age_s)

    def _keep(self, function: cst.FunctionDef, age_s: float) -> None:
        if function.asynchronous is not None or walk(function.body, cst.Yield):
            raise RefusedError("a coroutine or a generator")
        if function.decorators:
            raise RefusedError("decorated already")
        every = list(parameters(function))
        stars = function.params.star_kwarg is not None or isinstance(function.params.star_arg, cst.Param)
        if stars or any(each.annotation and _UNHASHABLE.search(code_of(each.annotation.annotation)) for each in every):
            raise RefusedError("its arguments cannot be hashed")
        name = function.name.value
        if any("time.monotonic" in code_of(each) for each in walk(function.body, cst.Call)):
            raise RefusedError("keeps the time already")
        self.need_import("functools", "lru_cache")
        self.need_import("time")
        self._move(function, self.fresh(f"_{name.lstrip('_')}_in_period"), [each.name.value for each in every], age_s)
        self.applied.append(f"{name} for {age_s:g} s")

    def _move(self, function: cst.FunctionDef, inner: str, names: list[str], age_s: float) -> None:
        period = cst.Param(cst.Name(self.fresh("period")), annotation=_plain_int(function))
        bare = [each.with_changes(default=None, equal=cst.MaybeSentinel.DEFAULT) for each in parameters(function)]
        spaced = [
            each.with_changes(comma=cst.Comma(whitespace_after=cst.SimpleWhitespace(" ")))
            for each in [period, *bare][:-1]
        ]
        last = [period, *bare][-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        cached = cst.Decorator(cst.parse_expression(f"lru_cache(maxsize={CACHE_ENTRIES}, typed=True)"))
        call = f"return {inner}({', '.join([f'int(time.monotonic() // {float(age_s)})', *names])})\n"

        def swap(node: cst.CSTNode) -> cst.CSTNode:
            if not isinstance(node, cst.FunctionDef):
                return node
            block = cst.IndentedBlock([cst.parse_statement(call)])
            moved = node.with_changes(
                name=cst.Name(inner), params=cst.Parameters(params=[*spaced, last]), decorators=[cached]
            )
            kept = node.with_changes(body=block, leading_lines=[cst.EmptyLine(indent=False)] * 2)
            return cst.FlattenSentinel([moved, kept])  # type: ignore[return-value]

        self.swaps[function] = swap


def _plain_int(function: cst.FunctionDef) -> cst.Annotation | None:
    return cst.Annotation(cst.Name("int")) if function.returns is not None else None
