"""Expressions of Insights queries, compiled to functions of a record."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from localaws.logs.insights.functions import AGGREGATES, SCALARS, Row, binned, percentile
from localaws.logs.insights.records import Record, equal, number, text
from localaws.logs.insights.tokens import Token, malformed

Expression = Callable[[Record], Any]

_AND, _OR, _NOT = (Token("keyword", word) for word in ("and", "or", "not"))
_LIKE, _IN = Token("keyword", "like"), Token("keyword", "in")
_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_ARITHMETIC: tuple[dict[str, Callable[[float, float], float]], ...] = (
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": operator.truediv, "%": operator.mod},
    {"^": operator.pow},
)


@dataclass(frozen=True)
class Aggregate:
    """One aggregate call inside `stats`, and the name its result has in the group's record."""

    key: str
    argument: Expression
    reduce: Callable[[Sequence[Row]], Any]


def symbol(value: str) -> Token:
    """The token of a symbol."""
    return Token("symbol", value)


class ExpressionParser:
    """A recursive descent over the tokens of one stage.

    Args:
        tokens: The tokens of the stage.
        aggregates: Collects the aggregate calls; None where they are not allowed.
    """

    def __init__(self, tokens: Sequence[Token], aggregates: list[Aggregate] | None = None) -> None:
        self._tokens = tokens
        self._aggregates = aggregates
        self.position = 0

    def at_end(self) -> bool:
        return self.position >= len(self._tokens)

    def next(self) -> Token:
        if self.at_end():
            raise malformed("the query ends too early")
        self.position += 1
        return self._tokens[self.position - 1]

    def accept(self, *wanted: Token) -> bool:
        """Consumes the tokens if they come next."""
        if tuple(self._tokens[self.position : self.position + len(wanted)]) == wanted:
            self.position += len(wanted)
            return True
        return False

    def expect(self, wanted: Token) -> None:
        if not self.accept(wanted):
            found = "the end" if self.at_end() else repr(self._tokens[self.position].text)
            raise malformed(f"expected {wanted.text!r}, found {found}")

    def expression(self) -> Expression:
        parts = [self._conjunction()]
        while self.accept(_OR):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else lambda record: any(part(record) for part in parts)

    def _conjunction(self) -> Expression:
        parts = [self._negation()]
        while self.accept(_AND):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else lambda record: all(part(record) for part in parts)

    def _negation(self) -> Expression:
        if self.accept(_NOT):
            inner = self._negation()
            return lambda record: not inner(record)
        return self._comparison()

    def _comparison(self) -> Expression:
        left = self._arithmetic(0)
        if self.accept(_NOT, _LIKE):
            return _negated(self._like(left))
        if self.accept(_LIKE) or self.accept(symbol("=~")):
            return self._like(left)
        if self.accept(_NOT, _IN):
            return _negated(self._membership(left))
        if self.accept(_IN):
            return self._membership(left)
        for text_ in ("=", "!=", *_ORDERINGS):
            if self.accept(symbol(text_)):
                return _compared(text_, left, self._arithmetic(0))
        return left

    def _like(self, left: Expression) -> Expression:
        token = self.next()
        if token.kind == "text":
            return lambda record: (value := left(record)) is not None and token.text in text(value)
        if token.kind != "regex":
            raise malformed(f"like needs a text or a /regular expression/, found {token.text!r}")
        regex = compile_regex(token.text)
        return lambda record: (value := left(record)) is not None and regex.search(text(value)) is not None

    def _membership(self, left: Expression) -> Expression:
        self.expect(symbol("["))
        items = self._list(symbol("]"))
        return lambda record: any(equal(left(record), item(record)) for item in items)

    def _list(self, closing: Token) -> list[Expression]:
        items: list[Expression] = []
        while not self.accept(closing):
            if items:
                self.expect(symbol(","))
            items.append(self.expression())
        return items

    def _arithmetic(self, level: int) -> Expression:
        if level == len(_ARITHMETIC):
            return self._atom()
        left = self._arithmetic(level + 1)
        while not self.at_end() and self._tokens[self.position].kind == "symbol":
            function = _ARITHMETIC[level].get(self._tokens[self.position].text)
            if function is None:
                break
            self.position += 1
            left = _calculated(function, left, self._arithmetic(level + 1))
        return left

    def _atom(self) -> Expression:
        token = self.next()
        if token.kind == "number":
            value = float(token.text)
            return lambda record: value
        if token.kind == "text":
            return lambda record: token.text
        if token == symbol("("):
            inner = self.expression()
            self.expect(symbol(")"))
            return inner
        if token == symbol("-"):
            return _calculated(operator.mul, lambda record: -1.0, self._atom())
        if token.kind != "field":
            raise malformed(f"unexpected {token.text!r}")
        if self.accept(symbol("(")):
            return self._call(token.text)
        return lambda record: record.get(token.text)

    def _call(self, name: str) -> Expression:
        lowered = name.lower()
        if lowered == "bin":
            width_ms = self.next().duration_ms()
            self.expect(symbol(")"))
            return lambda record: binned(record.get("@timestamp"), width_ms)
        if lowered in AGGREGATES or lowered == "pct":
            return self._aggregate(lowered)
        if lowered not in SCALARS:
            raise malformed(f"localaws does not support the function {name}()")
        function, least, most = SCALARS[lowered]
        arguments = self._list(symbol(")"))
        if not least <= len(arguments) <= most:
            raise malformed(f"wrong number of arguments for {name}()")
        return lambda record: function(*(argument(record) for argument in arguments))

    def _aggregate(self, name: str) -> Expression:
        if self._aggregates is None:
            raise malformed(f"{name}() is an aggregate and belongs into stats")
        reduce = AGGREGATES.get(name)
        argument: Expression
        if name == "count" and (self.accept(symbol("*"), symbol(")")) or self.accept(symbol(")"))):
            argument = _present
        else:
            argument = ExpressionParser.expression(self)
            if reduce is None:
                self.expect(symbol(","))
                percent = self.next()
                if percent.kind != "number" or not 0 <= float(percent.text) <= 100:
                    raise malformed(f"pct() needs a percentage, found {percent.text!r}")
                reduce = _percentile_of(float(percent.text))
            self.expect(symbol(")"))
        assert reduce is not None
        found = Aggregate(f"\0{len(self._aggregates)}", argument, reduce)
        self._aggregates.append(found)
        return lambda record: record.values.get(found.key)


