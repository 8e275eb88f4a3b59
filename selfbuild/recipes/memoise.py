"""A pure function called again and again with the same arguments remembers its answers."""

import ast
import re
import warnings
from collections.abc import Collection, Mapping
from typing import Protocol

import libcst as cst
from libcst.metadata import QualifiedName, QualifiedNameSource

from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import PatchRequest
from selfbuild.recipes.base import (
    RecipePatch,
    Refusal,
    RefusedError,
    code_of,
    effect_of,
    functions_of,
    run_rule,
    words,
)
from selfbuild.recipes.immutable import Immutables
from selfbuild.recipes.plan import (
    PlannedRule,
    loops_in,
    parameters,
    statements,
    stored_targets,
    unchanged_constants,
    walk,
)

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
    """Adds `@lru_cache(maxsize=1024, typed=True)`, because 1, 1.0 and True share an entry otherwise.

    Where the parameters are not annotated, the body moves to a function beside it, and answers are remembered for
    texts, whole numbers and truth values alone.

    Refuses unless it is a plain function of the module with parameters, annotated ones of immutable types, whose
    answers are immutable by annotation or for certain; which assigns nothing outside itself, reads no variable of the
    module but constants that nothing changes, and calls only what is known to be pure. Where no function is named, it
    must also have a loop or call itself, and be called in a loop or by itself.
    """

    name = "memoise"
    insight_types = frozenset({InsightType.PERFORMANCE_DEGRADATION, InsightType.OPTIMIZATION_OPPORTUNITY})

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        functions = functions_of(request, path)
        texts = tuple(file.text for file in request.files)
        pure = frozenset(request.recipes.pure_functions)
        return run_rule(
            source,
            lambda: _Rule(functions, texts, pure),
            summary="Remember answers",
            nothing="no function that costs much is called again and again",
            effect=effect_of(request, "latency_down"),
            needles=("def ",),
        )


class PureRule(Protocol):
    """What a rule must know for the purity of a function to be told."""

    own: dict[str, cst.FunctionDef]
    constant: frozenset[str]
    """Variables of the module that nothing changes."""
    pure: frozenset[str]
    """Functions the policy vouches for."""

    def names(self, node: cst.CSTNode) -> frozenset[str]: ...
    def qualified(self, node: cst.CSTNode) -> Collection[QualifiedName]: ...


class _Rule(PlannedRule):
    def __init__(self, functions: frozenset[str] | None, texts: tuple[str, ...], pure: frozenset[str]) -> None:
        super().__init__(functions)
        self._texts = texts
        self.pure = pure
        self.constant: frozenset[str] = frozenset()

    def plan(self, module: cst.Module) -> None:
        self.constant = unchanged_constants(self, module)
        for function in self.own.values():
            if self.wanted(function) and self._is_costly(function):
                self.attempt(function, self._remember, function)

    def _is_costly(self, function: cst.FunctionDef) -> bool:
        name = function.name.value
        if name in self.pure:
            return True
        again = sum(code_of(each.func) == name for each in walk(function.body, cst.Call))
        loops = loops_in(function.body)
        if self._functions is not None:
            return bool(loops) or again > 0
        return again > 1 or (bool(loops) and any(_called_in_loop(text, name) for text in self._texts))

    def _remember(self, function: cst.FunctionDef) -> None:
        if function.asynchronous is not None:
            raise RefusedError("a coroutine")
        if function.decorators:
            raise RefusedError("decorated already")
        every = _parameters(function)
        name = function.name.value
        if not every:
            raise RefusedError(f"{name} has no parameters")
        if name not in self.pure:
            require_pure(self, function, frozenset({name}))
            _require_answers(function, self.own)
        if all(each.annotation is not None for each in every) or name in self.pure:
            for each in every if name not in self.pure else ():
                if each.annotation is None or not _IMMUTABLE.fullmatch(code_of(each.annotation.annotation)):
                    raise RefusedError(f"the parameter {each.name.value} is not annotated with an immutable type")
            self._note(name)
            cached = cst.Decorator(cst.parse_expression(f"lru_cache(maxsize={CACHE_ENTRIES}, typed=True)"))
            self.swaps[function] = lambda node: node.with_changes(decorators=[cached])
        else:
            self._note(name)
            self._move(function, [each.name.value for each in every])

    def _note(self, name: str) -> None:
        self.need_import("functools", "lru_cache")
        self.applied.append(name)

    def _move(self, function: cst.FunctionDef, names: list[str]) -> None:
        name = function.name.value.lstrip("_")
        computed, remembered = self.fresh(f"_computed_{name}"), self.fresh(f"_remembered_{name}")
        given = ", ".join(names)
        cached = (
            f"\n\n@lru_cache(maxsize={CACHE_ENTRIES}, typed=True)\n"
            f"def {remembered}({given}):\n    return {computed}({given})\n\n\n"
        )
        plain = f"all(type(argument) in (str, int, bool) for argument in ({given},))"
        body = f"if {plain}:\n    return {remembered}({given})\nreturn {computed}({given})\n"

        def swap(node: cst.CSTNode) -> cst.CSTNode:
            if not isinstance(node, cst.FunctionDef):
                return node
            params = [
                each.with_changes(default=None, equal=cst.MaybeSentinel.DEFAULT, comma=cst.MaybeSentinel.DEFAULT)
                for each in _parameters(node)
            ]
            moved = node.with_changes(name=cst.Name(computed), params=cst.Parameters(params=params), returns=None)
            kept = node.with_changes(body=cst.IndentedBlock(statements([body])), leading_lines=_BLANK)
            return cst.FlattenSentinel([moved, *statements([cached]), kept])  # type: ignore[return-value]

        self.swaps[function] = swap


