"""Risky facts of a module's syntax tree. The delta guard compares their counts in old and new text."""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator

from selfbuild.gate.names import Names
from selfbuild.gate.vocabulary import (
    HARMLESS,
    PROTECTIVE,
    PROTECTIVE_KEYWORDS,
    RISKY_ATTRIBUTES,
    RISKY_MEMBERS,
    RISKY_METHODS,
    RISKY_MODULES,
    RISKY_NAMES,
    WEAKENING_KEYWORDS,
)

_DUNDER = re.compile(r"__\w+__")
_PLAIN_DUNDERS = {"__name__", "__doc__", "__init__", "__len__", "__future__", "__all__"}
_SUPPRESSION = re.compile(
    r"noqa|nosec|type:\s*ignore|pragma|pylint:|mypy:|ruff:|flake8|pyright:|fmt:\s*off|isort:|nosemgrep|noinspection",
    re.IGNORECASE,
)
_BROAD = {"Exception", "BaseException", "builtins.Exception", "builtins.BaseException"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def risky_facts(names: Names) -> Counter[str]:
    """Facts that must not become more."""
    inner = {id(node.value) for node in names.nodes if isinstance(node, ast.Attribute)}
    facts: Counter[str] = Counter()
    for node in names.nodes:
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in inner:
            facts.update(_reference(node, names))
        facts.update(_node_facts(node, names))
        facts.update(_block_facts(node))
    return facts


def protective_facts(names: Names) -> Counter[str]:
    """Facts that must not become fewer: raises, assertions, calls that check or escape, time limits."""
    facts: Counter[str] = Counter()
    for node in names.nodes:
        if isinstance(node, ast.Raise):
            facts["a raise"] += 1
        elif isinstance(node, ast.Assert):
            facts["an assertion"] += 1
        elif isinstance(node, ast.Call):
            dotted = names.dotted(node.func) or (node.func.attr if isinstance(node.func, ast.Attribute) else "")
            if any(part in dotted.rpartition(".")[2].casefold() for part in PROTECTIVE):
                facts[f"a call of {dotted.rpartition('.')[2]}"] += 1
            facts.update(f"the argument {word.arg}=" for word in node.keywords if word.arg in PROTECTIVE_KEYWORDS)
    return facts


def suppression_comments(text: str) -> Counter[str]:
    """Comments that silence a check."""
    found: Counter[str] = Counter()
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and _SUPPRESSION.search(token.string):
                found["a comment that silences a check"] += 1
    except (tokenize.TokenError, SyntaxError):
        return found
    return found


def _reference(node: ast.Name | ast.Attribute, names: Names) -> Iterator[str]:
    dotted = names.dotted(node)
    if dotted is None:
        return
    root = dotted.lstrip(".").partition(".")[0]
    if root in RISKY_MODULES and names.imports(node) and not _harmless(dotted):
        yield f"a use of {dotted}"
    parts = dotted.split(".")
    if any(".".join(parts[:count]) in RISKY_MEMBERS for count in range(2, len(parts) + 1)):
        yield f"a use of {dotted}"


def _harmless(dotted: str) -> bool:
    return any(dotted.startswith(name) if name.endswith(".") else dotted == name for name in HARMLESS)


def _node_facts(node: ast.AST, names: Names) -> Iterator[str]:
    if isinstance(node, ast.Name):
        if node.id in RISKY_NAMES or _strange_dunder(node.id):
            yield f"a use of {node.id}"
    elif isinstance(node, ast.Attribute):
        if node.attr in RISKY_ATTRIBUTES or _strange_dunder(node.attr):
            yield f"a use of the attribute {node.attr}"
        if isinstance(node.ctx, ast.Store | ast.Del) and not _own_object(node):
            yield f"an assignment to the attribute {ast.unparse(node)[:60]}"
    elif isinstance(node, ast.Subscript):
        yield from _subscript_facts(node, names)
    elif isinstance(node, ast.Call):
        yield from _call_facts(node, names)
    elif isinstance(node, ast.ExceptHandler):
        yield from _handler_facts(node, names)
    elif isinstance(node, ast.Global):
        yield from (f"a global statement for {name}" for name in node.names)


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
    if isinstance(node.func, ast.Attribute) and node.func.attr in RISKY_METHODS:
        yield f"a call of the method {node.func.attr}"
    dotted = names.dotted(node.func)
    if dotted == "getattr" and not (len(node.args) > 1 and isinstance(node.args[1], ast.Constant)):
        yield "an access by a computed name"
    if dotted == "type" and len(node.args) > 1:
        yield "a type made at run time"
    if isinstance(node.func, ast.Call | ast.Subscript | ast.Lambda):
        yield "a call of something computed"
    for word in node.keywords:
        if word.arg in WEAKENING_KEYWORDS or (word.arg == "timeout" and _is_nothing(word.value)):
            yield f"the argument {word.arg}={ast.unparse(word.value)[:40]}"
        if word.arg is None:
            yield f"arguments unpacked into {ast.unparse(node.func)[:60]}"


def _is_nothing(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and not node.value


def _handler_facts(node: ast.ExceptHandler, names: Names) -> Iterator[str]:
    types = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    if any(kind is None or names.dotted(kind) in _BROAD for kind in types):
        yield "a handler of every exception"
    last = node.body[-1]
    if len(node.body) == 1 and _is_empty(last):
        yield "a handler that hides the error"


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


def _block_facts(node: ast.AST) -> Iterator[str]:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list) and any(_ends(statement) for statement in block[:-1]):
            yield "statements that are never reached"
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield from _condition_facts(node)
    elif isinstance(node, ast.BoolOp) and _decided(node):
        yield "a condition that is always the same"
    elif isinstance(node, ast.Try) and any(
        isinstance(inner, ast.Return) for s in node.finalbody for inner in ast.walk(s)
    ):
        yield "a return that hides errors"


def _decided(node: ast.BoolOp) -> bool:
    *first, last = node.values
    return any(isinstance(value, ast.Constant) for value in first) or (
        isinstance(last, ast.Constant) and isinstance(last.value, bool)
    )


def _ends(statement: ast.AST) -> bool:
    return isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break)


def _condition_facts(node: ast.If | ast.While | ast.IfExp) -> Iterator[str]:
    if not isinstance(node.test, ast.Constant):
        return
    if not isinstance(node, ast.While):
        yield "a condition that is always the same"
    elif not any(isinstance(inner, ast.Break | ast.Return | ast.Raise) for inner in ast.walk(node)):
        yield "a loop without an end"
