"""A collection copied in every turn of a loop takes time that grows with its square; it grows in place."""

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, code_of, effect_of, functions_of, run_rule
from selfbuild.recipes.plan import PlannedRule, is_answered, only_reads, uses, walk

_LISTS = frozenset({"builtins.list", "builtins.sorted"})


class QuadraticCopy:
    """In a loop, `xs = xs + [y]` becomes `xs += [y]`, `d = {**d, k: v}` becomes `d.update({k: v})`.

    Also `s = s | {x}` becomes `s |= {x}`, and `xs = [*xs, y]` becomes `xs += [y]`.

    Refuses unless the name is local, begins as a literal of that kind outside the loop, and is otherwise only read,
    answered, or changed in the same way, so that no other name holds what would grow with it; what is added is a
    list, mapping or set for certain.
    """

    name = "quadratic_copy"
    insight_types = frozenset(
        {InsightType.PERFORMANCE_DEGRADATION, InsightType.OPTIMIZATION_OPPORTUNITY, InsightType.THROUGHPUT_DROP}
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path)),
            summary="Grow in place",
            nothing="no collection is copied in a loop",
            effect=effect_of(request, "latency_down"),
        )


class _Rule(PlannedRule):
    def plan(self, module: cst.Module) -> None:
        for assign in walk(module, cst.Assign):
            target = assign.targets[0].target
            if len(assign.targets) != 1 or not isinstance(target, cst.Name):
                continue
            if not self.in_function(assign) or not self.wanted(assign) or not self.loops(assign):
                continue
            grown = self._grown(target.value, assign.value)
            if grown is not None:
                self.attempt(assign, self._grow, assign, target, *grown)

    def _grown(self, name: str, value: cst.BaseExpression) -> tuple[str, str] | None:
        """(kind, what grows it), where the value is the name's own with something added."""
        if isinstance(value, cst.BinaryOperation) and code_of(value.left) == name:
            added = code_of(value.right)
            if isinstance(value.operator, cst.Add) and self._is_list(value.right):
                return "list", f"{name} += {added}"
            if isinstance(value.operator, cst.BitOr) and isinstance(value.right, cst.Set | cst.SetComp):
                return "set", f"{name} |= {added}"
        if isinstance(value, cst.List) and value.elements:
            first = value.elements[0]
            if isinstance(first, cst.StarredElement) and code_of(first.value) == name and len(value.elements) > 1:
                return "list", f"{name} += {code_of(value.with_changes(elements=value.elements[1:]))}"
        if isinstance(value, cst.Dict) and len(value.elements) > 1:
            head = value.elements[0]
            if isinstance(head, cst.StarredDictElement) and code_of(head.value) == name:
                return "dict", f"{name}.update({code_of(value.with_changes(elements=value.elements[1:]))})"
        return None

    def _is_list(self, node: cst.BaseExpression) -> bool:
        if isinstance(node, cst.Call):
            names = self.names(node.func)
            split = isinstance(node.func, cst.Attribute) and node.func.attr.value in ("split", "splitlines")
            return split or (bool(names) and names <= _LISTS)
        return isinstance(node, cst.List | cst.ListComp)

    def _grow(self, assign: cst.Assign, target: cst.Name, kind: str, text: str) -> None:
        name, function = target.value, self.function(assign)
        if function is None:
            raise RefusedError(f"{name} is no local name")
        begun = False
        for use in uses(function, name):
            if self.function(use) is not function:
                raise RefusedError(f"{name} is used in an inner function or is a parameter")
            if isinstance(self.parent(use), cst.AssignTarget | cst.AnnAssign):
                begun = self._begins(use, kind, assign) or begun
            elif not self._harmless(use, name, kind):
                raise RefusedError(f"{name} is kept elsewhere on line {self.line(use)}")
        if not begun:
            raise RefusedError(f"{name} does not begin as an empty {kind}")
        if len(uses(assign.value, name)) != 1:
            raise RefusedError(f"{name} is read in what is added to it")
        self.swaps[assign] = lambda _: _small(text)
        self.applied.append(f"{name} on line {self.line(assign)}")

    def _begins(self, use: cst.Name, kind: str, growth: cst.Assign) -> bool:
        """Whether the name is set to a fresh collection here; any other store than growth refuses."""
        parent = self.parent(use)
        store = parent if isinstance(parent, cst.AnnAssign) else self.parent(parent) if parent is not None else None
        if not isinstance(store, cst.Assign | cst.AnnAssign) or store.value is None:
            raise RefusedError(f"{use.value} is set on line {self.line(use)}")
        if isinstance(store, cst.Assign) and len(store.targets) > 1:
            raise RefusedError(f"{use.value} shares its value on line {self.line(use)}")
        if store is growth or self._grown(use.value, store.value) is not None:
            return False
        fresh = {"list": cst.List | cst.ListComp, "dict": cst.Dict | cst.DictComp, "set": cst.Set | cst.SetComp}[kind]
        if not isinstance(store.value, fresh) and code_of(store.value) != f"{kind}()":
            raise RefusedError(f"{use.value} is set on line {self.line(use)} to what may be no fresh {kind}")
        return True

    def _harmless(self, use: cst.Name, name: str, kind: str) -> bool:
        parent = self.parent(use)
        if isinstance(parent, cst.Return) or only_reads(self, use):
            loop_over = isinstance(parent, cst.For | cst.CompFor) and parent.iter is use
            return not loop_over or not any(self._stores(parent, name))
        store = self._assignment(use)
        if store is not None and self._grown(name, store.value) is not None:
            return True
        return is_answered(self, use)

    def _stores(self, loop: cst.CSTNode | None, name: str) -> list[bool]:
        return [] if loop is None else [code_of(each.target) == name for each in walk(loop, cst.AssignTarget)]

    def _assignment(self, use: cst.CSTNode) -> cst.Assign | None:
        current = self.parent(use)
        while current is not None and not isinstance(current, cst.BaseSmallStatement):
            current = self.parent(current)
        return current if isinstance(current, cst.Assign) else None


def _small(text: str) -> cst.CSTNode:
    line = cst.parse_statement(text)
    if not isinstance(line, cst.SimpleStatementLine):
        raise RefusedError("the growth is no plain statement")
    return line.body[0]
