"""What recipes share: their contract, where they may look, and how a rule on libcst is run."""

import ast
import keyword
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache
from typing import Protocol

import libcst as cst
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor, RemoveImportsVisitor
from libcst.metadata import (
    ExpressionContextProvider,
    MetadataWrapper,
    ParentNodeProvider,
    PositionProvider,
    QualifiedName,
    Scope,
    ScopeProvider,
)

from selfbuild.domain.base import Value
from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import ExpectedEffect, PatchRequest

SOURCE_CHARACTERS = 300_000
"""Largest source a recipe reads: resolving names takes about 1 s for so much."""


NESTING = 200
"""Deepest syntax tree that is read; of 600 files of the standard library and of packages the deepest has 21 levels."""


_WORD = re.compile(r"[A-Za-z_]\w*")


class RecipePatch(Value):
    """What a recipe changed."""

    source: str
    summary: str
    expected_effect: ExpectedEffect


class Refusal(Value):
    """Why a recipe does not apply: a normal outcome."""

    reason: str


class Recipe(Protocol):
    """One rule."""

    name: str
    insight_types: frozenset[InsightType]
    """The insights it can answer."""

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        """The changed source, or why the preconditions do not hold. Applying it to its own result is refused."""
        ...


class RefusedError(Exception):
    """Raised inside a rule to give up; `run_rule` turns it into a `Refusal`."""


class Rule(cst.CSTTransformer):
    """A transformer that knows names, places and the functions it may change, and notes what it did."""

    METADATA_DEPENDENCIES = (
        ExpressionContextProvider,
        ParentNodeProvider,
        PositionProvider,
        ScopeProvider,
    )

    def __init__(self, functions: frozenset[str] | None) -> None:
        """`functions`: names of the functions that may be changed; None = everywhere."""
        super().__init__()
        self.context = CodemodContext()
        self.applied: list[str] = []
        self.refused: list[str] = []
        self.importing = False
        self._functions = functions

    def line(self, node: cst.CSTNode) -> int:
        return self.get_metadata(PositionProvider, node).start.line

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        found = self.get_metadata(ParentNodeProvider, node, None)
        return found if isinstance(found, cst.CSTNode) else None

    def names(self, node: cst.CSTNode) -> frozenset[str]:
        """Every dotted name the expression may stand for."""
        return frozenset(name.name for name in self.qualified(node))

    def qualified(self, node: cst.CSTNode) -> Collection[QualifiedName]:
        """The same with where each name comes from."""
        scope = self.get_metadata(ScopeProvider, node, None)
        return scope.get_qualified_names_for(node) if isinstance(scope, Scope) else ()

    def prepare(self, module: cst.Module) -> bool:
        """Look at the whole file before anything is changed; False = nothing will be."""
        return bool(module.body)

    def is_one_of(self, node: cst.CSTNode, known: frozenset[str]) -> bool:
        """Whether the expression stands for one of the known names, whatever else decides."""
        names = self.names(node)
        return bool(names) and names <= known

    def enclosing_functions(self, node: cst.CSTNode) -> list[cst.FunctionDef]:
        """Innermost first, the node itself included."""
        found: list[cst.FunctionDef] = []
        current: cst.CSTNode | None = node
        while current is not None:
            if isinstance(current, cst.FunctionDef):
                found.append(current)
            current = self.parent(current)
        return found

    def wanted(self, node: cst.CSTNode) -> bool:
        """Whether the node lies in a function that may be changed."""
        if self._functions is None:
            return True
        return any(function.name.value in self._functions for function in self.enclosing_functions(node))

    def refuse(self, node: cst.CSTNode, reason: str) -> None:
        self.refused.append(f"line {self.line(node)}: {reason}")

    def need_import(self, module: str, name: str | None = None) -> None:
        """Import it after the rule has run, unless it is imported already."""
        self.importing = True
        AddImportsVisitor.add_needed_import(self.context, module, name)


def effect_of(request: PatchRequest, kind: str) -> ExpectedEffect:
    """The effect a recipe promises: on the component that deviates."""
    return ExpectedEffect(component=request.opportunity.insight.component, kind=kind)


def functions_of(request: PatchRequest, path: str) -> frozenset[str] | None:
    """Bare names of the functions of `path` that may be changed; None = no function is named."""
    location = request.opportunity.insight.location
    if location is not None and location.path == path and location.function:
        last = location.function.rpartition(".")[2]
        if last.isidentifier():
            return frozenset({last})
    targets = request.target_symbols.get(path)
    return None if targets is None else frozenset(target.rpartition(".")[2] for target in targets)


