"""A collection that only grows fills the memory; its oldest entries go where nobody needs them."""

from collections.abc import Iterable

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest, SourceFile
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, code_of, effect_of, functions_of, run_rule
from selfbuild.recipes.plan import PlannedRule, method_of, parameters, walk

CACHE_ENTRIES = 4096
"""Enough for a working set of users or pages, a few MB for values of a kilobyte."""
EVICTED = 1024
"""So many go at once, so that the cost of finding them is shared by as many stores."""
LIST_ENTRIES = 1000
"""Kept of a list that nobody reads, or of which only the latest entries are read."""
_LISTS = {"[]", "list()"}
_DICTS = {"{}", "dict()", "OrderedDict()", "collections.OrderedDict()"}


class UnboundedGrowth:
    """After `SEEN.append(x)` comes `del SEEN[:-1000]`; after `ANSWERS[key] = x` the oldest of 4, 096 entries go.

    Of module variables and attributes set in `__init__` that begin empty.

    Refuses unless the policy gives a limit, or a list is only appended to and at most its last entries are read, a
    number of them that the shown code tells, or a dict is a cache: one function looks the key up, computes what is
    missing, and stores it; and nothing else of the shown files uses the collection.
    """

    name = "unbounded_growth"
    insight_types = frozenset({InsightType.RESOURCE_EXHAUSTION})

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        others = tuple(file for file in request.files if file.path != path)
        limits = request.recipes.collection_limits
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path), others, limits),
            summary="Bound what grows",
            nothing="no collection that only grows",
            effect=effect_of(request, "growth_stopped"),
        )


