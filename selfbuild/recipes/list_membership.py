"""A list searched in a loop takes time that grows with its square; a set beside it answers at once."""

import re

import libcst as cst
from libcst.metadata import ExpressionContext, ExpressionContextProvider

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import ExpectedEffect, PatchRequest
from selfbuild.recipes.base import (
    RecipePatch,
    Refusal,
    RefusedError,
    Rule,
    all_names,
    code_of,
    fresh_name,
    functions_of,
    run_rule,
    words,
)

_HASHABLE = r"(?:str|int|bool|bytes|float)"
_LIST = re.compile(rf"[Ll]ist\[({_HASHABLE}|tuple\[{_HASHABLE}(?:, (?:{_HASHABLE}|\.\.\.))*\])\]")
_READERS = words("all any enumerate frozenset len list max min reversed set sorted sum tuple")
"""Builtins that read a list and keep no hold of it."""
_SCOPES = (cst.FunctionDef, cst.Lambda, cst.ClassDef)


class ListMembership:
    """`seen: list[str] = []` gets `seen_index: set[str] = set()` beside it, kept in step, and tests use the index.

    Refuses unless the list is local, annotated with hashable elements, initialised once with literals, used only by
    `append` of a plain name or literal, membership tests, iteration, indexing, return and harmless builtins, and
    tested inside a loop for something that is appended to it too (so that it is of the annotated type).
    """

    name = "list_membership"
    insight_types = frozenset(
        {InsightType.PERFORMANCE_DEGRADATION, InsightType.OPTIMIZATION_OPPORTUNITY, InsightType.THROUGHPUT_DROP}
    )

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path)),
            summary="Test membership on a set beside the list",
            nothing="no annotated local list is searched in a loop",
            effect=ExpectedEffect(component=request.opportunity.insight.component, kind="latency_down"),
            needles=(".append(",),
        )


