"""A list that is searched while it grows takes time that grows with its square; a set beside it answers at once."""

import re

import libcst as cst

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest, SourceFile
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, code_of, effect_of, functions_of, run_rule
from selfbuild.recipes.plan import PLAIN_TYPES, PlannedRule, is_answered, method_of, only_reads, walk
from selfbuild.recipes.shapes import is_repeatable

_HASHABLE = r"(?:str|int|bool|bytes|float)"
_LIST = re.compile(rf"[Ll]ist\[({_HASHABLE}|tuple\[{_HASHABLE}(?:, (?:{_HASHABLE}|\.\.\.))*\])\]")


class ListMembership:
    """`seen = []` gets `seen_index = set()` beside it, kept in step, and tests use the index.

    Of a local list, a list of the module, or one that `__init__` sets. Where the elements' type is not annotated, the
    index answers only while it holds as many entries as the list, and only for texts and numbers; else the list does.

    Refuses unless the list begins with literals, is used only by `append` of what may be read twice, membership tests
    and reads, is tested in a loop (a local one) or in a function for something that may be read twice, and no other
    shown file uses it. An annotated list must be tested for what is appended to it, so that its type is known.
    """

    name = "list_membership"
    insight_types = frozenset(
        {InsightType.PERFORMANCE_DEGRADATION, InsightType.OPTIMIZATION_OPPORTUNITY, InsightType.THROUGHPUT_DROP}
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        others = tuple(file for file in request.files if file.path != path)
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path), others),
            summary="Test membership on a set beside the list",
            nothing="no list is searched in a loop while it grows",
            effect=effect_of(request, "latency_down"),
            needles=(".append(",),
        )