def compile_regex(source: str) -> re.Pattern[str]:
    """Compiles a regular expression of a query; `(?<name>...)` is how Insights writes named groups."""
    try:
        return re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", source))
    except re.error as error:
        raise malformed(f"bad regular expression {source!r}: {error}") from error


def _present(record: Record) -> Any:
    return True


def _percentile_of(percent: float) -> Callable[[Sequence[Row]], Any]:
    return lambda rows: percentile(rows, percent)


def _negated(inner: Expression) -> Expression:
    return lambda record: not inner(record)


def _compared(text_: str, left: Expression, right: Expression) -> Expression:
    if text_ == "=":
        return lambda record: equal(left(record), right(record))
    if text_ == "!=":
        return lambda record: not equal(left(record), right(record))
    compare = _ORDERINGS[text_]

    def compared(record: Record) -> bool:
        first, second = left(record), right(record)
        if first is None or second is None:
            return False
        numbers = number(first), number(second)
        return compare(*(numbers if None not in numbers else (text(first), text(second))))

    return compared


def _calculated(function: Callable[[float, float], float], left: Expression, right: Expression) -> Expression:
    def calculated(record: Record) -> float | None:
        first, second = number(left(record)), number(right(record))
        if first is None or second is None:
            return None
        try:
            result = function(first, second)
        except (ZeroDivisionError, OverflowError):
            return None
        return None if isinstance(result, complex) else result

    return calculated