class _Uses(cst.CSTVisitor):
    """Collects the nodes of one function that carry one name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.found: list[cst.Name] = []
        self._name = name

    def visit_Name(self, node: cst.Name) -> None:
        if node.value == self._name:
            self.found.append(node)

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        node.value.visit(self)
        return False

    def visit_Arg(self, node: cst.Arg) -> bool:
        node.value.visit(self)
        return False


class _Rule(Rule):
    def __init__(self, functions: frozenset[str] | None) -> None:
        super().__init__(functions)
        self._taken: set[str] = set()
        self._beside: dict[cst.SimpleStatementLine, str] = {}
        """Statement -> the line that goes behind it."""
        self._tests: dict[cst.Name, str] = {}
        """The list's name in a membership test -> the index's name."""

    def visit_Module(self, node: cst.Module) -> None:
        self._taken = all_names(node)

    def visit_AnnAssign(self, node: cst.AnnAssign) -> None:
        functions = self.enclosing_functions(node)
        if not functions or not isinstance(node.target, cst.Name) or not self.wanted(node):
            return
        element = _LIST.fullmatch(code_of(node.annotation.annotation))
        if element is None or isinstance(self._scope(node), cst.ClassDef):
            return
        try:
            self._plan(node, node.target, functions[0], element.group(1))
        except RefusedError as refused:
            self.refuse(node, f"{node.target.value}: {refused}")

    def _scope(self, node: cst.CSTNode) -> cst.CSTNode | None:
        current = self.parent(node)
        while current is not None and not isinstance(current, _SCOPES):
            current = self.parent(current)
        return current

    def _plan(self, node: cst.AnnAssign, target: cst.Name, function: cst.FunctionDef, element: str) -> None:
        collected = _Uses(target.value)
        function.visit(collected)
        appends: dict[cst.SimpleStatementLine, str] = {}
        tests: list[cst.Name] = []
        for use in collected.found:
            if use is target:
                continue
            if self._scope(use) is not function:
                raise RefusedError("is used in an inner function")
            appended = self._append(use)
            if appended is not None:
                appends[appended[0]] = appended[1]
            elif self._is_test(use):
                tests.append(use)
            elif not self._only_reads(use):
                raise RefusedError(f"may change or be kept elsewhere on line {self.line(use)}")
        self._require_searched(tests, node, set(appends.values()))
        index = fresh_name(f"{target.value}_index", self._taken)
        self._taken.add(index)
        self._beside[self._statement(node)] = f"{index}: set[{element}] = {_initial_set(node.value)}\n"
        self._beside |= {statement: f"{index}.add({value})\n" for statement, value in appends.items()}
        self._tests |= dict.fromkeys(tests, index)
        self.applied.append(target.value)

    def _require_searched(self, tests: list[cst.Name], node: cst.AnnAssign, appended: set[str]) -> None:
        loops = self._loops(node)
        if not any(self._loops(test) - loops for test in tests):
            raise RefusedError("no membership test in a loop")
        for test in tests:
            comparison = self.parent(self._parent_of(test))
            wanted = code_of(comparison.left) if isinstance(comparison, cst.Comparison) else ""
            if wanted not in appended:
                raise RefusedError(f"is searched for {wanted[:40]}, which may not be hashable")

    def _parent_of(self, node: cst.CSTNode) -> cst.CSTNode:
        parent = self.parent(node)
        if parent is None:
            raise RefusedError("has no surrounding code")
        return parent

    def _statement(self, node: cst.CSTNode) -> cst.SimpleStatementLine:
        statement = self.parent(node)
        if not isinstance(statement, cst.SimpleStatementLine) or len(statement.body) != 1:
            raise RefusedError(f"shares line {self.line(node)} with another statement")
        if not isinstance(self.parent(statement), cst.IndentedBlock):
            raise RefusedError(f"shares line {self.line(node)} with another statement")
        return statement

    def _loops(self, node: cst.CSTNode) -> set[cst.CSTNode]:
        loops: set[cst.CSTNode] = set()
        current = self.parent(node)
        while current is not None and not isinstance(current, _SCOPES):
            if isinstance(current, cst.For | cst.While | cst.BaseComp):
                loops.add(current)
            current = self.parent(current)
        return loops

    def _append(self, use: cst.Name) -> tuple[cst.SimpleStatementLine, str] | None:
        attribute = self.parent(use)
        if not isinstance(attribute, cst.Attribute) or attribute.attr.value != "append":
            return None
        call = self.parent(attribute)
        expression = self.parent(call) if call is not None else None
        if not isinstance(call, cst.Call) or not isinstance(expression, cst.Expr) or len(call.args) != 1:
            raise RefusedError(f"is appended to inside an expression on line {self.line(use)}")
        value = call.args[0]
        if value.star or value.keyword or not isinstance(value.value, cst.Name | cst.SimpleString | cst.Integer):
            raise RefusedError(f"is appended something computed on line {self.line(use)}")
        return self._statement(expression), code_of(value.value)

    def _is_test(self, use: cst.Name) -> bool:
        target = self.parent(use)
        if not isinstance(target, cst.ComparisonTarget) or not isinstance(target.operator, cst.In | cst.NotIn):
            return False
        comparison = self.parent(target)
        return isinstance(comparison, cst.Comparison) and len(comparison.comparisons) == 1

    def _only_reads(self, use: cst.Name) -> bool:
        if self.get_metadata(ExpressionContextProvider, use, None) is not ExpressionContext.LOAD:
            return False
        parent = self.parent(use)
        if isinstance(parent, cst.Return):
            return True
        if isinstance(parent, cst.For | cst.CompFor):
            return parent.iter is use
        if isinstance(parent, cst.Subscript):
            return self.get_metadata(ExpressionContextProvider, parent, None) is ExpressionContext.LOAD
        call = self.parent(parent) if isinstance(parent, cst.Arg) else None
        return isinstance(call, cst.Call) and _is_reader(self.names(call.func), call.func)

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        index = self._tests.get(original_node)
        return updated_node if index is None else updated_node.with_changes(value=index)

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> "cst.BaseStatement | cst.FlattenSentinel[cst.BaseStatement]":
        line = self._beside.get(original_node)
        if line is None:
            return updated_node
        return cst.FlattenSentinel([updated_node, cst.parse_statement(line)])


def _is_reader(names: frozenset[str], function: cst.BaseExpression) -> bool:
    if names and names <= {f"builtins.{name}" for name in _READERS}:
        return True
    return (
        isinstance(function, cst.Attribute)
        and function.attr.value == "join"
        and isinstance(function.value, cst.SimpleString)
    )


def _initial_set(value: cst.BaseExpression | None) -> str:
    if not isinstance(value, cst.List):
        raise RefusedError("does not begin as a list of literals")
    literals = (cst.SimpleString, cst.Integer, cst.Float)
    if not all(isinstance(item, cst.Element) and isinstance(item.value, literals) for item in value.elements):
        raise RefusedError("does not begin as a list of literals")
    values = [code_of(item.value) for item in value.elements]
    return f"{{{', '.join(values)}}}" if values else "set()"
