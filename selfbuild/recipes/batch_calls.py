"""One call for each thing of a list becomes one call for all, where the policy names the call for many."""

import libcst as cst

from selfbuild.domain.applications import BatchCall
from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, code_of, effect_of, functions_of, run_rule
from selfbuild.recipes.plan import PlannedRule, method_of, uses, walk
from selfbuild.recipes.shapes import is_plain_read


class BatchCalls:
    """`[get_user(i) for i in ids]` asks `get_users(ids)` once, before the loop.

    Refuses unless the policy maps the call to one for many, the call has one argument that depends on nothing but
    the loop's variable, the loop goes over a plain name or a call, and the loop does not change what it goes over.
    What is asked for under a condition is asked for all: the policy says that asking changes nothing.
    """

    name = "batch_calls"
    insight_types = frozenset(
        {
            InsightType.PERFORMANCE_DEGRADATION,
            InsightType.OPTIMIZATION_OPPORTUNITY,
            InsightType.THROUGHPUT_DROP,
            InsightType.RESOURCE_EXHAUSTION,
        }
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        calls = request.recipes.batch_calls
        kind = "calls_down" if request.opportunity.insight.kind == "calls" else "latency_down"
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path), calls),
            summary="Ask for all at once",
            nothing="no call for a single thing in a loop that the policy has one for many for",
            effect=effect_of(request, kind),
            needles=("for ",),
        )


class _Rule(PlannedRule):
    def __init__(self, functions: frozenset[str] | None, calls: dict[str, BatchCall]) -> None:
        super().__init__(functions)
        self._calls = calls

    def plan(self, module: cst.Module) -> None:
        self._planned: set[cst.CSTNode] = set()
        for call in walk(module, cst.Call):
            single = _last(call.func)
            if not self.wanted(call) or (not self.in_function(call) and not self.loops(call)):
                continue
            batch = self._calls.get(single)
            if batch is None:
                if self._looks_single(call, single) and self.loops(call):
                    self.refuse(call, f"the policy names no call for many in place of {single}, called in a loop")
                continue
            if self.loops(call):
                self.attempt(call, self._batch, call, single, batch)

    def _looks_single(self, call: cst.Call, single: str) -> bool:
        return len(call.args) == 1 and single.startswith(("get_", "fetch_", "load_", "find_", "lookup_"))

    def _batch(self, call: cst.Call, single: str, batch: BatchCall) -> None:
        loop = self.loops(call)[0]
        asynchronous = isinstance(self.parent(call), cst.Await)
        for_ = loop if isinstance(loop, cst.For) else getattr(loop, "for_in", None)
        if not isinstance(for_, cst.For | cst.CompFor) or not isinstance(for_.target, cst.Name | cst.Tuple):
            raise RefusedError(f"{single} is called in a loop that goes over nothing that can be read before")
        if (isinstance(for_, cst.CompFor) and for_.inner_for_in is not None) or for_.asynchronous is not None:
            raise RefusedError(f"{single} is called in a loop within a loop")
        if loop in self._planned:
            raise RefusedError(f"{single} is called more than once in a loop")
        if len(call.args) != 1 or call.args[0].star or call.args[0].keyword is not None:
            raise RefusedError(f"{single} is called with more than an id")
        self._require_independent(call, loop, for_)
        statement = self.statement(loop)
        if isinstance(loop, cst.BaseComp) and not self.straight(loop, statement):
            raise RefusedError(f"{single} is called in a part of the statement that may not run")
        many = self._many(call, batch)
        self._planned.add(loop)
        self._rewrite(call, for_, statement, many, batch, asynchronous)
        self.applied.append(f"{single} on line {self.line(call)}")

    def _require_independent(self, call: cst.Call, loop: cst.CSTNode, for_: cst.For | cst.CompFor) -> None:
        key = call.args[0].value
        targets = {each.value for each in walk(for_.target, cst.Name)}
        if not is_plain_read(key) or not any(uses(key, each) for each in targets):
            raise RefusedError(f"{code_of(key)[:40]} is no plain read of the loop's variable")
        if isinstance(loop, cst.For):
            body = code_of(loop.body)
            for name in targets:
                for use in uses(loop.body, name):
                    called = method_of(use, self.parent)
                    stored = isinstance(self.parent(use), cst.AssignTarget | cst.AugAssign)
                    if stored or (called is not None and called[0] in ("pop", "update", "clear", "setdefault")):
                        raise RefusedError(f"{name} changes in the loop on line {self.line(use)}")
            if f"{code_of(key)} =" in body and f"{code_of(key)} ==" not in body:
                raise RefusedError(f"{code_of(key)} changes in the loop")
        if isinstance(call.func, cst.Attribute) and not is_plain_read(call.func.value):
            raise RefusedError("the object asked is computed anew for each call")

    def _many(self, call: cst.Call, batch: BatchCall) -> str:
        if isinstance(call.func, cst.Attribute):
            return f"{code_of(call.func.value)}.{batch.many}"
        names = self.names(call.func)
        module = min(names, default="").rpartition(".")[0]
        if module and len(names) == 1 and batch.many not in self.taken and not module.startswith("builtins"):
            self.need_import(module, batch.many)
        elif batch.many not in self.taken:
            raise RefusedError(f"{batch.many} is not in this file")
        return batch.many

    def _rewrite(
        self,
        call: cst.Call,
        for_: cst.For | cst.CompFor,
        statement: cst.CSTNode,
        many: str,
        batch: BatchCall,
        asynchronous: bool,
    ) -> None:
        key, target = code_of(call.args[0].value), code_of(for_.target).strip("()")
        over = code_of(for_.iter)
        every, found, ids = self.fresh("every"), self.fresh("found"), self.fresh("ids")
        asked = f"{'await ' if asynchronous else ''}{many}({ids})"
        answer = asked if batch.answers == "mapping" else f"dict(zip({ids}, {asked}, strict=True))"
        wanted = f"[{key} for {target} in {every}]"
        self.before.setdefault(statement, []).append(
            f"{every} = list({over})\n{ids} = list(dict.fromkeys({wanted}))\n{found} = {answer} if {ids} else {{}}\n"
        )
        self.swaps[for_.iter] = lambda _: cst.Name(every)
        replaced = self.parent(call) if asynchronous else call
        if replaced is not None:
            self.swaps[replaced] = lambda _: cst.parse_expression(f"{found}[{key}]")


def _last(function: cst.BaseExpression) -> str:
    if isinstance(function, cst.Attribute):
        return function.attr.value
    return function.value if isinstance(function, cst.Name) else ""
