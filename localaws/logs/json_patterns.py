"""JSON filter patterns: `{ $.level = "ERROR" && ($.ms > 100 || $.error.type = *) }` to a predicate."""

import json
import operator
import re
from collections.abc import Callable
from typing import Any

from localaws.errors import AwsError
from localaws.logs.json_selectors import MISSING, Selector

_TOKEN = re.compile(
    r"\s*(?:(?P<operator>&&|\|\||\(|\)|!=|>=|<=|=|>|<)|(?P<text>\"(?:\\.|[^\"\\])*\")"
    r"|(?P<regex>%(?:\\.|[^%\\])+%)|(?P<selector>\$(?:\.[\w@\-/]+|\[\"[^\"]*\"\]|\['[^']*'\]|\[\d+\])*)"
    r"|(?P<word>[^\s()=<>!&|\"%$]+))"
)
_ORDERINGS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_CONSTANTS: dict[str, object] = {"NULL": None, "TRUE": True, "FALSE": False}

Predicate = Callable[[Any], bool]


def compile_json_pattern(source: str) -> Predicate:
    """A predicate over parsed documents; a comparison with a missing value is false.

    Raises:
        AwsError: The pattern is malformed.
    """
    if not source.endswith("}"):
        raise _invalid("missing }")
    parser = _Parser(_tokens(source[1:-1]))
    predicate = parser.any_of()
    if not parser.at_end():
        raise _invalid("text after the end of the condition")
    return predicate


def _invalid(reason: str) -> AwsError:
    return AwsError("InvalidParameterException", f"Invalid filter pattern: {reason}")


def _tokens(source: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    while source[position:].strip():
        match = _TOKEN.match(source, position)
        if match is None or match.lastgroup is None:
            raise _invalid(f"cannot read {source[position:].strip()!r}")
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._index = 0

    def at_end(self) -> bool:
        return self._index >= len(self._tokens)

    def _next(self) -> tuple[str, str]:
        if self.at_end():
            raise _invalid("the condition ends too early")
        self._index += 1
        return self._tokens[self._index - 1]

    def _accept(self, text: str) -> bool:
        if not self.at_end() and self._tokens[self._index] == ("operator", text):
            self._index += 1
            return True
        return False

    def any_of(self) -> Predicate:
        parts = [self._all_of()]
        while self._accept("||"):
            parts.append(self._all_of())
        return lambda document: any(part(document) for part in parts)

    def _all_of(self) -> Predicate:
        parts = [self._condition()]
        while self._accept("&&"):
            parts.append(self._condition())
        return lambda document: all(part(document) for part in parts)

    def _condition(self) -> Predicate:
        if self._accept("("):
            inner = self.any_of()
            if not self._accept(")"):
                raise _invalid("missing )")
            return inner
        kind, text = self._next()
        if kind != "selector":
            raise _invalid(f"expected a selector such as $.field, found {text!r}")
        selector = Selector(text)
        kind, text = self._next()
        if kind == "word":
            return self._keyword(selector, text.upper())
        if kind != "operator" or text not in ("=", "!=", *_ORDERINGS):
            raise _invalid(f"expected a comparison, found {text!r}")
        return _comparison(selector, text, *self._next())

    def _keyword(self, selector: Selector, word: str) -> Predicate:
        if word == "EXISTS":
            return lambda document: selector.find(document) is not MISSING
        following = self._next()[1].upper()
        if word == "NOT" and following == "EXISTS":
            return lambda document: selector.find(document) is MISSING
        if word == "IS" and following in _CONSTANTS:
            constant = _CONSTANTS[following]
            return lambda document: selector.find(document) is constant
        raise _invalid(f"unknown condition {word} {following}")


def _comparison(selector: Selector, symbol: str, kind: str, operand: str) -> Predicate:
    if symbol in _ORDERINGS:
        return _ordering(selector, _ORDERINGS[symbol], kind, operand)
    if kind not in ("text", "regex", "word"):
        raise _invalid(f"cannot compare with {operand!r}")
    equals = _equality(kind, operand)
    wanted = symbol == "="

    def matches(document: Any) -> bool:
        value = selector.find(document)
        return value is not MISSING and equals(value) is wanted

    return matches


def _ordering(selector: Selector, compare: Callable[[float, float], bool], kind: str, operand: str) -> Predicate:
    bound = _number(operand) if kind == "word" else None
    if bound is None:
        raise _invalid(f"{operand!r} is no number")

    def matches(document: Any) -> bool:
        value = selector.find(document)
        return isinstance(value, (int, float)) and not isinstance(value, bool) and compare(value, bound)

    return matches


def _equality(kind: str, operand: str) -> Predicate:
    if kind == "regex":
        try:
            regex = re.compile(operand[1:-1])
        except re.error as error:
            raise _invalid(f"bad regular expression {operand!r}: {error}") from error
        return lambda value: _is_plain(value) and regex.search(_text(value)) is not None
    wanted = str(json.loads(operand)) if kind == "text" else operand
    number = _number(wanted) if kind == "word" else None
    if number is not None:
        return lambda value: (
            value == wanted if isinstance(value, str) else not isinstance(value, bool) and value == number
        )
    glob = re.compile(".*".join(map(re.escape, wanted.split("*"))), re.DOTALL)
    return lambda value: _is_plain(value) and glob.fullmatch(_text(value)) is not None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