class _Rule(PlannedRule):
    def __init__(self, functions: frozenset[str] | None, others: Iterable[SourceFile], limits: dict[str, int]) -> None:
        super().__init__(functions)
        self._others = tuple(others)
        self._limits = limits

    def plan(self, module: cst.Module) -> None:
        self._module = module
        for assign in walk(module, cst.Assign, cst.AnnAssign):
            target = assign.target if isinstance(assign, cst.AnnAssign) else assign.targets[0].target
            empty = code_of(assign.value) if assign.value is not None else ""
            if empty not in _LISTS | _DICTS or not self._lives_on(assign, target):
                continue
            found = [each for each in self._uses(module, target) if each is not target]
            grow = self._bound_list if empty in _LISTS else self._bound_dict
            if found:
                self.attempt(assign, grow, target, found)

    def _lives_on(self, assign: cst.CSTNode, target: cst.BaseExpression) -> bool:
        if isinstance(target, cst.Name):
            return self.scope(assign) is None and not target.value.startswith("__")
        function = self.function(assign)
        return function is not None and function.name.value == "__init__" and code_of(target).startswith("self.")

    def _uses(self, module: cst.Module, target: cst.BaseExpression) -> list[cst.BaseExpression]:
        name = code_of(target)
        kind = type(target)
        root: cst.CSTNode = module
        if isinstance(target, cst.Attribute):
            current: cst.CSTNode | None = target
            while current is not None and not isinstance(current, cst.ClassDef):
                current = self.parent(current)
            root = current or module
        return [
            each
            for each in walk(root, kind)
            if code_of(each) == name
            and not isinstance(self.parent(each), cst.Global | cst.NameItem)
            and not (isinstance(self.parent(each), cst.Attribute) and self.parent(each).attr is each)  # type: ignore[union-attr]
            and not (isinstance(self.parent(each), cst.Arg) and self.parent(each).keyword is each)  # type: ignore[union-attr]
        ]

    def _limit(self, target: cst.BaseExpression) -> int | None:
        return self._limits.get(code_of(target).removeprefix("self."))

    def _bound_list(self, target: cst.BaseExpression, found: list[cst.BaseExpression]) -> None:
        name, limit = code_of(target), self._limit(target)
        appends: list[cst.Call] = []
        for use in found:
            called = method_of(use, self.parent)
            if called is not None and called[0] == "append" and isinstance(self.parent(called[1]), cst.Expr):
                appends.append(called[1])
            elif self._shrinks(use):
                raise RefusedError(f"{name} is made smaller on line {self.line(use)}")
            elif limit is None and self._tail(use) is None:
                raise RefusedError(f"{name} is read on line {self.line(use)} and the policy gives no limit for it")
        if limit is None:
            self._require_private(target)
        appends = [each for each in appends if self.in_function(each) and self.wanted(each)]
        kept = limit or max([LIST_ENTRIES, *(self._tail(use) or 0 for use in found)])
        for call in appends:
            self.after.setdefault(self.statement(call), []).append(f"del {name}[:-{kept}]\n")
        if appends:
            self.applied.append(f"{name} to {kept} entries")

    def _shrinks(self, use: cst.BaseExpression) -> bool:
        called = method_of(use, self.parent)
        parent = self.parent(use)
        if called is not None:
            return called[0] in ("pop", "clear", "remove", "popitem", "popleft")
        if isinstance(parent, cst.AssignTarget | cst.AnnAssign):
            return True
        return isinstance(parent, cst.Subscript) and isinstance(self.parent(parent), cst.Del)

    def _tail(self, use: cst.BaseExpression) -> int | None:
        """How many of the latest entries are read: `x[-1]`, `x[-20:]`; None = more, or something else."""
        called = method_of(use, self.parent)
        if called is not None and called[0] == "append":
            return 0
        parent = self.parent(use)
        if not isinstance(parent, cst.Subscript) or parent.value is not use or len(parent.slice) != 1:
            return None
        part = parent.slice[0].slice
        text = code_of(part).replace(" ", "")
        lower = part.lower if isinstance(part, cst.Slice) and part.upper is None else None
        if isinstance(lower, cst.UnaryOperation) and isinstance(lower.expression, cst.Name):
            return self._most_asked(use, lower.expression.value)
        number = text.removeprefix("-").removesuffix(":")
        return int(number) if text.startswith("-") and number.isdigit() else None

    def _most_asked(self, use: cst.BaseExpression, name: str) -> int | None:
        """The largest number that the shown calls give for a parameter with a number as its default."""
        function = self.function(use)
        own = [each for each in parameters(function) if each.name.value == name] if function is not None else []
        if function is None or not own or not isinstance(own[0].default, cst.Integer):
            return None
        asked = [own[0].default.evaluated_value]
        trees = [self._module, *(cst.parse_module(each.text) for each in self._others)]
        for call in (each for tree in trees for each in walk(tree, cst.Call)):
            if code_of(call.func).rpartition(".")[2] == function.name.value:
                if not all(isinstance(each.value, cst.Integer) for each in call.args):
                    return None
                asked += [each.value.evaluated_value for each in call.args if isinstance(each.value, cst.Integer)]
        return max(asked)

    def _bound_dict(self, target: cst.BaseExpression, found: list[cst.BaseExpression]) -> None:
        name, limit = code_of(target), self._limit(target)
        stores = [use for use in found if self._is_store(use)]
        if not stores:
            return
        for use in found:
            if self._shrinks(use):
                raise RefusedError(f"{name} is made smaller on line {self.line(use)}")
        if limit is None:
            self._require_cache(target, found, stores)
            self._require_private(target)
        kept = limit or CACHE_ENTRIES
        for use in stores:
            if not self.in_function(use) or not self.wanted(use):
                continue
            stale = self.fresh("stale")
            gone = max(1, min(EVICTED, kept // 4))
            self.after.setdefault(self.statement(use), []).append(
                f"if len({name}) > {kept}:\n    for {stale} in list({name})[:{gone}]:\n"
                f"        {name}.pop({stale}, None)\n"
            )
            self.applied.append(f"{name} to {kept} entries")

    def _is_store(self, use: cst.BaseExpression) -> bool:
        parent = self.parent(use)
        return (
            isinstance(parent, cst.Subscript)
            and parent.value is use
            and isinstance(self.parent(parent), cst.AssignTarget)
        )

    def _require_cache(
        self, target: cst.BaseExpression, found: list[cst.BaseExpression], stores: list[cst.BaseExpression]
    ) -> None:
        name = code_of(target)
        functions = {self.function(use) for use in found}
        if len(functions) != 1 or None in functions:
            raise RefusedError(f"{name} is used in several places and the policy gives no limit for it")
        keys = {code_of(parent.slice[0]) for use in stores if isinstance(parent := self.parent(use), cst.Subscript)}
        looked_up = False
        for use in found:
            parent, called = self.parent(use), method_of(use, self.parent)
            if (
                isinstance(parent, cst.ComparisonTarget)
                or (called is not None and called[0] == "get")
                or self._handled_miss(use)
            ):
                looked_up = True
            elif not (isinstance(parent, cst.Subscript) and code_of(parent.slice[0]) in keys):
                raise RefusedError(f"{name} is no plain cache: see line {self.line(use)}")
        if not looked_up or len(keys) != 1 or not all(self._on_a_miss(use, name) for use in stores):
            raise RefusedError(f"{name} is no plain cache: nothing is looked up before it is stored")

    def _handled_miss(self, use: cst.BaseExpression) -> bool:
        """Whether the read stands in a `try` that handles the missing key."""
        current = self.parent(use)
        while current is not None and not isinstance(current, cst.FunctionDef):
            if isinstance(current, cst.Try) and not self._is_store(use):
                return any(each.type is not None and "KeyError" in code_of(each.type) for each in current.handlers)
            current = self.parent(current)
        return False

    def _on_a_miss(self, use: cst.BaseExpression, name: str) -> bool:
        """Whether the store runs only where the key was looked up and not found."""
        function = self.function(use)
        inner: cst.CSTNode = use
        current = self.parent(use)
        while current is not None and current is not function:
            if isinstance(current, cst.If) and inner is current.body:
                test = code_of(current.test)
                if f"not in {name}" in test or test.endswith("is None") or test.startswith("not "):
                    return True
            if (
                isinstance(current, cst.ExceptHandler)
                and current.type is not None
                and "KeyError" in code_of(current.type)
            ):
                return True
            inner, current = current, self.parent(current)
        return function is not None and any(_answers_a_hit(each, name) for each in walk(function.body, cst.If))

    def _require_private(self, target: cst.BaseExpression) -> None:
        bare = code_of(target).removeprefix("self.")
        for other in self._others:
            tree = cst.parse_module(other.text)
            if any(each.value == bare for each in walk(tree, cst.Name)):
                raise RefusedError(f"{bare} is also used in {other.path} and the policy gives no limit for it")


def _answers_a_hit(node: cst.If, name: str) -> bool:
    test = code_of(node.test)
    hit = (f" in {name}" in test and "not in" not in test) or test.endswith("is not None")
    return hit and bool(walk(node.body, cst.Return))