class _Rule(PlannedRule):
    def __init__(self, functions: frozenset[str] | None, others: tuple[SourceFile, ...]) -> None:
        super().__init__(functions)
        self._others = others

    def plan(self, module: cst.Module) -> None:
        for assign in walk(module, cst.Assign, cst.AnnAssign):
            target = assign.target if isinstance(assign, cst.AnnAssign) else assign.targets[0].target
            several = isinstance(assign, cst.Assign) and len(assign.targets) > 1
            if several or not isinstance(target, cst.Name | cst.Attribute) or not _begins(assign.value):
                continue
            element = None
            if isinstance(assign, cst.AnnAssign):
                annotated = _LIST.fullmatch(code_of(assign.annotation.annotation))
                element = annotated.group(1) if annotated is not None else None
            self.attempt(assign, self._beside, module, assign, target, element)

    def _root(
        self, module: cst.Module, assign: cst.CSTNode, target: cst.Name | cst.Attribute
    ) -> tuple[cst.CSTNode | None, bool]:
        """Where the list can be used, and whether it lives on from call to call."""
        scope = self.scope(assign)
        if isinstance(target, cst.Name):
            return (module, True) if scope is None else (self.function(assign), False)
        current: cst.CSTNode | None = target
        while current is not None and not isinstance(current, cst.ClassDef):
            current = self.parent(current)
        kept = isinstance(scope, cst.FunctionDef) and scope.name.value == "__init__"
        return (current, True) if kept and code_of(target.value) == "self" else (None, True)

    def _beside(
        self,
        module: cst.Module,
        assign: cst.Assign | cst.AnnAssign,
        target: cst.Name | cst.Attribute,
        element: str | None,
    ) -> None:
        """`element`: the elements' type; None = not known."""
        root, lasting = self._root(module, assign, target)
        name = code_of(target)
        if root is None or (not lasting and not self.wanted(assign)):
            return
        found = [use for use in self._uses(root, target) if use is not target]
        appends: list[tuple[cst.CSTNode, cst.BaseExpression]] = []
        tests: list[cst.Comparison] = []
        for use in found:
            if not lasting and self.scope(use) is not root:
                raise RefusedError(f"{name} is used in an inner function")
            self._sort(use, appends, tests, lasting=lasting)
        tests = [each for each in tests if self.wanted(each)]
        self._require_searched(name, assign, [code_of(value) for _, value in appends], tests, element, lasting)
        if lasting:
            self._require_private(name.rpartition(".")[2])
        for _, value in appends:
            self._require_no_mapping(root, value, element)
        self._keep(assign, name, appends, tests, element)

    def _uses(self, root: cst.CSTNode, target: cst.Name | cst.Attribute) -> list[cst.CSTNode]:
        name = code_of(target)
        found: list[cst.CSTNode] = []
        for each in walk(root, cst.Name, cst.Attribute):
            parent = self.parent(each)
            attribute = isinstance(parent, cst.Attribute) and parent.attr is each
            keyword = isinstance(parent, cst.Arg) and parent.keyword is each
            if type(each) is type(target) and code_of(each) == name and not attribute and not keyword:
                found.append(each)
        return found

    def _sort(
        self,
        use: cst.CSTNode,
        appends: list[tuple[cst.CSTNode, cst.BaseExpression]],
        tests: list[cst.Comparison],
        *,
        lasting: bool,
    ) -> None:
        called = method_of(use, self.parent)
        parent = self.parent(use)
        if called is not None and called[0] == "append":
            call = called[1]
            if not isinstance(self.parent(call), cst.Expr) or len(call.args) != 1 or call.args[0].star:
                raise RefusedError(f"is appended to inside an expression on line {self.line(use)}")
            if not is_repeatable(call.args[0].value):
                raise RefusedError(f"is appended something computed on line {self.line(use)}")
            appends.append((self.statement(call), call.args[0].value))
        elif isinstance(parent, cst.ComparisonTarget) and isinstance(parent.operator, cst.In | cst.NotIn):
            comparison = self.parent(parent)
            if not isinstance(comparison, cst.Comparison) or len(comparison.comparisons) != 1:
                raise RefusedError(f"is searched in a chain of comparisons on line {self.line(use)}")
            around = self.parent(comparison)
            if isinstance(around, cst.IfExp) and f"== len({code_of(use)})" in code_of(around.test):
                raise RefusedError(f"has an index already on line {self.line(use)}")
            tests.append(comparison)
        elif not only_reads(self, use) and (lasting or not is_answered(self, use)):
            raise RefusedError(f"may change or be kept elsewhere on line {self.line(use)}")

    def _require_searched(
        self,
        name: str,
        assign: cst.CSTNode,
        appended: list[str],
        tests: list[cst.Comparison],
        element: str | None,
        lasting: bool,
    ) -> None:
        around = set(self.loops(assign))
        in_loop = any(set(self.loops(test)) - around for test in tests)
        if not tests or not appended or not (in_loop or (lasting and any(self.in_function(each) for each in tests))):
            raise RefusedError(f"{name}: no membership test in a loop")
        for test in tests:
            wanted = code_of(test.left)
            if not is_repeatable(test.left) or (element is not None and wanted not in appended):
                raise RefusedError(f"{name} is searched for {wanted[:40]}, which may not be hashable")

    def _require_no_mapping(self, root: cst.CSTNode, value: cst.BaseExpression, element: str | None) -> None:
        """A set of mappings cannot be: the index would never answer."""
        if element is None and isinstance(value, cst.Name):
            for each in walk(root, cst.Subscript, cst.Attribute):
                if isinstance(each.value, cst.Name) and each.value.value == value.value:
                    keyed = isinstance(each, cst.Attribute) and each.attr.value in ("get", "items", "keys")
                    if keyed or (isinstance(each, cst.Subscript) and "'" in code_of(each).replace('"', "'")):
                        raise RefusedError(f"{value.value} seems to be a mapping, which is not hashable")

    def _require_private(self, name: str) -> None:
        for other in self._others:
            if re.search(rf"\b{re.escape(name)}\b", other.text):
                raise RefusedError(f"{name} is also used in {other.path}")

    def _keep(
        self,
        assign: cst.Assign | cst.AnnAssign,
        name: str,
        appends: list[tuple[cst.CSTNode, cst.BaseExpression]],
        tests: list[cst.Comparison],
        element: str | None,
    ) -> None:
        owner, dot, last = name.rpartition(".")
        index = f"{owner}{dot}{self.fresh(f'{last}_index')}"
        kind = f": set[{element}]" if element is not None else _annotated(assign)
        self.after.setdefault(self.statement(assign), []).append(f"{index}{kind} = {_initial_set(assign.value)}\n")
        for statement, value in appends:
            text = code_of(value)
            added = f"{index}.add({text})\n"
            checked = f"if isinstance({text}, {PLAIN_TYPES}):\n    {added}"
            self.after.setdefault(statement, []).append(added if element is not None else checked)
        for test in tests:
            bare = test.with_changes(lpar=[], rpar=[])
            fast = bare.with_changes(comparisons=[bare.comparisons[0].with_changes(comparator=_read(index))])
            known = f"isinstance({code_of(bare.left)}, {PLAIN_TYPES}) and len({index}) == len({name})"
            text = code_of(fast) if element is not None else f"({code_of(fast)} if {known} else {code_of(bare)})"
            self.swap_expression(test, text)
        self.applied.append(name)


def _read(text: str) -> cst.BaseExpression:
    return cst.parse_expression(text)


def _annotated(assign: cst.Assign | cst.AnnAssign) -> str:
    return ": set[object]" if isinstance(assign, cst.AnnAssign) else ""


def _begins(value: cst.BaseExpression | None) -> bool:
    if isinstance(value, cst.Call):
        return code_of(value) == "list()"
    return isinstance(value, cst.List)


def _initial_set(value: cst.BaseExpression | None) -> str:
    if not isinstance(value, cst.List):
        return "set()"
    literals = (cst.SimpleString, cst.Integer, cst.Float)
    if not all(isinstance(item, cst.Element) and isinstance(item.value, literals) for item in value.elements):
        raise RefusedError("does not begin as a list of literals")
    values = [code_of(item.value) for item in value.elements]
    return f"{{{', '.join(values)}}}" if values else "set()"
