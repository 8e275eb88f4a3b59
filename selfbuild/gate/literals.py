"""Literals a patch may not bring in: hosts, secrets, blobs, names of tests, values compared with in secret."""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence

from selfbuild.gate.names import Names, literal_text

_PATTERNS = {
    "a host or URL": re.compile(
        r"://|\b\d{1,3}(\.\d{1,3}){3}\b|\b[a-z0-9][a-z0-9-]*(\.[a-z0-9-]+)*\.(com|net|org|io|dev|app|xyz|ru|cn|info|internal|local)\b",
        re.IGNORECASE,
    ),
    "a sensitive path": re.compile(r"(^|[/~\\])(\.ssh|\.aws|etc|proc|dev|root|var/run)([/\\]|$)|\.\./|id_rsa|\.env\b"),
    "a secret": re.compile(
        r"AKIA[0-9A-Z]{16}|-----BEGIN|gh[pousr]_[A-Za-z0-9]{20}|sk-[A-Za-z0-9-]{16}|xox[abp]-|eyJ[A-Za-z0-9_-]{10}"
        r"|(password|passwd|secret|api_?key|token)\s*[=:]\s*(?=\S*\d)\S{6,}",
        re.IGNORECASE,
    ),
    "a blob": re.compile(r"^(?=.*\d)[A-Za-z0-9+/=_-]{32,}$|(\\x[0-9a-f]{2}){8}"),
    "a mention of the tests": re.compile(r"pytest|unittest|_test\b|test_", re.IGNORECASE),
    "interpreter internals": re.compile(r"__\w+__|\b(os\.environ|sys\.modules)\b"),
    "a statement of SQL or shell": re.compile(
        r"\b(DROP|TRUNCATE|DELETE\s+FROM|INSERT\s+INTO|ALTER\s+TABLE|GRANT)\b|\b(rm -rf|curl |wget |/bin/sh|bash -c)"
    ),
    "access through a format": re.compile(r"\{[^{}:!]*[.\[][^{}]*\}"),
    "a text spelt in numbers": re.compile(r"%c|\{[^{}]*:c\}"),
    "a condition that is always true": re.compile(r"\bOR\s+['\"]?(\w+)['\"]?\s*=\s*['\"]?\1\b", re.IGNORECASE),
    "markup that runs": re.compile(r"<script|javascript:|onerror=", re.IGNORECASE),
}
MAGIC_CHARACTERS = 4
"""Shortest text that can serve as a password in a comparison."""
MAGIC_NUMBER = 1000
"""Smallest integer that is suspicious in an equality."""
_COMPARING_METHODS = {"startswith", "endswith", "fullmatch", "match", "search", "count", "find", "index", "__eq__"}
_COMPARING = {f"operator.{name}" for name in ("eq", "ne", "contains", "is_", "is_not", "countOf", "indexOf")}
_SETS = {"set", "frozenset"}


def literal_facts(names: Names) -> Iterator[str]:
    """One fact for each suspicious literal; a docstring is a literal too."""
    for node in names.nodes:
        text = literal_text(node)
        if text is None:
            continue
        for kind, pattern in _PATTERNS.items():
            if pattern.search(text):
                yield f"{kind} in the literal {text[:60]!r}"


def all_literals(nodes: Iterable[ast.AST]) -> set[str | int | float]:
    """Every text and number of the nodes, for telling known from new."""
    found: set[str | int | float] = set()
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            found.add(node.value)
        text = literal_text(node)
        if text is not None:
            found.add(text)
    return found


def compared_literals(names: Names) -> Iterator[str | int | float]:
    """Literals the code compares something with, long enough to be a secret word or number."""
    for node in names.nodes:
        for operand in _operands(node, names):
            yield from _magic(operand)
            if isinstance(operand, ast.Name):
                for meaning in names.meanings(operand):
                    yield from _magic(meaning)


def _operands(node: ast.AST, names: Names) -> Sequence[ast.AST]:
    if isinstance(node, ast.Compare):
        weighty = any(isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn | ast.Is | ast.IsNot) for op in node.ops)
        return [node.left, *node.comparators] if weighty else []
    if isinstance(node, ast.MatchValue):
        return [node.value]
    if isinstance(node, ast.Set):
        return node.elts
    if isinstance(node, ast.Subscript):
        return _keys(node.value, names) if isinstance(node.ctx, ast.Load) else []
    return _call_operands(node, names) if isinstance(node, ast.Call) else []


def _keys(node: ast.expr, names: Names) -> list[ast.AST]:
    """Keys of the literal dictionary that an expression stands for."""
    tables = [each for each in names.meanings(node) if isinstance(each, ast.Dict)]
    return [key for table in tables for key in table.keys if key is not None]


def _call_operands(node: ast.Call, names: Names) -> list[ast.AST]:
    dotted = names.dotted(node.func)
    if dotted in _COMPARING or dotted in _SETS:
        return [*node.args]
    if not isinstance(node.func, ast.Attribute):
        return []
    if node.func.attr in ("get", "__getitem__", "__contains__"):
        return _keys(node.func.value, names)
    if node.func.attr not in _COMPARING_METHODS and dotted != "re.compile":
        return []
    texts = [literal_text(argument) for argument in node.args]
    return [
        argument for argument, text in zip(node.args, texts, strict=True) if text is None or re.escape(text) == text
    ]


def _magic(operand: ast.AST) -> Iterator[str | int | float]:
    for node in ast.walk(operand):
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and abs(node.value) >= MAGIC_NUMBER:
            yield node.value
        text = literal_text(node)
        if text is not None and len(text) >= MAGIC_CHARACTERS:
            yield text
