"""Taking from the front of a list moves all the rest of it; a deque does not."""

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, code_of, effect_of, functions_of, run_rule, words
from selfbuild.recipes.plan import PlannedRule, is_truth_test, method_of, uses, walk

_METHODS = words("append extend clear remove count")
_LISTS = frozenset({"builtins.list", "builtins.sorted"})


class FrontRemoval:
    """`queue = [start]` with `queue.pop(0)` becomes `queue = deque([start])` with `queue.popleft()`.

    Refuses unless the list is local, begins as a list for certain, is taken from the front in a loop, and is used
    only in ways that lists and deques share: `append`, `extend`, `pop()`, `len`, truth, membership, iteration,
    `x[0]`, `x[-1]`. A handler of IndexError may see another message.
    """

    name = "front_removal"
    insight_types = frozenset(
        {InsightType.PERFORMANCE_DEGRADATION, InsightType.OPTIMIZATION_OPPORTUNITY, InsightType.THROUGHPUT_DROP}
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path)),
            summary="Take from the front of a deque",
            nothing="nothing is taken from the front of a list in a loop",
            effect=effect_of(request, "latency_down"),
            needles=(".pop(0)", ".insert(0"),
        )


class _Rule(PlannedRule):
    def plan(self, module: cst.Module) -> None:
        for assign in walk(module, cst.Assign, cst.AnnAssign):
            target = assign.target if isinstance(assign, cst.AnnAssign) else assign.targets[0].target
            several = isinstance(assign, cst.Assign) and len(assign.targets) > 1
            function = self.function(assign)
            if several or function is None or not isinstance(target, cst.Name) or not self.wanted(assign):
                continue
            if isinstance(assign.value, cst.BaseExpression):
                self.attempt(assign, self._replace, assign, target, assign.value, function)

    def _replace(
        self,
        assign: cst.Assign | cst.AnnAssign,
        target: cst.Name,
        value: cst.BaseExpression,
        function: cst.FunctionDef,
    ) -> None:
        found = [use for use in uses(function, target.value) if use is not target]
        fronts = [each for each in (self._front(use) for use in found) if each is not None]
        if not any(self.loops(each) for each in fronts):
            return
        if not isinstance(value, cst.List | cst.ListComp) and not self._is_list(value):
            raise RefusedError(f"{target.value} does not begin as a list")
        for use in found:
            if self.function(use) is not function:
                raise RefusedError(f"{target.value} is used in an inner function or is a parameter")
            if self._front(use) is None and not self._shared(use):
                raise RefusedError(f"{target.value} is used as a list only is, on line {self.line(use)}")
        self.need_import("collections", "deque")
        self.swap_expression(value, f"deque({code_of(value) if code_of(value) != '[]' else ''})")
        if isinstance(assign, cst.AnnAssign):
            self._annotate(assign)
        for call in fronts:
            self._take(call)
        self.applied.append(target.value)

    def _annotate(self, assign: cst.AnnAssign) -> None:
        annotation = assign.annotation.annotation
        head = annotation.value if isinstance(annotation, cst.Subscript) else annotation
        if not isinstance(head, cst.Name) or head.value not in ("list", "List"):
            raise RefusedError("is annotated as something else than a list")
        self.swaps[head] = lambda _: cst.Name("deque")

    def _is_list(self, value: cst.BaseExpression) -> bool:
        if not isinstance(value, cst.Call):
            return False
        names = self.names(value.func)
        split = isinstance(value.func, cst.Attribute) and value.func.attr.value in ("split", "splitlines")
        return split or (bool(names) and names <= _LISTS)

    def _front(self, use: cst.Name) -> cst.Call | None:
        called = method_of(use, self.parent)
        if called is None:
            return None
        method, call = called
        first = code_of(call.args[0].value) if call.args else ""
        taken = method == "pop" and first == "0" and len(call.args) == 1
        put = method == "insert" and first == "0" and len(call.args) == 2 and isinstance(self.parent(call), cst.Expr)
        return call if taken or put else None

    def _take(self, call: cst.Call) -> None:
        if not isinstance(call.func, cst.Attribute):
            return
        owner = code_of(call.func.value)
        if call.func.attr.value == "pop":
            self.swap_expression(call, f"{owner}.popleft()")
        else:
            self.swap_expression(call, f"{owner}.appendleft({code_of(call.args[1].value)})")

    def _shared(self, use: cst.Name) -> bool:
        called = method_of(use, self.parent)
        parent = self.parent(use)
        if called is not None:
            return called[0] in _METHODS or (called[0] == "pop" and not called[1].args)
        if isinstance(parent, cst.Subscript) and parent.value is use:
            return code_of(parent.slice[0]).strip() in ("0", "-1") and not isinstance(
                self.parent(parent), cst.AssignTarget | cst.AugAssign | cst.Del
            )
        if isinstance(parent, cst.Arg):
            call = self.parent(parent)
            names = self.names(call.func) if isinstance(call, cst.Call) else frozenset()
            return bool(names) and names <= {f"builtins.{each}" for each in words("len list sorted sum any all bool")}
        if isinstance(parent, cst.For | cst.CompFor):
            return parent.iter is use and len(uses(parent, use.value)) == 1
        if isinstance(parent, cst.ComparisonTarget):
            return isinstance(parent.operator, cst.In | cst.NotIn)
        return is_truth_test(self, use)
