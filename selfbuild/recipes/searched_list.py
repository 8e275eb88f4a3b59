"""A list that stays as it is and is searched in every turn of a loop is made a set once, before the loop."""

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, code_of, effect_of, functions_of, run_rule
from selfbuild.recipes.plan import PLAIN_TYPES, PlannedRule, only_reads, stored_targets, uses, walk
from selfbuild.recipes.shapes import is_repeatable


class SearchedList:
    """`for x in xs: if x in ys` searches `ys_index`, which is a set where `ys` is a list of texts and numbers.

    `ys.count(x)` reads a `Counter` in the same way.

    Refuses unless `ys` is a plain name, or an attribute that the class sets in `__init__` alone, only read in the
    loop, set before it, and a parameter, a local name made as a list or by a call, or a variable of the module that
    nothing in the file changes; what is searched for may be read twice. Where `ys` is anything else than a list or
    tuple of texts and numbers, it is searched itself, as before.
    """

    name = "searched_list"
    insight_types = frozenset(
        {InsightType.PERFORMANCE_DEGRADATION, InsightType.OPTIMIZATION_OPPORTUNITY, InsightType.THROUGHPUT_DROP}
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path)),
            summary="Search a set in place of a list",
            nothing="no list that stays the same is searched in a loop",
            effect=effect_of(request, "latency_down"),
            needles=(" in ",),
        )


