"""A pattern compiled in every call moves to a module constant."""

import ast
import re

import libcst as cst
from libcst.metadata import ComprehensionScope, FunctionScope, ScopeProvider

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import ExpectedEffect, PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, Rule, all_names, code_of, fresh_name, functions_of, run_rule
from selfbuild.recipes.plan import constant_names
from selfbuild.recipes.shapes import after_imports

_POSITIONAL = {"compile": 2, "search": 2, "match": 2, "fullmatch": 2, "findall": 2, "finditer": 2, "split": 3, "sub": 4}
"""re's functions with the number of arguments that may be given by position before `flags`."""
_FLAGS = re.compile(r"re\.[A-Z]+( \| re\.[A-Z]+)*")


class HoistRegex:
    """`re.sub("[a-z]+", ...)` in a function becomes `_PATTERN.sub(...)` with `_PATTERN = re.compile("[a-z]+")` above.

    Refuses unless the call has exactly one meaning, the pattern is a text literal, or a
    module constant set to one, that compiles, and the flags are
    literal `re.X`, not given by position. The module constant gets a fresh name.
    """

    name = "hoist_regex"
    insight_types = frozenset({InsightType.PERFORMANCE_DEGRADATION, InsightType.OPTIMIZATION_OPPORTUNITY})

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        return run_rule(
            source,
            lambda: _Rule(functions_of(request, path)),
            summary="Compile patterns once",
            nothing="no pattern compiled inside a function",
            effect=ExpectedEffect(component=request.opportunity.insight.component, kind="latency_down"),
            needles=("import re", "from re import"),
        )


class _Rule(Rule):
    def __init__(self, functions: frozenset[str] | None) -> None:
        super().__init__(functions)
        self._taken: set[str] = set()
        self._constants: dict[tuple[str, str], str] = {}

    def visit_Module(self, node: cst.Module) -> None:
        self._taken = all_names(node)
        self._texts = {
            name: value for name, value in constant_names(node).items() if isinstance(value, cst.SimpleString)
        }

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        names = self.names(original_node.func)
        function = min(names, default="").removeprefix("re.")
        if len(names) != 1 or function not in _POSITIONAL or names != {f"re.{function}"}:
            return updated_node
        pattern = self._pattern(original_node)
        if pattern is None or not self._in_function(original_node) or not self.wanted(original_node):
            return updated_node
        problem = _problem(function, original_node, pattern)
        if problem is not None:
            self.refuse(original_node, problem)
            return updated_node
        constant = self._constant(pattern, _flags(function, original_node))
        self.applied.append(f"line {self.line(original_node)}")
        if function == "compile":
            return cst.Name(constant, lpar=updated_node.lpar, rpar=updated_node.rpar)
        kept = [argument for argument in updated_node.args[1:] if not _is_flags(argument)]
        if kept and len(kept) < len(updated_node.args) - 1:
            kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return updated_node.with_changes(func=cst.Attribute(cst.Name(constant), cst.Name(function)), args=kept)

    def _in_function(self, node: cst.CSTNode) -> bool:
        scope = self.get_metadata(ScopeProvider, node, None)
        while isinstance(scope, ComprehensionScope):
            scope = scope.parent
        return isinstance(scope, FunctionScope)

    def _pattern(self, call: cst.Call) -> str | None:
        """The pattern as a literal, also where the call names a constant of the module."""
        first = _first(call)
        if isinstance(first, cst.Name):
            first = self._texts.get(first.value)
        return code_of(first) if isinstance(first, cst.SimpleString) else None

    def _constant(self, pattern: str, flags: str) -> str:
        if (pattern, flags) not in self._constants:
            name = fresh_name("_PATTERN", self._taken)
            self._taken.add(name)
            self._constants[pattern, flags] = name
        return self._constants[pattern, flags]

    def leave_Module(self, original_node: cst.Module, updated_node: cst.Module) -> cst.Module:
        if not self._constants:
            return updated_node
        self.need_import("re")
        place = after_imports(updated_node)
        lines = [
            cst.parse_statement(f"{name} = re.compile({pattern}{', ' + flags if flags else ''})\n")
            for (pattern, flags), name in self._constants.items()
        ]
        return updated_node.with_changes(body=[*updated_node.body[:place], *lines, *updated_node.body[place:]])


def _first(call: cst.Call) -> cst.BaseExpression | None:
    if not call.args or call.args[0].keyword is not None or call.args[0].star:
        return None
    return call.args[0].value


def _is_flags(argument: cst.Arg) -> bool:
    return argument.keyword is not None and argument.keyword.value == "flags"


def _flags(function: str, call: cst.Call) -> str:
    found = [argument for argument in call.args if _is_flags(argument)]
    if function == "compile" and len(call.args) == 2:
        found = [call.args[1]]
    return code_of(found[0].value) if found else ""


def _problem(function: str, call: cst.Call, pattern: str) -> str | None:
    if any(argument.star for argument in call.args):
        return "unpacked arguments"
    if sum(argument.keyword is None for argument in call.args) > _POSITIONAL[function]:
        return "flags given by position"
    flags = _flags(function, call)
    if flags and not _FLAGS.fullmatch(flags):
        return "flags that are not literal"
    try:
        re.compile(ast.literal_eval(pattern))
    except (re.error, ValueError, SyntaxError, OverflowError, RecursionError, DeprecationWarning, SyntaxWarning):
        return "the pattern does not compile"
    return None