_BLANK = [cst.EmptyLine(indent=False)] * 2


def _called_in_loop(text: str, name: str) -> bool:
    """Whether a call of the function stands in a loop, or in a function that is called for every request."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    loops = (ast.For, ast.While, ast.AsyncFor, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    return any(
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == name
        for loop in ast.walk(tree)
        if isinstance(loop, loops)
        for call in ast.walk(loop)
    )


def _parameters(node: cst.FunctionDef) -> list[cst.Param]:
    every = node.params
    if isinstance(every.star_arg, cst.Param | cst.ParamStar) or every.star_kwarg is not None or every.posonly_params:
        raise RefusedError("collects arguments, or takes some by name or place alone")
    return list(every.params)


def _require_answers(function: cst.FunctionDef, own: Mapping[str, cst.FunctionDef]) -> None:
    if function.returns is not None:
        if not _IMMUTABLE.fullmatch(code_of(function.returns.annotation).replace("float", "int")):
            raise RefusedError("the result is not annotated with an immutable type")
    elif not walk(function.body, cst.Return) or not Immutables(function, own).answers_plain(function):
        raise RefusedError("the result is not certain to be immutable")


def require_pure(rule: PureRule, function: cst.FunctionDef, asked: frozenset[str]) -> None:
    """Refuse a function that is not known to be pure; `asked`: functions that are being looked at already."""
    function.body.visit(_Purity(rule, function, asked))


class _Purity(cst.CSTVisitor):
    """Raises RefusedError at the first thing that is not known to be pure."""

    def __init__(self, rule: PureRule, function: cst.FunctionDef, asked: frozenset[str]) -> None:
        """`asked`: functions whose purity is being looked at already."""
        super().__init__()
        self._rule = rule
        self._asked = asked
        self._local = {each.name.value for each in parameters(function)}
        for target in stored_targets(function.body):
            found = walk(target, cst.Name) if isinstance(target, cst.Name | cst.Tuple | cst.List) else []
            self._local |= {each.value for each in found}

    def visit_Call(self, node: cst.Call) -> None:
        names = self._rule.names(node.func)
        if names and (all(map(_is_pure, names)) or names <= self._asked | self._rule.pure):
            return
        own = self._rule.own.get(min(names, default="")) if len(names) == 1 else None
        if own is not None and own.asynchronous is None and not own.decorators:
            require_pure(self._rule, own, self._asked | names)
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
        if node.value in self._local or node.value in self._rule.own or node.value in self._rule.constant:
            return
        for name in self._rule.qualified(node):
            if name.source is QualifiedNameSource.LOCAL and name.name == node.value:
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
