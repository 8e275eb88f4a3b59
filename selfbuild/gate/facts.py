"""Risky facts of statements. The delta guard compares their counts in old and new text."""

import ast
import re
from collections import Counter
from collections.abc import Iterator

from selfbuild.gate.conditions import block_facts, excused
from selfbuild.gate.names import Names
from selfbuild.gate.regions import Function
from selfbuild.gate.vocabulary import (
    BROAD_ERRORS,
    HARMLESS,
    RISKY_ATTRIBUTES,
    RISKY_MEMBERS,
    RISKY_METHODS,
    RISKY_MODULES,
    RISKY_NAMES,
    SAFE_MODULES,
    WEAKENING_KEYWORDS,
)

_DUNDER = re.compile(r"__\w+__")
_PLAIN_DUNDERS = {"__name__", "__doc__", "__init__", "__len__", "__future__", "__all__"}
_LONGEST_TIMEOUT_S = 600
"""A time limit above this limits nothing in a service."""
_CODECS = {"ascii", "latin-1", "latin1", "utf-8", "utf8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "iso-8859-1"}
_HIDES = "a handler that hides the error"
_SAME_METHOD = {"executemany": "execute"}
"""Methods that do to many what another does to one."""


def risky_facts(names: Names) -> Counter[str]:
    """Facts that must not become more."""
    inner = {id(node.value) for node in names.nodes if isinstance(node, ast.Attribute)}
    inner |= {id(node.func) for node in names.nodes if isinstance(node, ast.Call) and _is_maker(node.func)}
    inner |= {id(node.value) for node in names.nodes if isinstance(node, ast.keyword) and node.arg == "metaclass"}
    excuses = excused(names)
    facts: list[str] = []
    for node in names.nodes:
        if id(node) in excuses and not isinstance(node, ast.ExceptHandler):
            continue
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in inner:
            facts += _reference(node, names)
        facts += (fact for fact in _node_facts(node, names) if fact is not _HIDES or id(node) not in excuses)
        facts += block_facts(node)
    return Counter(facts)


def _is_maker(node: ast.AST) -> bool:
    """`getattr` and `type` are looked at where they are called; passed on, nothing is known of them."""
    return isinstance(node, ast.Name) and node.id in ("getattr", "type")


def _reference(node: ast.Name | ast.Attribute, names: Names) -> Iterator[str]:
    if _is_maker(node):
        yield f"a use of {ast.unparse(node)} that is no call"
    dotted = names.dotted(node)
    if dotted is None:
        return
    parts = dotted.lstrip(".").split(".")
    behind = parts[0] in SAFE_MODULES and not RISKY_MODULES.isdisjoint(parts[1:])
    if (parts[0] in RISKY_MODULES or behind) and names.imports(node) and not _harmless(dotted):
        yield f"a use of {dotted}"
    if any(".".join(parts[:count]) in RISKY_MEMBERS for count in range(2, len(parts) + 1)):
        yield f"a use of {dotted}"


def _harmless(dotted: str) -> bool:
    return any(dotted.startswith(name) if name.endswith(".") else dotted == name for name in HARMLESS)


def _node_facts(node: ast.AST, names: Names) -> Iterator[str]:
    if isinstance(node, ast.Name):
        if node.id in RISKY_NAMES or _strange_dunder(node.id):
            yield f"a use of {node.id}"
        if isinstance(node.ctx, ast.Del):
            yield f"a deletion of {node.id}"
    elif isinstance(node, ast.Attribute):
        yield from _attribute_facts(node)
    elif isinstance(node, ast.Subscript):
        yield from _subscript_facts(node, names)
    elif isinstance(node, ast.Call):
        yield from _call_facts(node, names)
        yield from _keyword_facts(node)
    elif isinstance(node, ast.ExceptHandler):
        yield from _handler_facts(node, names)
    elif isinstance(node, ast.Global):
        yield from (f"a global statement for {name}" for name in node.names)
    elif isinstance(node, Function) and _strange_dunder(node.name):
        yield f"the hook {node.name} of the interpreter"


def _attribute_facts(node: ast.Attribute) -> Iterator[str]:
    if node.attr in RISKY_ATTRIBUTES or _strange_dunder(node.attr):
        yield f"a use of the attribute {node.attr}"
    if isinstance(node.ctx, ast.Store | ast.Del) and not _own_object(node):
        yield f"an assignment to the attribute {ast.unparse(node)[:60]}"


def _strange_dunder(name: str) -> bool:
    return _DUNDER.fullmatch(name) is not None and name not in _PLAIN_DUNDERS


def _own_object(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def _subscript_facts(node: ast.Subscript, names: Names) -> Iterator[str]:
    if isinstance(node.value, ast.Constant):
        yield "an index into a literal"
    if isinstance(node.ctx, ast.Store | ast.Del) and names.imports(node):
        yield f"an assignment into {ast.unparse(node.value)[:60]}"


def _call_facts(node: ast.Call, names: Names) -> Iterator[str]:
    if isinstance(node.func, ast.Attribute):
        method = _SAME_METHOD.get(node.func.attr, node.func.attr)
        if method in RISKY_METHODS:
            yield f"a call of the method {method}"
        if method in ("decode", "encode") and _strange_codec(node):
            yield "a codec that hides text"
        if method in ("replace", "translate", "swapcase") and isinstance(node.func.value, ast.Constant):
            yield "a literal that is rewritten"
    dotted = names.dotted(node.func)
    if dotted == "getattr":
        yield from _getattr_facts(node)
    elif dotted == "type" and len(node.args) > 1:
        yield "a type made at run time"
    elif dotted in ("bytes", "bytearray") and any(isinstance(each, ast.List | ast.Tuple) for each in node.args):
        yield "text spelt in numbers"
    elif dotted == "reversed" and any(isinstance(each, ast.Constant) for each in node.args):
        yield "a literal that is rewritten"
    if isinstance(node.func, ast.Call | ast.Subscript | ast.Lambda):
        yield "a call of something computed"


def _getattr_facts(node: ast.Call) -> Iterator[str]:
    name = node.args[1] if len(node.args) > 1 else None
    if not isinstance(name, ast.Constant):
        yield "an access by a computed name"
    elif repr(name.value).strip("'") in RISKY_ATTRIBUTES | RISKY_METHODS or repr(name.value).startswith("'_"):
        yield f"a use of the attribute {name.value!r}"


def _strange_codec(node: ast.Call) -> bool:
    named = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "encoding")]
    return any(
        isinstance(each, ast.Constant) and repr(each.value).casefold().strip("'") not in _CODECS for each in named
    )