def run_rule(
    source: str,
    make: Callable[[], Rule],
    *,
    summary: str,
    nothing: str,
    effect: ExpectedEffect,
    needles: Sequence[str] = ("",),
) -> RecipePatch | Refusal:
    """Run one rule over a source.

    Args:
        source: Any text; what is not Python is refused.
        make: Makes the rule.
        summary: What it does, completed by what it was applied to.
        nothing: The refusal when it found nothing to change and said nothing else.
        effect: What must be seen if the change helps.
        needles: Texts without any of which there is nothing to change; looked for before anything is parsed.
    """
    if len(source) > SOURCE_CHARACTERS:
        return Refusal(reason=f"the file has {len(source)} characters, at most {SOURCE_CHARACTERS} are read")
    if not any(needle in source for needle in needles):
        return Refusal(reason=nothing)
    try:
        _require_shallow(source)
        return _transformed(source, make(), summary, nothing, effect)
    except RefusedError as refused:
        return Refusal(reason=str(refused))
    except (cst.ParserSyntaxError, cst.CSTValidationError, SyntaxError, UnicodeError, ValueError) as error:
        return Refusal(reason=f"the file cannot be read: {type(error).__name__}")
    except (RecursionError, MemoryError):
        return Refusal(reason="the file is nested too deeply")


def _require_shallow(source: str) -> None:
    """libcst's native parser overflows the stack, which ends the whole process, where Python's own raises an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level: list[ast.AST] = [ast.parse(source)]
    for _ in range(NESTING):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise RefusedError(f"the code is nested deeper than {NESTING} levels")


@lru_cache(maxsize=8)
def _parsed(source: str) -> MetadataWrapper:
    """Kept for the next recipe: resolving names takes far longer than any rule."""
    return MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)


def _transformed(source: str, rule: Rule, summary: str, nothing: str, effect: ExpectedEffect) -> RecipePatch | Refusal:
    wrapper = _parsed(source)
    rule.context = CodemodContext(wrapper=wrapper)
    with rule.resolve(wrapper):
        changed = wrapper.module.visit(rule) if rule.prepare(wrapper.module) else wrapper.module
    if not rule.applied:
        return Refusal(reason="; ".join(dict.fromkeys(rule.refused[:5])) or nothing)
    if rule.importing:
        changed = AddImportsVisitor(rule.context).transform_module(changed)
    _must_compile(changed.code)
    result = _without_orphans(source, changed).code
    what = ", ".join(dict.fromkeys(rule.applied))
    return RecipePatch(source=result, summary=f"{summary}: {what}"[:500], expected_effect=effect)


def _without_orphans(before: str, changed: cst.Module) -> cst.Module:
    """Without the imports that only the replaced code used: linters would find them, and rightly."""
    was, is_ = _names_in(before), _names_in(changed.code)
    context, found = CodemodContext(), False
    for module, member, alias in _imports(before):
        name = alias or member or module
        if name in was and name not in is_:
            RemoveImportsVisitor.remove_unused_import(context, module, member, alias)
            found = True
    return RemoveImportsVisitor(context).transform_module(changed) if found else changed


def _imports(source: str) -> Iterator[tuple[str, str | None, str | None]]:
    """(module, member, alias) of the top level; `import a.b` is left out: others may rely on the name it binds."""
    for node in _tree(source).body:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None, alias.asname) for alias in node.names if "." not in alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, alias.name, alias.asname) for alias in node.names)


def _names_in(source: str) -> frozenset[str]:
    """Names that are read or bound, and the words of all texts, which may be annotations or `__all__`."""
    found: set[str] = set()
    for node in ast.walk(_tree(source)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
            found.update(_WORD.findall(node.value))
    return frozenset(found)


def _tree(source: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def _must_compile(source: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "patched", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise RefusedError(f"the result would not compile: {error.msg}") from error


def fresh_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, with a number behind it where it is taken."""
    name, count = wanted, 1
    while name in taken or keyword.iskeyword(name):
        count += 1
        name = f"{wanted}_{count}"
    return name


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


def all_names(module: cst.CSTNode) -> set[str]:
    """Every identifier that stands anywhere in the code."""
    found: set[str] = set()

    class Collector(cst.CSTVisitor):
        def visit_Name(self, node: cst.Name) -> None:
            found.add(node.value)

    module.visit(Collector())
    return found


def code_of(node: cst.CSTNode) -> str:
    """The node as source text."""
    return cst.Module([]).code_for_node(node)
