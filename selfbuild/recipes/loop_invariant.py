"""The same answer computed in every turn of a loop is computed once, before the loop."""

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, code_of, effect_of, functions_of, run_rule, words
from selfbuild.recipes.memoise import require_pure
from selfbuild.recipes.plan import (
    PlannedRule,
    method_of,
    nodes,
    only_reads,
    parameters,
    stored_targets,
    unchanged_constants,
    uses,
    walk,
)
from selfbuild.recipes.shapes import root_name

_IMPORTED = ("json", "loads")
_WORTH = frozenset(f"builtins.{name}" for name in words("sorted set frozenset sum list tuple dict max min")) | {
    "json.loads"
}
_MAY_FAIL = ("max", "min")
_DEEP = ("loads",)
"""What makes mappings within mappings: all of them must only be read."""
_PURE = _WORTH | frozenset(
    f"builtins.{name}" for name in words("len str int float abs round bool enumerate zip range reversed any all")
)
_TEXT = words("strip lower upper casefold split startswith endswith items keys values get join replace title count")
_ITERATORS = ("map(", "filter(", "zip(", "iter(", "reversed(", "enumerate(", "open(")
Repeated = cst.Call | cst.BaseComp


class LoopInvariant:
    """`for x in xs: ... sorted(ys) ...` sorts `ys` once, before the loop.

    Of `sorted`, `set`, `sum`, `list`, `dict`, `tuple`, `json.loads` and comprehensions of sets, lists and mappings.

    Refuses unless everything read is a local name set before the loop or a constant of the module, and is only read in
    the loop; nothing is called but harmless builtins, pure functions of the module and reading methods of texts and
    mappings; what comes out is only read; and where it reads parts of elements, the loop stores into no part of
    anything that was there before it. `max` and `min` stay, for they may fail where the loop has no turn. An iterator
    as an argument, which would be empty from the second turn on, is not looked for beyond this file.
    """

    name = "loop_invariant"
    insight_types = frozenset(
        {InsightType.PERFORMANCE_DEGRADATION, InsightType.OPTIMIZATION_OPPORTUNITY, InsightType.THROUGHPUT_DROP}
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path)),
            summary="Compute once before the loop",
            nothing="no loop computes the same in every turn",
            effect=effect_of(request, "latency_down"),
            needles=("for ", "while "),
        )


