"""What leaves the service: addresses it asks, SQL it sends, secrets it writes down."""

import ast
import re
from collections import Counter
from collections.abc import Iterator

from selfbuild.gate.names import Names, literal_text, words_of

_CALLS = re.compile(r"(requests|httpx|httpx2)\.(get|post|put|patch|delete|head|options|request|stream)|.*\burlopen")
_SESSIONS = {"requests.Session", "requests.session", "httpx.Client", "httpx.AsyncClient", "aiohttp.ClientSession"}
_SENT = {"data", "json", "files", "headers", "auth", "cookies", "cert", "content"}
"""Arguments of a request that carry something out."""
_SQL = re.compile(
    r"\b(SELECT\b.*\bFROM|INSERT\s+INTO|REPLACE\s+INTO|UPDATE\b.*\bSET|DELETE\s+FROM)\b|\bWHERE\b.*=", re.I | re.S
)
_MARKS = re.compile(r"[?%s,() ]+|:?\w{0,3}")
"""Placeholders of a statement: they hold nothing of the values."""
_LOGGING = {"debug", "info", "warning", "error", "exception", "critical", "log", "print"}
_SECRET = re.compile(
    r"(^|_)(passwords?|passwd|pwd|secrets?|api_?keys?|private_key|credentials?|cvv|card_number|ssn)(_|$)"
)
_LOGGED_SECRET = re.compile(_SECRET.pattern + r"|(^|_)(tokens?|cookies?|authorization|headers|environ|session_id)(_|$)")


def outward_facts(names: Names) -> Counter[str]:
    """Facts that must not become more."""
    facts: list[str] = []
    for node in names.nodes:
        if isinstance(node, ast.Call):
            if is_request(node, names):
                facts += (f"the argument {word.arg}= of a request" for word in node.keywords if word.arg in _SENT)
            if _is_logging(node) and any(_mentions(each, _LOGGED_SECRET) for each in node.args):
                facts.append("a secret in the log")
        elif isinstance(node, ast.Raise) and node.exc is not None and _mentions(node.exc, _SECRET):
            facts.append("a secret in an error message")
        facts += (f"SQL put together with {ast.unparse(part)[:60]}" for part in _sql_parts(node, names))
        if isinstance(node, ast.Assign | ast.keyword) and _keeps_secret(node):
            facts.append("a secret in a literal")
    return Counter(facts)


def addresses(names: Names) -> Iterator[tuple[str, ast.expr]]:
    """(text that identifies it, address) of every request."""
    for node in names.nodes:
        if isinstance(node, ast.Call) and is_request(node, names):
            named = [word.value for word in node.keywords if word.arg == "url"]
            for address in (*named, *node.args[:1]):
                yield ast.dump(address), address


def other_addresses(old: Names, new: Names) -> Iterator[str]:
    """Addresses the new statements ask that are not those of the old ones, nor a path below the same base."""
    known = {text for text, _ in addresses(old)}
    bases = {base for _, address in addresses(old) for each in _meanings(address, old) if (base := _base(each))}
    passed_on = {name for function, own in new.parameters.items() if function not in old.parameters for name in own}
    for text, address in addresses(new):
        if text in known or (isinstance(address, ast.Name) and address.id in passed_on):
            continue
        meanings = _meanings(address, new)
        if not meanings or not all(ast.dump(each) in known or _base(each) in bases for each in meanings):
            yield f"asks another address: {ast.unparse(address)[:60]}"


def is_request(node: ast.Call, names: Names) -> bool:
    """Whether a call asks another service."""
    if _CALLS.fullmatch(names.dotted(node.func) or ""):
        return True
    if not (isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)):
        return False
    made = names.assigned.get(node.func.value.id, ())
    return any(isinstance(each, ast.Call) and names.dotted(each.func) in _SESSIONS for each in made)


def _meanings(address: ast.expr, names: Names) -> tuple[ast.expr, ...]:
    return names.meanings(address)


def _base(address: ast.expr) -> str | None:
    """What an address of the form `{base}/path` or `base + "/path"` begins with."""
    if isinstance(address, ast.JoinedStr) and len(address.values) > 1:
        first, second = address.values[:2]
        if isinstance(first, ast.FormattedValue) and (literal_text(second) or "").startswith("/"):
            return ast.dump(first.value)
    if isinstance(address, ast.BinOp) and isinstance(address.op, ast.Add):
        left = address.left
        while isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add):
            address, left = left, left.left
        if (literal_text(address.right) or "").startswith("/"):
            return ast.dump(left)
    return None


def _is_logging(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in _LOGGING


def _mentions(node: ast.expr, pattern: re.Pattern[str]) -> bool:
    return any(pattern.search(word) for word in words_of(node))


def _keeps_secret(node: ast.Assign | ast.keyword) -> bool:
    """A literal under the name of a secret."""
    value = node.value
    if not (isinstance(value, ast.Constant) and isinstance(value.value, str | bytes) and len(value.value) >= 4):
        return False
    targets = node.targets if isinstance(node, ast.Assign) else []
    words = [node.arg or ""] if isinstance(node, ast.keyword) else [w for each in targets for w in words_of(each)]
    return any(_SECRET.search(word.casefold()) for word in words)


def _sql_parts(node: ast.AST, names: Names) -> Iterator[ast.expr]:
    """What is put into the text of an SQL statement, but for placeholders and the program's own constants."""
    pieces = _pieces(node)
    if len(pieces) < 2 or not _SQL.search(" ".join(literal_text(piece) or "?" for piece in pieces)):
        return
    for piece in pieces:
        if literal_text(piece) is None and not _is_placeholder(piece, names):
            yield piece


def _pieces(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.JoinedStr):
        return [each.value if isinstance(each, ast.FormattedValue) else each for each in node.values]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*(_pieces(node.left) or [node.left]), *(_pieces(node.right) or [node.right])]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and literal_text(node.left) is not None:
        return [node.left, *(node.right.elts if isinstance(node.right, ast.Tuple) else [node.right])]
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "format"
        and literal_text(node.func.value) is not None
    ):
        return [node.func.value, *node.args, *(word.value for word in node.keywords)]
    return []


def _is_placeholder(node: ast.expr, names: Names) -> bool:
    meanings = names.meanings(node)
    return bool(meanings) and all(_is_marks(each) for each in meanings)


def _is_marks(node: ast.expr) -> bool:
    text = literal_text(node)
    if text is not None:
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join":
        return len(node.args) == 1 and _repeats_marks(node.args[0])
    return isinstance(node, ast.BinOp) and _repeats_marks(node)


def _repeats_marks(node: ast.expr) -> bool:
    if isinstance(node, ast.GeneratorExp | ast.ListComp):
        return _is_mark(node.elt)
    if isinstance(node, ast.List | ast.Tuple):
        return all(_is_mark(each) for each in node.elts)
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Mult)
        and any(
            _is_mark(side) or (isinstance(side, ast.List) and _repeats_marks(side)) for side in (node.left, node.right)
        )
    )


def _is_mark(node: ast.expr) -> bool:
    text = literal_text(node)
    return text is not None and "\0" not in text and _MARKS.fullmatch(text) is not None
