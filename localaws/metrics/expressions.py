"""Parsing of metric math expressions into a small tree; what the tree means is in `evaluation`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from localaws.errors import AwsError

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[A-Za-z]\w*)"
    r"|(?P<text>\"[^\"]*\"|'[^']*')|(?P<operator>==|!=|<=|>=|&&|\|\||[-+*/^<>(),\[\]]))"
)

# Loosest binding first.
_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"OR"}),
    frozenset({"AND"}),
    frozenset({"==", "!=", "<", ">", "<=", ">="}),
    frozenset({"+", "-"}),
    frozenset({"*", "/"}),
)
_WORD_OPERATORS = {"&&": "AND", "||": "OR", "AND": "AND", "OR": "OR"}


@dataclass(frozen=True)
class Number:
    value: float


@dataclass(frozen=True)
class Text:
    value: str


@dataclass(frozen=True)
class Name:
    """The id of another query, or a keyword of a function such as REPEAT."""

    name: str


@dataclass(frozen=True)
class Listing:
    items: tuple["Node", ...]


@dataclass(frozen=True)
class Binary:
    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True)
class Call:
    function: str
    arguments: tuple["Node", ...]


Node = Number | Text | Name | Listing | Binary | Call


def expression_error(message: str) -> AwsError:
    """The error CloudWatch gives for an expression it cannot evaluate."""
    return AwsError("ValidationError", f"Error in expression: {message}")


def parse_expression(source: str) -> Node:
    """Parses metric math; SEARCH and Metrics Insights queries are refused by name.

    Raises:
        AwsError: `source` is not a metric math expression that is supported.
    """
    if re.match(r"\s*SELECT\s", source, re.IGNORECASE):
        raise expression_error("localaws does not support Metrics Insights queries (SELECT)")
    if re.search(r"\bSEARCH\s*\(", source, re.IGNORECASE):
        raise expression_error("localaws does not support SEARCH")
    parser = _Parser(_tokens(source))
    node = parser.level(0)
    if not parser.at_end():
        raise expression_error(f"unexpected {parser.peek()!r} in {source!r}")
    return node


def referenced_names(node: Node) -> set[str]:
    """Every name the expression mentions, keywords included."""
    if isinstance(node, Name):
        return {node.name}
    children: Sequence[Node] = ()
    if isinstance(node, Listing):
        children = node.items
    elif isinstance(node, Binary):
        children = (node.left, node.right)
    elif isinstance(node, Call):
        children = node.arguments
    return set().union(*(referenced_names(child) for child in children))


def uses_metrics(node: Node) -> bool:
    """Whether the expression calls METRICS(), which reads every metric of the request."""
    if isinstance(node, Call):
        return node.function == "METRICS" or any(map(uses_metrics, node.arguments))
    if isinstance(node, Binary):
        return uses_metrics(node.left) or uses_metrics(node.right)
    return isinstance(node, Listing) and any(map(uses_metrics, node.items))


def _tokens(source: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    while source[position:].strip():
        match = _TOKEN.match(source, position)
        if match is None or match.lastgroup is None:
            raise expression_error(f"unexpected character at {source[position:].strip()[:12]!r}")
        text = match[match.lastgroup]
        kind = match.lastgroup
        if text in _WORD_OPERATORS:
            kind, text = "operator", _WORD_OPERATORS[text]
        found.append((kind, text))
        position = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._index = 0

    def at_end(self) -> bool:
        return self._index >= len(self._tokens)

    def peek(self) -> str:
        return "" if self.at_end() else self._tokens[self._index][1]

    def _next(self) -> tuple[str, str]:
        if self.at_end():
            raise expression_error("the expression ends too early")
        self._index += 1
        return self._tokens[self._index - 1]

    def _is_operator(self, *texts: str) -> bool:
        return not self.at_end() and self._tokens[self._index] in [("operator", text) for text in texts]

    def _expect(self, text: str) -> None:
        kind, found = self._next()
        if (kind, found) != ("operator", text):
            raise expression_error(f"expected {text!r}, found {found!r}")

    def level(self, depth: int) -> Node:
        """A left-associative chain of the operators of one precedence level."""
        if depth == len(_LEVELS):
            return self._unary()
        node = self.level(depth + 1)
        while not self.at_end() and self._is_operator(*_LEVELS[depth]):
            operator = self._next()[1]
            node = Binary(operator, node, self.level(depth + 1))
        return node

    def _unary(self) -> Node:
        if self._is_operator("-"):
            self._next()
            return Binary("*", Number(-1.0), self._unary())
        base = self._atom()
        if self._is_operator("^"):
            self._next()
            return Binary("^", base, self._unary())
        return base

    def _atom(self) -> Node:
        kind, text = self._next()
        if kind == "number":
            return Number(float(text))
        if kind == "text":
            return Text(text[1:-1])
        if kind == "name":
            if self._is_operator("("):
                self._next()
                return Call(text.upper(), self._sequence(")"))
            return Name(text)
        if text == "(":
            node = self.level(0)
            self._expect(")")
            return node
        if text == "[":
            return Listing(self._sequence("]"))
        raise expression_error(f"unexpected {text!r}")

    def _sequence(self, closing: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._is_operator(closing):
            items.append(self.level(0))
            if not self._is_operator(closing):
                self._expect(",")
        self._expect(closing)
        return tuple(items)