def _keyword_facts(node: ast.Call) -> Iterator[str]:
    for word in node.keywords:
        weakens = word.arg in WEAKENING_KEYWORDS or (word.arg == "timeout" and _limits_nothing(word.value))
        if weakens or (word.arg == "errors" and isinstance(word.value, ast.Constant) and word.value.value == "ignore"):
            yield f"the argument {word.arg}={ast.unparse(word.value)[:40]}"
        if word.arg is None:
            yield f"arguments unpacked into {ast.unparse(node.func)[:60]}"


def _limits_nothing(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return not node.value or (isinstance(node.value, int | float) and node.value > _LONGEST_TIMEOUT_S)
    if isinstance(node, ast.Tuple):
        return any(_limits_nothing(each) for each in node.elts)
    if isinstance(node, ast.UnaryOp | ast.Call):
        return True
    return isinstance(node, ast.BinOp) and (
        isinstance(node.op, ast.Pow) or _limits_nothing(node.left) or _limits_nothing(node.right)
    )


def _handler_facts(node: ast.ExceptHandler, names: Names) -> Iterator[str]:
    if any(_is_broad(kind, names) for kind in _kinds(node.type, names)):
        yield "a handler of every exception"
    last = node.body[-1]
    if len(node.body) == 1 and _is_empty(last):
        yield _HIDES


def _kinds(node: ast.expr | None, names: Names) -> list[ast.expr | None]:
    if node is None:
        return [None]
    if isinstance(node, ast.Tuple):
        return [kind for each in node.elts for kind in _kinds(each, names)]
    meanings = names.meanings(node) if isinstance(node, ast.Name) else ()
    return [kind for each in meanings if each is not node for kind in _kinds(each, names)] or [node]


def _is_broad(kind: ast.expr | None, names: Names) -> bool:
    """A computed type may be any: it counts as broad."""
    return kind is None or not isinstance(kind, ast.Name | ast.Attribute) or names.dotted(kind) in BROAD_ERRORS


def _is_empty(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass | ast.Continue | ast.Break):
        return True
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Return) and is_bare(statement.value)


def is_bare(node: ast.expr | None) -> bool:
    """Whether the expression says nothing: a constant, an empty container, or none at all."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return not node.elts
    return node is None or isinstance(node, ast.Constant) or (isinstance(node, ast.Dict) and not node.keys)