class _Rule(PlannedRule):
    def plan(self, module: cst.Module) -> None:
        self._indexes: dict[tuple[cst.CSTNode, str], str] = {}
        for test in walk(module, cst.Comparison):
            target = test.comparisons[0]
            searched = target.comparator
            if len(test.comparisons) != 1 or not isinstance(target.operator, cst.In | cst.NotIn):
                continue
            named = isinstance(searched, cst.Name) or code_of(searched).startswith("self.")
            if named and self.loops(test) and self.in_function(test) and self.wanted(test):
                self.attempt(test, self._search, module, test, searched)
        for call in walk(module, cst.Call):
            counts = isinstance(call.func, cst.Attribute) and call.func.attr.value == "count" and len(call.args) == 1
            if counts and self.loops(call) and self.in_function(call) and self.wanted(call):
                self.attempt(call, self._count, module, call)

    def _search(self, module: cst.Module, test: cst.Comparison, searched: cst.BaseExpression) -> None:
        name = code_of(searched)
        if not is_repeatable(test.left) or not walk(test.left, cst.Name):
            raise RefusedError(f"{name} is searched for something that may not be read twice")
        function = self.function(test)
        if function is None:
            raise RefusedError("the test stands in no function")
        outermost = self._outermost(test, name)
        if name.endswith("_index") and f" = set({name[:-6]}) if" in code_of(module):
            raise RefusedError(f"{name} is an index already")
        if isinstance(searched, cst.Name):
            self._require_list(module, function, name)
        else:
            self._require_attribute(test, name)
        statement = self.statement(outermost)
        if isinstance(outermost, cst.BaseComp) and not self.straight(outermost, statement):
            raise RefusedError("the loop stands in a part of the statement that may not run")
        self._make(test, statement, name)

    def _count(self, module: cst.Module, call: cst.Call) -> None:
        """`xs.count(x)` reads a Counter of `xs`, made before the loop."""
        searched = call.func.value if isinstance(call.func, cst.Attribute) else call.func
        counted, function = call.args[0].value, self.function(call)
        if function is None or not isinstance(searched, cst.Name) or not is_repeatable(counted):
            raise RefusedError("what is counted may not be read twice")
        if not walk(counted, cst.Name):
            return
        name = searched.value
        around = self.parent(call)
        if isinstance(around, cst.IfExp) and around.orelse is call and "is not None" in code_of(around.test):
            raise RefusedError(f"{name} is counted already")
        outermost = self._outermost(call, name)
        self._require_list(module, function, name)
        statement = self.statement(outermost)
        if isinstance(outermost, cst.BaseComp) and not self.straight(outermost, statement):
            raise RefusedError("the loop stands in a part of the statement that may not run")
        key = (statement, f"{name}.count")
        if key not in self._indexes:
            index, entry = self.fresh(f"{name}_counts"), self.fresh("entry")
            self._indexes[key] = index
            plain = f"all(isinstance({entry}, {PLAIN_TYPES}) for {entry} in {name})"
            self.before.setdefault(statement, []).append(
                f"{index} = Counter({name}) if isinstance({name}, (list, tuple)) and {plain} else None\n"
            )
            self.need_import("collections", "Counter")
        index, text = self._indexes[key], code_of(counted)
        known = f"{index} is not None and isinstance({text}, {PLAIN_TYPES})"
        self.swap_expression(call, f"({index}[{text}] if {known} else {code_of(call)})")
        self.applied.append(f"{name} on line {self.line(call)}")

    def _require_attribute(self, test: cst.CSTNode, name: str) -> None:
        """An attribute that `__init__` sets, and that nothing in the class changes."""
        owner: cst.CSTNode | None = test
        while owner is not None and not isinstance(owner, cst.ClassDef):
            owner = self.parent(owner)
        if owner is None or name.count(".") != 1:
            raise RefusedError(f"{name} is no attribute of the class")
        for each in walk(owner, cst.Attribute):
            if code_of(each) != name:
                continue
            store = isinstance(self.parent(each), cst.AssignTarget | cst.AnnAssign)
            function = self.function(each)
            if store and function is not None and function.name.value == "__init__":
                continue
            if store or not only_reads(self, each):
                raise RefusedError(f"{name} may change on line {self.line(each)}")

    def _outermost(self, test: cst.CSTNode, name: str) -> cst.CSTNode:
        outermost: cst.CSTNode | None = None
        for loop in self.loops(test):
            stored = any(each.value == name for target in stored_targets(loop) for each in walk(target, cst.Name))
            if stored or not all(only_reads(self, use) for use in _reads_of(loop, name)):
                break
            outermost = loop
        if outermost is None:
            raise RefusedError(f"{name} may change in the loop")
        return outermost

    def _require_list(self, module: cst.Module, function: cst.FunctionDef, name: str) -> None:
        params = [each.annotation for each in walk(function.params, cst.Param) if each.name.value == name]
        values: list[cst.BaseExpression | None] = [
            each.value
            for each in walk(function.body, cst.Assign)
            if any(isinstance(part.target, cst.Name) and part.target.value == name for part in each.targets)
        ]
        values += [
            each.value
            for each in walk(function.body, cst.AnnAssign)
            if isinstance(each.target, cst.Name) and each.target.value == name
        ]
        if params:
            annotation = code_of(params[0].annotation).casefold() if params[0] is not None else "list"
            if not annotation.startswith(("list", "sequence", "iterable", "collection", "tuple")):
                raise RefusedError(f"{name} is no list")
        elif not values:
            values = self._module_values(module, name)
        if not params and not values:
            raise RefusedError(f"{name} is not known to be a list")
        no_list = (cst.Set, cst.Dict, cst.SetComp, cst.DictComp, cst.SimpleString, cst.FormattedString, cst.Tuple)
        for value in values:
            made = min(self.names(value.func), default="") if isinstance(value, cst.Call) else ""
            if isinstance(value, no_list) or made in _NO_LISTS or self._is_short(value):
                raise RefusedError(f"{name} is no list, or a short one")

    def _is_short(self, value: cst.BaseExpression | None) -> bool:
        """Whether a set would not be faster; an empty one grows, where the file says nothing else."""
        return isinstance(value, cst.List) and 0 < len(value.elements) < 8

    def _module_values(self, module: cst.Module, name: str) -> list[cst.BaseExpression | None]:
        """The value of a variable of the module that nothing changes."""
        shared = [each for each in uses(module, name) if not isinstance(self.parent(each), cst.AssignTarget)]
        if not all(only_reads(self, each) for each in shared):
            raise RefusedError(f"{name} may change elsewhere in the file")
        found: list[cst.BaseExpression | None] = []
        for statement in module.body:
            for part in statement.body if isinstance(statement, cst.SimpleStatementLine) else ():
                if isinstance(part, cst.Assign) and code_of(part.targets[0].target) == name:
                    found.append(part.value)
        return found

    def _make(self, test: cst.Comparison, statement: cst.CSTNode, name: str) -> None:
        key = (statement, name)
        if key not in self._indexes:
            index, entry = self.fresh(f"{name.rpartition('.')[2]}_index"), self.fresh("entry")
            self._indexes[key] = index
            plain = f"all(isinstance({entry}, {PLAIN_TYPES}) for {entry} in {name})"
            self.before.setdefault(statement, []).append(
                f"{index} = set({name}) if isinstance({name}, (list, tuple)) and {plain} else {name}\n"
            )
        index = self._indexes[key]
        bare = test.with_changes(lpar=[], rpar=[])
        searched = f"({index} if isinstance({code_of(bare.left)}, {PLAIN_TYPES}) else {name})"
        fast = bare.with_changes(
            comparisons=[bare.comparisons[0].with_changes(comparator=cst.parse_expression(searched))]
        )
        self.swap_expression(test, code_of(fast))
        self.applied.append(f"{name} on line {self.line(test)}")


def _reads_of(root: cst.CSTNode, name: str) -> list[cst.CSTNode]:
    if "." not in name:
        return list(uses(root, name))
    return [each for each in walk(root, cst.Attribute) if code_of(each) == name]


_NO_LISTS = frozenset(
    f"builtins.{name}" for name in ("set", "frozenset", "dict", "str", "range", "open", "map", "filter", "iter", "zip")
)
