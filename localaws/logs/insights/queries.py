"""Compiled Insights queries: running them over records and shaping the rows of the answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from localaws.logs.insights.records import Record, text
from localaws.logs.insights.stages import MAX_ROWS, Fields, Filter, Limit, Parse, Stage, Stats, parse_stage
from localaws.logs.insights.tokens import malformed, split_stages

Row = list[dict[str, str]]


@dataclass(frozen=True)
class Output:
    """The rows of a query and how many log events matched its filters."""

    rows: list[Row]
    matched_count: int


@dataclass(frozen=True)
class InsightsQuery:
    """A parsed query."""

    stages: Sequence[Stage]

    def run(self, records: Iterable[Record], *, limit: int = MAX_ROWS) -> Output:
        """Runs the query over log events, newest first; `limit` holds where the query has none."""
        current = list(records)
        matched_count: int | None = None
        for stage in self.stages:
            if matched_count is None and not isinstance(stage, (Fields, Filter, Parse)):
                matched_count = len(current)
            current = stage.apply(current)
        if matched_count is None:
            matched_count = len(current)
        if not any(isinstance(stage, Limit) for stage in self.stages):
            current = current[:limit]
        columns = self._columns()
        return Output([_row(record, columns) for record in current], matched_count)

    def _columns(self) -> list[str]:
        chosen: list[str] = []
        shown: list[str] | None = None
        for stage in self.stages:
            if isinstance(stage, Fields):
                names = [column.name for column in stage.columns]
                if stage.is_display:
                    shown = names
                chosen += names
            elif isinstance(stage, Parse):
                chosen += stage.names
            elif isinstance(stage, Stats):
                chosen = [column.name for column in (*stage.keys, *stage.columns)]
        if shown is not None:
            return shown
        has_fields = any(isinstance(stage, (Fields, Stats)) for stage in self.stages)
        return list(dict.fromkeys(chosen if has_fields else ["@timestamp", "@message", *chosen]))


def compile_query(source: str) -> InsightsQuery:
    """Parses a whole query.

    Raises:
        AwsError: MalformedQueryException.
    """
    stages = [parse_stage(stage) for stage in split_stages(source)]
    if not stages:
        raise malformed("the query is empty")
    return InsightsQuery(stages)


def _row(record: Record, columns: Sequence[str]) -> Row:
    row = [{"field": name, "value": text(value)} for name in columns if (value := record.get(name)) is not None]
    pointer = record.values.get("@ptr")
    if pointer is not None and "@ptr" not in columns:
        row.append({"field": "@ptr", "value": str(pointer)})
    return row
