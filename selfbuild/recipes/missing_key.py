"""A mapping read that raised KeyError gets the default the application's policy gives for that key."""

import ast

import libcst as cst
from libcst.metadata import ExpressionContext, ExpressionContextProvider

from selfbuild.domain.applications import Scalar
from selfbuild.domain.insights import InsightType
from selfbuild.domain.patches import ExpectedEffect, PatchRequest
from selfbuild.recipes.base import RecipePatch, Refusal, RefusedError, Rule, code_of, functions_of, run_rule
from selfbuild.recipes.shapes import is_plain_read


class MissingKey:
    """`x["owner"]` becomes `x.get("owner", DEFAULT)`.

    Refuses unless the insight is a KeyError with a text key, the policy has a default for that key, the traceback
    names the file and its line or function, and there is exactly one read of the key on a plain read there, or several
    of the very same read. Stores, deletions, and reads inside a handler of KeyError are left alone.
    """

    name = "missing_key"
    insight_types = frozenset({InsightType.ERROR_PATTERN})

    def apply(self, source: str, *, path: str, request: PatchRequest) -> RecipePatch | Refusal:
        insight = request.opportunity.insight
        location = insight.location
        if (insight.error_type or "").rpartition(".")[2] != "KeyError":
            return Refusal(reason="the error is no KeyError")
        key = _key(insight.error_message)
        if key is None:
            return Refusal(reason="the error names no text key")
        if location is None or location.path != path or (location.line is None and location.function is None):
            return Refusal(reason="the traceback names no place in this file")
        defaults: dict[str, Scalar] = {**request.recipes.value_defaults, **request.missing_key_defaults}
        default = defaults.get(key)
        if key not in defaults:
            return Refusal(reason=f"the application's policy gives no default for the key {key!r}")
        functions = functions_of(request, path) if location.function else None
        return run_rule(
            source,
            lambda: _Rule(functions, key, default, location.line),
            summary=f"Read {key!r} with the default {default!r}",
            nothing=f"no read of the key {key!r} in the place the traceback names",
            effect=ExpectedEffect(component=insight.component, kind="errors_gone"),
        )


def _key(message: str | None) -> str | None:
    text = (message or "").strip().removeprefix("KeyError:").strip()
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, str) else None


class _Rule(Rule):
    def __init__(self, functions: frozenset[str] | None, key: str, default: Scalar, line: int | None) -> None:
        super().__init__(functions)
        self._key = key
        self._default = default
        self._line = line
        self._chosen: set[cst.Subscript] = set()
        self._defaulted: set[int] = set()
        """Lines that read the key with a default."""

    def visit_Module(self, node: cst.Module) -> None:
        hits = self._hits(node)
        here = [hit for hit in hits if self.line(hit) == self._line]
        if self._line in self._defaulted and not here:
            raise RefusedError(f"line {self._line}: the key {self._key!r} is read with a default already")
        if here or self._functions is not None:
            self._chosen = self._select(here or hits)

    def _hits(self, module: cst.Module) -> list[cst.Subscript]:
        found: list[cst.Subscript] = []
        rule = self

        class Collector(cst.CSTVisitor):
            def visit_Call(self, node: cst.Call) -> None:
                if rule.gets_key(node):
                    rule._defaulted.add(rule.line(node))

            def visit_Subscript(self, node: cst.Subscript) -> None:
                if rule.reads_key(node) and rule.wanted(node):
                    found.append(node)

        module.visit(Collector())
        return found

    def reads_key(self, node: cst.Subscript) -> bool:
        """Whether the subscript is by the key."""
        if len(node.slice) != 1 or not isinstance(node.slice[0].slice, cst.Index):
            return False
        index = node.slice[0].slice.value
        return isinstance(index, cst.SimpleString) and index.evaluated_value == self._key

    def gets_key(self, node: cst.Call) -> bool:
        """Whether the call is `.get` of the key."""
        if not isinstance(node.func, cst.Attribute) or node.func.attr.value != "get" or not node.args:
            return False
        first = node.args[0].value
        return isinstance(first, cst.SimpleString) and first.evaluated_value == self._key

    def _select(self, hits: list[cst.Subscript]) -> set[cst.Subscript]:
        if len({code_of(hit) for hit in hits}) > 1:
            raise RefusedError(f"several different reads of the key {self._key!r}: which one failed is not known")
        for hit in hits:
            if not self._is_read(hit):
                raise RefusedError(f"line {self.line(hit)}: the key {self._key!r} is stored or deleted, not read")
            if not is_plain_read(hit.value):
                raise RefusedError(f"line {self.line(hit)}: the mapping is no plain read")
            if self._is_handled(hit):
                raise RefusedError(f"line {self.line(hit)}: a handler of KeyError stands around the read")
        return set(hits)

    def _is_read(self, node: cst.Subscript) -> bool:
        context = self.get_metadata(ExpressionContextProvider, node, None)
        return context is ExpressionContext.LOAD and not isinstance(self.parent(node), cst.AugAssign | cst.Del)

    def _is_handled(self, node: cst.CSTNode) -> bool:
        current: cst.CSTNode | None = node
        while current is not None and not isinstance(current, cst.FunctionDef):
            if isinstance(current, cst.Try) and any(_catches_key_error(handler) for handler in current.handlers):
                return True
            current = self.parent(current)
        return False

    def leave_Subscript(self, original_node: cst.Subscript, updated_node: cst.Subscript) -> cst.BaseExpression:
        if original_node not in self._chosen:
            return updated_node
        index = updated_node.slice[0].slice
        if not isinstance(index, cst.Index):
            return updated_node
        self.applied.append(f"line {self.line(original_node)}")
        return cst.Call(
            func=cst.Attribute(value=updated_node.value, attr=cst.Name("get")),
            args=[
                cst.Arg(index.value, comma=cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))),
                cst.Arg(_expression(self._default)),
            ],
            lpar=updated_node.lpar,
            rpar=updated_node.rpar,
        )


def _expression(value: Scalar) -> cst.BaseExpression:
    return cst.SimpleString(_quoted(value)) if isinstance(value, str) else cst.parse_expression(repr(value))


def _quoted(text: str) -> str:
    return f'"{text}"' if text.isprintable() and not set(text) & {'"', "\\"} else repr(text)


def _catches_key_error(handler: cst.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = {"KeyError", "LookupError", "Exception", "BaseException"}
    return any(name in code_of(handler.type) for name in names)
