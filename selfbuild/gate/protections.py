"""What protects: checks, raises, time limits, locks, cryptography, conditions of access. It must not become less."""

import ast
import re
from collections import Counter
from collections.abc import Iterator

from selfbuild.gate.names import Names, words_of
from selfbuild.gate.regions import Function
from selfbuild.gate.vocabulary import CRYPTO_MODULES, PROTECTIVE, PROTECTIVE_KEYWORDS

_ACCESS = re.compile(
    r"(^|_)(roles?|permissions?|admins?|is_staff|superuser|passwords?|passwd|csrf|acl|authori[sz]ed|authenticated"
    r"|privileges?|entitlements?)(_|$)"
)
"""Names that decide who may do what."""
_AUTHOR = re.compile(r"authors?(?!i)")
"""Who wrote something, which is no question of who may do it."""
_ASKING = re.compile(
    r"auth(?!or(?!i))|permission|allow|verif|compare_digest|is_admin|has_role|may_|can_", re.IGNORECASE
)
"""Calls that decide who may do what."""
_WHERE = re.compile(r"\bWHERE\b")
_REFUSING = re.compile(
    r"permission|forbidden|unauthori|denied|access|throttl|quota|too many|rate.?limit|limitexceeded|toomany|csrf"
    r"|security|not allowed|not yours|\b40[13]\b|\b429\b",
    re.IGNORECASE,
)
"""Errors that refuse somebody something."""


def protective_facts(names: Names) -> Counter[str]:
    """Facts that must not become fewer."""
    facts: list[str] = []
    for node in names.nodes:
        facts += _node_facts(node, names)
        for expression in _judged(node):
            if _protects(expression, names) or (isinstance(node, ast.If) and _refuses(node)):
                facts.append(f"the condition {ast.unparse(expression)[:80]}")
        for value in _values(node):
            if any(_is_crypto(inner, names) for inner in ast.walk(value)):
                facts.append(f"the expression {ast.unparse(value)[:80]}")
    return Counter(facts)


def bypass_facts(names: Names) -> Counter[str]:
    """Facts that must not become more: ways out of a function that decides about access, and writes to what it asks."""
    facts: list[str] = []
    for node in names.nodes:
        if isinstance(node, Function) and _decides(node, names):
            ways = sum(isinstance(inner, ast.Return) for inner in ast.walk(node))
            facts += [f"a way out of {node.name}, which decides about access"] * ways
        facts += (f"a change of {word}" for word in _written(node) if _ACCESS.search(word.casefold()))
    return Counter(facts)


def _node_facts(node: ast.AST, names: Names) -> Iterator[str]:
    if isinstance(node, ast.Raise):
        yield "a raise"
    elif isinstance(node, ast.Assert):
        yield "an assertion"
    elif isinstance(node, ast.Call):
        dotted = names.dotted(node.func) or (node.func.attr if isinstance(node.func, ast.Attribute) else "")
        last = dotted.rpartition(".")[2]
        if any(part in _AUTHOR.sub("", last.casefold()) for part in PROTECTIVE):
            yield f"a call of {last}"
        yield from (f"the argument {word.arg}=" for word in node.keywords if word.arg in PROTECTIVE_KEYWORDS)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _WHERE.search(node.value):
        yield "a WHERE of a statement"
    elif isinstance(node, ast.withitem) and any("lock" in word for word in words_of(node.context_expr)):
        yield "a lock that is held"


def _judged(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
        yield node.test
    elif isinstance(node, ast.comprehension):
        yield from node.ifs
    else:
        yield from _values(node)


def _values(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.Return | ast.Assign | ast.AnnAssign) and node.value is not None:
        yield node.value


def _protects(node: ast.expr, names: Names) -> bool:
    """Whether an expression decides by a name of access, or asks a function that does."""
    decides = False
    for inner in ast.walk(node):
        if isinstance(inner, ast.Compare | ast.BoolOp) or (
            isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.Not)
        ):
            decides = True
        elif isinstance(inner, ast.Call) and _ASKING.search((names.dotted(inner.func) or "").rpartition(".")[2]):
            return True
    return decides and any(_ACCESS.search(word) for word in words_of(node))


def _refuses(node: ast.If) -> bool:
    return any(isinstance(each, ast.Raise) and _REFUSING.search(ast.unparse(each)) for each in node.body)


def _decides(function: ast.AST, names: Names) -> bool:
    return any(
        (isinstance(node, ast.If) and (_refuses(node) or _protects(node.test, names)))
        or (isinstance(node, ast.Return) and node.value is not None and _protects(node.value, names))
        for node in ast.walk(function)
    )


def _is_crypto(node: ast.AST, names: Names) -> bool:
    return isinstance(node, ast.Call) and (names.dotted(node.func) or "").partition(".")[0] in CRYPTO_MODULES


def _written(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Subscript | ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node.slice, ast.Constant):
            yield str(node.slice.value)
    elif isinstance(node, ast.Dict):
        yield from (str(key.value) for key in node.keys if isinstance(key, ast.Constant))
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg
