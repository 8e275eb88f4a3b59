"""A pure function called again and again with the same arguments remembers its answers."""

import re

import libcst as cst
from libcst.metadata import GlobalScope, ScopeProvider

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import ExpectedEffect, PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, Rule, code_of, functions_of, run_rule, words

CACHE_ENTRIES = 1024
_IMMUTABLE = re.compile(
    r"(str|int|bool|bytes|None)( \| (str|int|bool|bytes|None))*"
    r"|tuple\[(str|int|bool|bytes)(, (\.\.\.|str|int|bool|bytes))*\]"
)
"""Annotations of values that compare by content and cannot change. No float: 0.0 and -0.0 share an entry."""
_PURE_BUILTINS = words(
    """
    abs all any bool bytes divmod enumerate filter format frozenset hash hex int isinstance issubclass len list map max
    min oct ord pow range repr reversed round set slice sorted str sum tuple type zip dict ValueError TypeError KeyError
    IndexError ZeroDivisionError
    """
)
_PURE_MODULES = ("math.", "itertools.", "operator.", "string.", "unicodedata.", "statistics.", "fractions.", "decimal.")
_LOCAL_METHODS = words(
    """
    append extend add update pop insert sort reverse setdefault get items keys values split strip lstrip rstrip join
    lower upper replace startswith endswith find rfind index count format encode decode zfill title casefold isdigit
    isalpha isalnum partition rpartition splitlines bit_length copy discard remove union intersection difference
    """
)


class Memoise:
    """Adds `@lru_cache(maxsize=1024, typed=True)`.

    Refuses unless the insight or the request names the function, and it is a plain module-level function whose
    parameters and result are annotated with immutable types, which assigns nothing outside itself, reads no module
    variable but constants, and calls only what is known to be pure. `typed` because 1, 1.0 and True share an entry.
    """

    name = "memoise"
    insight_types = frozenset({InsightType.PERFORMANCE_DEGRADATION, InsightType.OPTIMIZATION_OPPORTUNITY})

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        functions = functions_of(request, path)
        if not functions:
            return Refusal(reason="no function is named")
        return run_rule(
            source,
            lambda: _Rule(functions),
            summary="Remember answers",
            nothing="the function is not in this file",
            effect=ExpectedEffect(component=request.opportunity.insight.component, kind="latency_down"),
        )


class _Rule(Rule):
    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        if not self._functions or original_node.name.value not in self._functions:
            return updated_node
        try:
            self._require_plain(original_node)
            _require_annotations(original_node)
            original_node.body.visit(_Purity(self, original_node))
        except RefusedError as refused:
            self.refuse(original_node, str(refused))
            return updated_node
        self.need_import("functools", "lru_cache")
        self.applied.append(original_node.name.value)
        call = cst.parse_expression(f"lru_cache(maxsize={CACHE_ENTRIES}, typed=True)")
        return updated_node.with_changes(decorators=[cst.Decorator(call)])

    def _require_plain(self, node: cst.FunctionDef) -> None:
        if not isinstance(self.get_metadata(ScopeProvider, node, None), GlobalScope):
            raise RefusedError("not a function of the module")
        if node.asynchronous is not None:
            raise RefusedError("a coroutine")
        if node.decorators:
            raise RefusedError("decorated already")


def _parameters(node: cst.FunctionDef) -> list[cst.Param]:
    parameters = node.params
    if isinstance(parameters.star_arg, cst.Param) or parameters.star_kwarg is not None:
        raise RefusedError("collects arguments")
    return [*parameters.posonly_params, *parameters.params, *parameters.kwonly_params]


def _require_annotations(node: cst.FunctionDef) -> None:
    parameters = _parameters(node)
    if not parameters:
        raise RefusedError("has no parameters")
    for parameter in parameters:
        annotation = parameter.annotation
        if annotation is None or not _IMMUTABLE.fullmatch(code_of(annotation.annotation)):
            raise RefusedError(f"the parameter {parameter.name.value} is not annotated with an immutable type")
    if node.returns is None or not _IMMUTABLE.fullmatch(code_of(node.returns.annotation)):
        raise RefusedError("the result is not annotated with an immutable type")


class _Purity(cst.CSTVisitor):
    """Raises RefusedError at the first thing that is not known to be pure."""

    def __init__(self, rule: Rule, function: cst.FunctionDef) -> None:
        super().__init__()
        self._rule = rule
        self._name = function.name.value
        self._local = {parameter.name.value for parameter in _parameters(function)} | _stored_names(function.body)

    def visit_Call(self, node: cst.Call) -> None:
        names = self._rule.names(node.func)
        if (names and all(map(_is_pure, names))) or names == {self._name}:
            return
        method = node.func
        if isinstance(method, cst.Attribute) and method.attr.value in _LOCAL_METHODS and self._is_local(method.value):
            return
        raise RefusedError(f"calls {code_of(node.func)[:40]}, which is not known to be pure")

    def _is_local(self, node: cst.BaseExpression) -> bool:
        while isinstance(node, cst.Attribute | cst.Subscript | cst.Call):
            node = node.func if isinstance(node, cst.Call) else node.value
        return isinstance(node, cst.SimpleString | cst.FormattedString) or (
            isinstance(node, cst.Name) and node.value in self._local
        )

    def visit_Name(self, node: cst.Name) -> None:
        if node.value in self._local or node.value == self._name or node.value.isupper():
            return
        for name in self._rule.get_metadata(cst.metadata.QualifiedNameProvider, node, set()):
            if name.source is cst.metadata.QualifiedNameSource.LOCAL and name.name == node.value:
                raise RefusedError(f"reads the module's variable {node.value}")

    def visit_AssignTarget(self, node: cst.AssignTarget) -> None:
        if isinstance(node.target, cst.Attribute):
            raise RefusedError("assigns to an attribute")
        if isinstance(node.target, cst.Subscript) and not self._is_local(node.target.value):
            raise RefusedError("assigns into something that is not its own")

    def _impure(self, node: cst.CSTNode) -> None:
        raise RefusedError(f"contains {type(node).__name__}")

    visit_Global = visit_Nonlocal = visit_Yield = visit_Await = visit_Import = visit_ImportFrom = _impure
    visit_With = visit_Del = visit_FunctionDef = visit_ClassDef = visit_Lambda = _impure


def _is_pure(name: str) -> bool:
    return name.removeprefix("builtins.") in _PURE_BUILTINS or name.startswith(_PURE_MODULES)


def _stored_names(body: cst.BaseSuite) -> set[str]:
    found: set[str] = set()

    class Collector(cst.CSTVisitor):
        def _take(self, target: cst.CSTNode) -> None:
            if isinstance(target, cst.Name):
                found.add(target.value)
            elif isinstance(target, cst.Tuple | cst.List):
                for element in target.elements:
                    self._take(element.value)

        def visit_AssignTarget(self, node: cst.AssignTarget) -> None:
            self._take(node.target)

        def visit_AnnAssign(self, node: cst.AnnAssign) -> None:
            self._take(node.target)

        def visit_NamedExpr(self, node: cst.NamedExpr) -> None:
            self._take(node.target)

        def visit_For(self, node: cst.For) -> None:
            self._take(node.target)

        def visit_CompFor(self, node: cst.CompFor) -> None:
            self._take(node.target)

    body.visit(Collector())
    return found
