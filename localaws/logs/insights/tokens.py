"""Lexing of Insights queries: stages separated by pipes, and the tokens inside a stage."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from localaws.errors import AwsError

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_WORD_OPERATORS = frozenset({"and", "or", "not", "like", "in", "as", "by", "asc", "desc"})
_TOKEN = re.compile(
    r"\s*(?:(?P<duration>\d+(?:ms|s|m|h|d|w)\b)|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<text>\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*')|`(?P<quoted>[^`]+)`"
    r"|(?P<symbol>!=|>=|<=|=~|[=<>()+\-*%^,/\[\]])|(?P<word>[@A-Za-z_][\w@.]*))"
)
_REGEX = re.compile(r"\s*/((?:\\.|[^/\\])*)/(i?)")


def malformed(reason: str) -> AwsError:
    """The error for a query that Insights, or this subset of it, does not accept."""
    return AwsError("MalformedQueryException", reason)


@dataclass(frozen=True)
class Token:
    """`kind` is duration, number, text, field, symbol, keyword or regex."""

    kind: str
    text: str

    def duration_ms(self) -> int:
        found = re.fullmatch(r"(\d+)(\w+)", self.text)
        if self.kind != "duration" or found is None:
            raise malformed(f"expected a duration such as 5m, found {self.text!r}")
        return int(found[1]) * _UNIT_MS[found[2]]


def unquoted(text: str) -> str:
    """The content of a quoted string; a backslash keeps the next character as it is."""
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def split_stages(query: str) -> list[str]:
    """Cuts a query at the pipes that are outside quotes and regular expressions, dropping # comments."""
    stages = [""]
    position = 0
    while position < len(query):
        char = query[position]
        if char == "#":
            position = _end_of_line(query, position)
            continue
        step = 1
        if char in "\"'`":
            step = _quoted_length(query, position)
        elif char == "/" and _regex_may_follow(stages[-1]):
            found = _REGEX.match(query, position)
            step = found.end() - position if found else 1
        if char == "|":
            stages.append("")
        else:
            stages[-1] += query[position : position + step]
        position += step
    return [stage.strip() for stage in stages if stage.strip()]


def _end_of_line(query: str, position: int) -> int:
    found = query.find("\n", position)
    return len(query) if found < 0 else found


def _quoted_length(query: str, position: int) -> int:
    found = re.compile(r"(['\"`])(?:\\.|(?!\1).)*\1", re.DOTALL).match(query, position)
    if found is None:
        raise malformed(f"a quote is not closed: {query[position : position + 20]!r}")
    return found.end() - position


def _regex_may_follow(before: str) -> bool:
    """A slash is division except after like and =~, and in parse."""
    return re.search(r"(\blike|=~|^\s*parse\b[^/]*)\s*$", before) is not None


def tokenize(source: str) -> list[Token]:
    """The tokens of one stage."""
    found: list[Token] = []
    position = 0
    while source[position:].strip():
        if found and found[-1] in (Token("keyword", "like"), Token("symbol", "=~")):
            regex = _REGEX.match(source, position)
            if regex is not None:
                found.append(Token("regex", ("(?i)" if regex[2] else "") + regex[1]))
                position = regex.end()
                continue
        match = _TOKEN.match(source, position)
        if match is None or match.lastgroup is None:
            raise malformed(f"unexpected {source[position:].strip()[:20]!r}")
        found.append(_token(match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return found


def _token(group: str, text: str) -> Token:
    if group == "text":
        return Token("text", unquoted(text))
    if group == "quoted":
        return Token("field", text)
    if group == "word":
        return Token("keyword", text.lower()) if text.lower() in _WORD_OPERATORS else Token("field", text)
    return Token(group, text)


def rendered(tokens: Sequence[Token]) -> str:
    """The column name of an unnamed expression: its source without spaces."""
    return "".join(f'"{token.text}"' if token.kind == "text" else token.text for token in tokens)
