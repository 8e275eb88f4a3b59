"""What a parameter without an annotation seems to be: from its default, its use and its name."""

import ast
import re
from collections.abc import Iterator

from selfbuild.gate.changes import Function

ANYTHING = "anything"
Shape = str | tuple[str, "Shape"]
"""`integer`, `number`, `text`, `truth`, `mapping`, ("list", shape of its elements), or `anything`."""
_TEXT_METHODS = frozenset(
    {
        "split",
        "strip",
        "lstrip",
        "rstrip",
        "lower",
        "upper",
        "startswith",
        "endswith",
        "splitlines",
        "title",
        "casefold",
        "isdigit",
        "isalpha",
        "isalnum",
        "partition",
        "rpartition",
        "encode",
        "isspace",
        "islower",
        "isupper",
        "zfill",
        "join",
    }
)
_LIST_METHODS = frozenset(["append", "extend", "insert", "sort", "reverse"])
_MAPPING_METHODS = frozenset(["items", "keys", "values", "get", "setdefault"])
_INTEGER = re.compile(r"(n|k|m|i|j|x|y|count|size|limit|page|index|year|month|day|base|width|capacity|number|.*_count)")
_NUMBER = re.compile(r"(.*(price|rate|amount|weight|ratio|total|percent|cents|value))")
_TEXT = re.compile(r"(s|t|a_?text|.*(text|name|word|key|line|path|string|title|pattern|code|currency))")
_MANY = re.compile(r"(arr|array|.*(list|items|values|numbers|words|names|lines|rows|seq|sequence|nums)|[a-z]{3,}s)")
_DEPTH = 2


def guess(function: Function, name: str, default: ast.expr | None = None, depth: int = 0) -> Shape:
    """The likeliest shape of a parameter or of a variable of the function."""
    if isinstance(default, ast.Constant):
        found = _of_constant(default.value)
        if found != ANYTHING:
            return found
    votes = list(_votes(function, name))
    for wanted in ("mapping", "text", "list"):
        if wanted in votes:
            return ("list", _element(function, name, depth)) if wanted == "list" else wanted
    if "sequence" in votes:
        return "text" if _TEXT.fullmatch(name) else ("list", _element(function, name, depth))
    for wanted in ("number", "integer"):
        if wanted in votes:
            return wanted
    return _by_name(name)


def _by_name(name: str) -> Shape:
    if _TEXT.fullmatch(name):
        return "text"
    if _INTEGER.fullmatch(name):
        return "integer"
    if _NUMBER.fullmatch(name):
        return "number"
    return ("list", ANYTHING) if _MANY.fullmatch(name) else ANYTHING


def _of_constant(value: object) -> Shape:
    for kind, shape in ((bool, "truth"), (int, "integer"), (float, "number"), (str, "text")):
        if isinstance(value, kind):
            return shape
    return ANYTHING


def _element(function: Function, name: str, depth: int) -> Shape:
    """Of what is iterated over: what is done with the loop's variable, or with a subscript."""
    if depth >= _DEPTH:
        return ANYTHING
    for node in ast.walk(function):
        if isinstance(node, ast.For | ast.comprehension) and _iterates(node.iter, name):
            target = node.target.elts[-1] if isinstance(node.target, ast.Tuple) else node.target
            if isinstance(node.target, ast.Tuple) and not isinstance(node.iter, ast.Call):
                return ("list", "integer")
            if isinstance(target, ast.Name):
                return guess(function, target.id, depth=depth + 1)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Subscript) and _is(node.value.value, name):
            return ("list", "integer")
    return ANYTHING


def _iterates(node: ast.expr, name: str) -> bool:
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("enumerate", "sorted", "set")
    ):
        return bool(node.args) and _is(node.args[0], name)
    return _is(node, name)


def _votes(function: Function, name: str) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and _is(node.value, name):
            yield from _by_method(node.attr)
        elif isinstance(node, ast.Subscript) and _is(node.value, name):
            constant = node.slice.value if isinstance(node.slice, ast.Constant) else None
            yield "mapping" if isinstance(constant, str) else "sequence"
        elif isinstance(node, ast.For | ast.comprehension) and _iterates(node.iter, name):
            yield "sequence"
        elif isinstance(node, ast.Call):
            yield from _by_call(node, name)
        elif isinstance(node, ast.BinOp) and (_is(node.left, name) or _is(node.right, name)):
            yield from _by_partner(node.right if _is(node.left, name) else node.left, node.op)
        elif isinstance(node, ast.Compare) and any(_is(each, name) for each in (node.left, *node.comparators)):
            for each in (node.left, *node.comparators):
                yield from _by_partner(each, ast.Sub())


def _by_method(method: str) -> Iterator[str]:
    for methods, vote in ((_TEXT_METHODS, "text"), (_LIST_METHODS, "list"), (_MAPPING_METHODS, "mapping")):
        if method in methods:
            yield vote


def _by_call(node: ast.Call, name: str) -> Iterator[str]:
    if isinstance(node.func, ast.Name) and any(_is(each, name) for each in node.args):
        if node.func.id in ("len", "sorted", "sum", "min", "max", "enumerate", "zip", "reversed", "set", "list"):
            yield "sequence"
        elif node.func.id in ("range", "chr", "divmod"):
            yield "integer"
        elif node.func.id in ("abs", "round", "math"):
            yield "number"
    if isinstance(node.func, ast.Attribute) and _is(node.func.value, "re") and any(_is(a, name) for a in node.args):
        yield "text"


def _by_partner(node: ast.expr, operator: ast.operator) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield "text"
        elif isinstance(node.value, float):
            yield "number"
        elif isinstance(node.value, int):
            yield "integer"
    elif isinstance(operator, ast.FloorDiv | ast.Mod):
        yield "integer"


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