class _Rule(PlannedRule):
    constant: frozenset[str]
    pure: frozenset[str] = frozenset()

    def plan(self, module: cst.Module) -> None:
        self._module = module
        self.constant = unchanged_constants(self, module)
        self._hoisted: dict[tuple[cst.CSTNode, str], str] = {}
        self._done: set[cst.CSTNode] = set()
        for node in nodes(module):
            if not isinstance(node, cst.Call | cst.SetComp | cst.ListComp | cst.DictComp) or self._kind(node) is None:
                continue
            if not self.in_function(node) or not self.wanted(node):
                continue
            loops = [loop for loop in self.loops(node) if loop is not node]
            if loops and not self._is_nested(node):
                self.attempt(node, self._hoist, node, loops)

    def _kind(self, node: cst.CSTNode) -> str | None:
        if isinstance(node, cst.Call):
            names = self.names(node.func)
            return code_of(node.func).rpartition(".")[2] if len(names) == 1 and names <= _WORTH and node.args else None
        kinds = {cst.SetComp: "set", cst.ListComp: "list", cst.DictComp: "dict"}
        return kinds.get(type(node))

    def _is_nested(self, node: cst.CSTNode) -> bool:
        """Whether it is part of something larger that is computed once already."""
        current = self.parent(node)
        while isinstance(current, cst.BaseExpression | cst.Arg):
            if current in self._done:
                return True
            current = self.parent(current)
        return False

    def _hoist(self, node: Repeated, loops: list[cst.CSTNode]) -> None:
        kind = self._kind(node) or ""
        read = self._read(node)
        if kind in _MAY_FAIL:
            raise RefusedError(f"{kind} may fail where the loop has no turn")
        outermost: cst.CSTNode | None = None
        for loop in loops:
            if not all(self._unchanged(loop, node, name) for name in read):
                break
            outermost = loop
        if outermost is None:
            raise RefusedError(f"{', '.join(sorted(read))} may change in the loop")
        if kind in _DEEP or walk(node, cst.Subscript, cst.Attribute) or self._calls_own(node):
            self._require_elements_kept(node, outermost)
        for name in sorted(read):
            self._require_container(node, name)
        self._require_read_only(node, kind)
        statement = self.statement(outermost)
        if isinstance(outermost, cst.BaseComp) and not self.straight(outermost, statement):
            raise RefusedError(f"{kind} stands in a part of the statement that may not run")
        self._name(node, statement, kind, read)

    def _name(self, node: Repeated, statement: cst.CSTNode, kind: str, read: set[str]) -> None:
        text = code_of(node.with_changes(lpar=[], rpar=[]))
        key = (statement, text)
        if key not in self._hoisted:
            self._hoisted[key] = self.fresh(f"{min(read).strip('_').lower()}_{kind}")
            self.before.setdefault(statement, []).append(f"{self._hoisted[key]} = {text}\n")
        self._done.add(node)
        self.swap_expression(node, self._hoisted[key])
        self.applied.append(f"{kind} on line {self.line(node)}")

    def _read(self, node: Repeated) -> set[str]:
        """The names the expression reads from around it."""
        own = {name.value for each in walk(node, cst.CompFor) for name in walk(each.target, cst.Name)}
        own |= {each.name.value for each in walk(node, cst.Param)}
        if walk(node, cst.Await, cst.Yield, cst.NamedExpr):
            raise RefusedError("waits or assigns")
        for call in walk(node, cst.Call):
            names = self.names(call.func)
            method = isinstance(call.func, cst.Attribute) and call.func.attr.value in _TEXT
            callee = self.own.get(min(names)) if len(names) == 1 else None
            if callee is not None and callee.asynchronous is None and not callee.decorators:
                require_pure(self, callee, names)
            elif not method and not (names and names <= _PURE):
                raise RefusedError(f"calls {code_of(call.func)[:40]}, which may do more than compute")
        found: set[str] = set()
        for each in walk(node, cst.Name):
            name = each.value
            if name in own or name in found or not uses(node, name) or name in ("True", "False", "None"):
                continue
            known = self.names(each)
            if (known and all(one.startswith("builtins.") for one in known)) or name in self.own or name in _IMPORTED:
                continue
            if not self._is_local(node, name) and name not in self.constant:
                raise RefusedError(f"reads {name}, which may change at any time")
            found.add(name)
        if not found:
            raise RefusedError("reads nothing by name")
        return found

    def _is_local(self, node: cst.CSTNode, name: str) -> bool:
        function = self.function(node)
        if function is None:
            return False
        stored = {each.value for target in stored_targets(function.body) for each in walk(target, cst.Name)}
        return name in stored or any(each.name.value == name for each in parameters(function))

    def _unchanged(self, loop: cst.CSTNode, node: cst.CSTNode, name: str) -> bool:
        inside = {id(use) for use in uses(node, name)}
        targets = {each.value for target in stored_targets(loop) for each in walk(target, cst.Name) if _is_bare(target)}
        return name not in targets and all(only_reads(self, use) for use in uses(loop, name) if id(use) not in inside)

    def _require_elements_kept(self, node: cst.CSTNode, loop: cst.CSTNode) -> None:
        function = self.function(node)
        fresh = {
            code_of(each.targets[0].target)
            for each in (walk(function.body, cst.Assign) if function is not None else [])
            if code_of(each.value) in ("{}", "[]", "dict()", "list()") or code_of(each.value).startswith("defaultdict(")
        }
        for target in stored_targets(loop):
            if isinstance(target, cst.Subscript | cst.Attribute) and root_name(target) not in fresh:
                raise RefusedError(f"the loop stores into {code_of(target)[:40]}")

    def _reads_deep(self, use: cst.CSTNode) -> bool:
        """Whether what is taken out of it is only read, too."""
        current: cst.CSTNode | None = use
        while current is not None:
            parent, called = self.parent(current), method_of(current, self.parent)
            if called is not None and called[0] == "get":
                current = called[1]
            elif isinstance(parent, cst.Subscript) and parent.value is current:
                current = parent
            else:
                return not isinstance(parent, cst.AssignTarget) and (
                    only_reads(self, current) or isinstance(parent, cst.BinaryOperation | cst.Assign)
                )
        return False

    def _calls_own(self, node: cst.CSTNode) -> bool:
        return any(isinstance(each.func, cst.Name) and each.func.value in self.own for each in walk(node, cst.Call))

    def _require_container(self, node: cst.CSTNode, name: str) -> None:
        function = self.function(node)
        if function is None or name in self.constant:
            return
        for assign in walk(function.body, cst.Assign, cst.AnnAssign):
            targets = [assign.target] if isinstance(assign, cst.AnnAssign) else [each.target for each in assign.targets]
            if any(isinstance(each, cst.Name) and each.value == name for each in targets):
                text = code_of(assign.value) if assign.value is not None else ""
                if text.startswith(_ITERATORS) or isinstance(assign.value, cst.GeneratorExp):
                    raise RefusedError(f"{name} may be an iterator, empty after the first turn")
        self._require_argument(function, name)

    def _require_argument(self, function: cst.FunctionDef, name: str) -> None:
        own = next((each for each in parameters(function) if each.name.value == name), None)
        if own is None:
            return
        annotation = code_of(own.annotation.annotation) if own.annotation is not None else ""
        lazy = annotation.startswith(("Iterator", "Iterable", "Generator"))
        for call in walk(self._module, cst.Call):
            if code_of(call.func).rpartition(".")[2] == function.name.value:
                values = [argument.value for argument in call.args]
                lazy = lazy or any(isinstance(each, cst.GeneratorExp) for each in values)
                lazy = lazy or any(code_of(each).startswith(_ITERATORS) for each in values)
        if lazy:
            raise RefusedError(f"{name} may be an iterator, empty after the first turn")

    def _require_read_only(self, node: Repeated, kind: str) -> None:
        parent = self.parent(node)
        target = parent.targets[0].target if isinstance(parent, cst.Assign) and len(parent.targets) == 1 else None
        if isinstance(target, cst.Name):
            function = self.function(node)
            found = uses(function, target.value) if function is not None else []
            deep = kind not in _DEEP or all(self._reads_deep(use) for use in found if use is not target)
            if not deep or not all(use is target or only_reads(self, use) for use in found):
                raise RefusedError(f"{target.value} may change after it was computed")
            return
        if kind not in ("sum", "tuple", "frozenset") and not only_reads(self, node):
            raise RefusedError(f"what {kind} answers may be changed or kept")


def _is_bare(target: cst.BaseExpression) -> bool:
    return isinstance(target, cst.Name | cst.Tuple | cst.List)
