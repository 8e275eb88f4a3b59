"""The commands of an Insights query: parsed from text, applied to a list of records."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from localaws.logs.insights.expressions import Aggregate, Expression, ExpressionParser, compile_regex, symbol
from localaws.logs.insights.records import Record, sort_key, text
from localaws.logs.insights.tokens import Token, malformed, rendered, tokenize, unquoted

MAX_ROWS = 10_000

_PARSE = re.compile(
    r"(?:(?P<field>@?[\w.@]+|`[^`]+`)\s+)?(?P<pattern>\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|/(?:\\.|[^/\\])*/)"
    r"(?:\s*as\s+(?P<names>.+))?",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True)
class Column:
    """A named expression."""

    name: str
    value: Expression


@dataclass(frozen=True)
class Fields:
    """`fields` and `display`; display replaces the columns chosen before."""

    columns: Sequence[Column]
    is_display: bool

    def apply(self, records: list[Record]) -> list[Record]:
        for record in records:
            for column in self.columns:
                record.values[column.name] = column.value(record)
        return records


@dataclass(frozen=True)
class Filter:
    condition: Expression

    def apply(self, records: list[Record]) -> list[Record]:
        return [record for record in records if self.condition(record)]


@dataclass(frozen=True)
class Parse:
    """Adds the groups of a pattern as fields; a record without a match stays as it is."""

    field: str
    regex: re.Pattern[str]
    names: Sequence[str]

    def apply(self, records: list[Record]) -> list[Record]:
        for record in records:
            value = record.get(self.field)
            found = None if value is None else self.regex.search(text(value))
            if found is not None:
                record.values.update(zip(self.names, found.groups(), strict=True))
        return records


@dataclass(frozen=True)
class Stats:
    columns: Sequence[Column]
    aggregates: Sequence[Aggregate]
    keys: Sequence[Column]

    def apply(self, records: list[Record]) -> list[Record]:
        groups: dict[tuple[str | None, ...], tuple[list[Any], list[Record]]] = {}
        for record in records:
            values = [column.value(record) for column in self.keys]
            key = tuple(None if value is None else text(value) for value in values)
            groups.setdefault(key, (values, []))[1].append(record)
        if not groups and not self.keys:
            groups[()] = ([], [])
        return [self._row(values, members) for values, members in groups.values()]

    def _row(self, key_values: Sequence[Any], members: Sequence[Record]) -> Record:
        row = Record({column.name: value for column, value in zip(self.keys, key_values, strict=True)})
        for each in self.aggregates:
            rows = [(member.get("@timestamp") or 0, each.argument(member)) for member in members]
            row.values[each.key] = each.reduce(rows)
        for column in self.columns:
            row.values[column.name] = column.value(row)
        return row


@dataclass(frozen=True)
class Sort:
    keys: Sequence[tuple[Expression, bool]]
    """Expression and whether it descends, the most significant first."""

    def apply(self, records: list[Record]) -> list[Record]:
        for value, descending in reversed(self.keys):
            records = sorted(records, key=lambda record: sort_key(value(record)), reverse=descending)
        return records


@dataclass(frozen=True)
class Limit:
    count: int

    def apply(self, records: list[Record]) -> list[Record]:
        return records[: self.count]


@dataclass(frozen=True)
class Dedup:
    columns: Sequence[Column]

    def apply(self, records: list[Record]) -> list[Record]:
        seen: set[tuple[Any, ...]] = set()
        kept = []
        for record in records:
            values = [column.value(record) for column in self.columns]
            key = tuple(None if value is None else text(value) for value in values)
            if key not in seen:
                seen.add(key)
                kept.append(record)
        return kept


Stage = Fields | Filter | Parse | Stats | Sort | Limit | Dedup


def parse_stage(source: str) -> Stage:
    """Parses one command with its arguments.

    Raises:
        AwsError: MalformedQueryException for what is malformed or not supported.
    """
    found = re.match(r"([A-Za-z]+)\b\s*(.*)", source, re.DOTALL)
    if found is None:
        raise malformed(f"expected a command, found {source[:20]!r}")
    command, rest = found[1].lower(), found[2].strip()
    if command in ("fields", "display"):
        return Fields(_columns(rest), command == "display")
    if command == "limit":
        return _limit(rest)
    if command == "parse":
        return _parse(rest)
    if command == "stats":
        return _stats(rest)
    if command == "dedup":
        return Dedup(_columns(rest))
    if command == "sort":
        return Sort(list(_sort_keys(rest)))
    if command == "filter":
        parser = ExpressionParser(tokenize(rest))
        condition = parser.expression()
        _check_end(parser)
        return Filter(condition)
    raise malformed(f"localaws does not support the command {command!r}")


def _check_end(parser: ExpressionParser) -> None:
    if not parser.at_end():
        raise malformed(f"unexpected {parser.next().text!r}")


def _columns(source: str) -> list[Column]:
    tokens = tokenize(source)
    parser = ExpressionParser(tokens)
    columns = list(_column_list(parser, tokens))
    _check_end(parser)
    return columns


def _column_list(parser: ExpressionParser, tokens: Sequence[Token]) -> Iterator[Column]:
    while True:
        start = parser.position
        value = parser.expression()
        name = rendered(tokens[start : parser.position])
        if parser.accept(Token("keyword", "as")):
            token = parser.next()
            if token.kind != "field":
                raise malformed(f"expected a name after as, found {token.text!r}")
            name = token.text
        yield Column(name, value)
        if not parser.accept(symbol(",")):
            return


def _stats(source: str) -> Stats:
    tokens = tokenize(source)
    aggregates: list[Aggregate] = []
    parser = ExpressionParser(tokens, aggregates)
    columns: list[Column] = []
    for column in _column_list(parser, tokens):
        columns.append(column)
        if len(aggregates) < len(columns):
            raise malformed(f"stats needs an aggregate function in {column.name!r}")
    keys: list[Column] = []
    if parser.accept(Token("keyword", "by")):
        rest = tokens[parser.position :]
        key_parser = ExpressionParser(rest)
        keys = list(_column_list(key_parser, rest))
        _check_end(key_parser)
    else:
        _check_end(parser)
    return Stats(columns, aggregates, keys)


def _sort_keys(source: str) -> Iterator[tuple[Expression, bool]]:
    tokens = tokenize(source)
    parser = ExpressionParser(tokens, [])
    while True:
        start = parser.position
        value = parser.expression()
        name = rendered(tokens[start : parser.position])
        descending = parser.accept(Token("keyword", "desc"))
        if not descending:
            parser.accept(Token("keyword", "asc"))
        yield _named_or(name, value), descending
        if not parser.accept(symbol(",")):
            break
    _check_end(parser)


def _named_or(name: str, value: Expression) -> Expression:
    """A column that `stats` named after its source, such as count(*), or else the expression itself."""
    return lambda record: record.values[name] if name in record.values else value(record)


def _limit(rest: str) -> Limit:
    if not rest.isdigit() or not 1 <= int(rest) <= MAX_ROWS:
        raise malformed(f"limit must be between 1 and {MAX_ROWS}, found {rest!r}")
    return Limit(int(rest))


def _parse(rest: str) -> Parse:
    found = _PARSE.fullmatch(rest)
    if found is None:
        raise malformed(f"cannot read parse {rest[:40]!r}")
    field = (found["field"] or "@message").strip("`")
    pattern = found["pattern"]
    names = [name.strip() for name in (found["names"] or "").split(",") if name.strip()]
    if pattern.startswith("/"):
        regex = compile_regex(pattern[1:-1])
        names = names or list(regex.groupindex)
    else:
        regex = _glob(unquoted(pattern))
    if not names or regex.groups != len(names):
        raise malformed(f"parse has {regex.groups} groups and {len(names)} names")
    return Parse(field, regex, names)


def _glob(pattern: str) -> re.Pattern[str]:
    """Stars are shortest matches, except that a star at the end takes the rest."""
    source = "(.*?)".join(map(re.escape, pattern.split("*")))
    if pattern.endswith("*"):
        source = source.removesuffix("(.*?)") + "(.*)"
    return re.compile(source, re.DOTALL)
