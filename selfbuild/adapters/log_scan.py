"""One columnar pass over files of log lines: what each group of lines holds, without a Python step per line.

DuckDB parses, masks (with the pattern of `selfbuild.analysis.masks`) and counts; Python sees each different masked
line once and groups it. Paths, patterns, keys and filters reach the SQL as parameters only.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import duckdb

from selfbuild.analysis.log_groups import LogGrouper
from selfbuild.analysis.masks import COARSE, MAX_LINE, WILDCARD
from selfbuild.domain.errors import InvalidRequest, NotFound

MEMORY_MIB: Final = 176
"""Of DuckDB; the process has about 60 MiB more."""
THREADS: Final = 2
MAX_TENANTS: Final = 20
MAX_GROUPS: Final = 10_000
BATCH: Final = 10_000
"""Different masked lines handed to the grouper at a time."""
SAMPLE_LENGTH: Final = 500
MAX_OBJECT_BYTES: Final = 4 * 2**20
"""Longest JSON line; DuckDB keeps a buffer of twice that for each thread. CloudWatch's own limit is 1 MiB."""
_MILLISECONDS_FROM: Final = 100_000_000_000
"""A bare number at or above this is milliseconds since 1970, below it seconds."""


@dataclass(frozen=True, slots=True)
class LogKeys:
    """The keys of a JSON line that hold what a scan reads; the first of `message` that is present counts."""

    at: str = "timestamp"
    tenant: str = "tenant_id"
    application: str = "application"
    component: str = "component"
    level: str = "level"
    message: tuple[str, ...] = ("message",)


PARQUET_KEYS: Final = LogKeys(at="at", tenant="tenant")
"""Columns of the Parquet files that hold log lines."""


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which lines count; None lets all pass. A line without a readable time passes no time filter."""

    tenant: str | None = None
    application: str | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None
    """The first moment that no longer counts."""
    levels: tuple[str, ...] | None = None
    """Upper case."""


@dataclass(frozen=True, slots=True)
class LogGroup:
    """The lines of one template in one component."""

    group_id: str
    template: str
    component: str | None
    line_count: int
    first_at: datetime | None
    """None when no line of the group has a readable time."""
    last_at: datetime | None
    tenant_count: int
    tenants: tuple[str, ...]
    """At most `MAX_TENANTS`, the first by name."""
    levels: Mapping[str, int]
    """Lines by level, upper case; lines without one are missing."""
    sample: str
    """One line of the group, the smallest as text, cut to `SAMPLE_LENGTH`."""


def scan_groups(
    files: Sequence[Path | str],
    *,
    source: Literal["json", "parquet"] = "json",
    keys: LogKeys | None = None,
    where: LogFilter | None = None,
    grouper: LogGrouper | None = None,
    memory_mib: int = MEMORY_MIB,
    threads: int = THREADS,
) -> list[LogGroup]:
    """What the lines of the files say, by group and component, the most frequent first, at most `MAX_GROUPS`.

    Lines that are no JSON object, not UTF-8, or without a message are passed over.

    Args:
        files: Paths or globs of JSON Lines (also compressed with gzip) or Parquet files.
        source: The format of all of them.
        keys: Where the values are; None takes the defaults of the format.
        where: Which lines count.
        grouper: Learns from these lines and knows those of earlier scans; None starts afresh.
        memory_mib: Limit of DuckDB's memory; it spills to a temporary folder beyond it.
        threads: Of DuckDB.

    Raises:
        NotFound: No file matches.
        InvalidRequest: A file cannot be read in this format, or the limits are too small for it.
    """
    reader = keys or (PARQUET_KEYS if source == "parquet" else LogKeys())
    with tempfile.TemporaryDirectory(prefix="log-scan-") as spill, _translated(files):
        settings: dict[str, Any] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": f"{memory_mib}MiB",
            "preserve_insertion_order": "false",
            "threads": threads,
            "temp_directory": spill,
        }
        with closing(duckdb.connect(":memory:", config=settings)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            _count(connection, files, source, reader, where or LogFilter())
            templates = _group(connection, grouper or LogGrouper())
            return [_log_group(row, templates) for row in connection.execute(_SUMMARY, [MAX_GROUPS]).fetchall()]


@contextmanager
def _translated(files: Sequence[Path | str]) -> Iterator[None]:
    try:
        yield
    except duckdb.IOException as error:
        raise NotFound(f"no log lines at {[str(file) for file in files]!r}: {error}") from error
    except duckdb.Error as error:
        raise InvalidRequest(f"log files {[str(file) for file in files]!r} cannot be read: {error}") from error


def _count(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Path | str],
    source: Literal["json", "parquet"],
    keys: LogKeys,
    where: LogFilter,
) -> None:
    """Fill table `counted`: lines by masked line, component, level and tenant, and their times."""
    message = "coalesce(" + ", ".join(_name(key) for key in keys.message) + ")"
    parameters: dict[str, Any] = {"files": [str(file) for file in files], "pattern": COARSE, "mask": WILDCARD}
    if source == "json":
        columns = (keys.at, keys.tenant, keys.application, keys.component, keys.level, *keys.message)
        parameters["columns"] = dict.fromkeys(columns, "VARCHAR")
        table = (
            "read_json($files, columns = $columns, format = 'newline_delimited', ignore_errors = true,"
            f" maximum_object_size = {MAX_OBJECT_BYTES})"
        )
        at = _time_of(_name(keys.at))
    else:
        table, at = "read_parquet($files)", f"epoch_us({_name(keys.at)})"
    conditions = [f"{message} IS NOT NULL", *_conditions(at, keys, where, parameters)]
    connection.execute(
        f"""CREATE TABLE counted AS
        SELECT regexp_replace(line, $pattern, $mask, 'g') AS coarse, component, level, tenant,
            count(*) AS line_count, min(moment) AS first_us, max(moment) AS last_us,
            min(left(line, {SAMPLE_LENGTH})) AS sample
        FROM (
            SELECT left({message}, {MAX_LINE}) AS line, {at} AS moment, {_name(keys.component)} AS component,
                {_name(keys.level)} AS level, {_name(keys.tenant)} AS tenant
            FROM {table} WHERE {" AND ".join(conditions)}
        ) GROUP BY coarse, component, level, tenant""",
        parameters,
    )


def _name(key: str) -> str:
    """The key as an SQL identifier: quoted, so that whatever it holds is a name."""
    if not key or "\0" in key:
        raise InvalidRequest(f"{key!r} is no key of a log line")
    return '"' + key.replace('"', '""') + '"'


def _time_of(column: str) -> str:
    """Microseconds since 1970 of ISO 8601 text or of a bare number of seconds or milliseconds."""
    number = f"try_cast({column} AS BIGINT)"
    return (
        f"coalesce(epoch_us(try_cast({column} AS TIMESTAMPTZ)),"
        f" {number} * CASE WHEN {number} >= {_MILLISECONDS_FROM} THEN 1000 ELSE 1000000 END)"
    )


def _conditions(at: str, keys: LogKeys, where: LogFilter, parameters: dict[str, Any]) -> Iterator[str]:
    """The filters that are set as SQL; their values are added to the parameters."""
    if where.tenant is not None:
        parameters["tenant"] = where.tenant
        yield f"{_name(keys.tenant)} = $tenant"
    if where.application is not None:
        parameters["application"] = where.application
        yield f"{_name(keys.application)} = $application"
    if where.levels is not None:
        parameters["levels"] = list(where.levels)
        yield f"list_contains($levels, upper({_name(keys.level)}))"
    if where.start_at is not None:
        parameters["start"] = _microseconds(where.start_at)
        yield f"{at} >= $start"
    if where.end_at is not None:
        parameters["end"] = _microseconds(where.end_at)
        yield f"{at} < $end"


def _microseconds(at: datetime) -> int:
    if at.tzinfo is None:
        raise InvalidRequest(f"{at!r} names no time zone: pass an aware datetime")
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)


def _group(connection: duckdb.DuckDBPyConnection, grouper: LogGrouper) -> dict[str, str]:
    """Fill table `grouped`: the group of each masked line; returns the template of each group id.

    Two passes: the first learns from all lines, the second knows what they have in common.
    """
    connection.execute("CREATE TABLE grouped (coarse VARCHAR, group_id VARCHAR)")
    texts = "SELECT DISTINCT coarse FROM counted ORDER BY coarse"
    for batch in _batches(connection, texts):
        grouper.group_coarse(batch)
    templates: dict[str, str] = {}
    for batch in _batches(connection, texts):
        groups = grouper.group_coarse(batch)
        templates.update(groups)
        ids = [group.group_id for group in groups]
        connection.execute("INSERT INTO grouped SELECT unnest($texts), unnest($ids)", {"texts": batch, "ids": ids})
    return templates


def _batches(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[list[str]]:
    with closing(connection.cursor()) as cursor:
        result = cursor.execute(query)
        while rows := result.fetchmany(BATCH):
            yield [row[0] for row in rows]


_SUMMARY: Final = f"""
WITH lines AS (SELECT group_id, component, upper(level) AS level, tenant, line_count, first_us, last_us, sample
               FROM counted JOIN grouped USING (coarse)),
by_level AS (SELECT group_id, component, map(list(level ORDER BY level), list(level_count ORDER BY level)) AS levels
             FROM (SELECT group_id, component, level, sum(line_count)::BIGINT AS level_count
                   FROM lines WHERE level IS NOT NULL GROUP BY ALL) GROUP BY ALL),
by_group AS (SELECT group_id, component, sum(line_count)::BIGINT AS line_count, min(first_us) AS first_us,
                max(last_us) AS last_us, min(sample) AS sample, count(DISTINCT tenant) AS tenant_count,
                list_distinct(min(tenant, {MAX_TENANTS})) AS some_tenants
             FROM (SELECT group_id, component, tenant, sum(line_count) AS line_count, min(first_us) AS first_us,
                       max(last_us) AS last_us, min(sample) AS sample FROM lines GROUP BY ALL) GROUP BY ALL)
SELECT by_group.group_id, by_group.component, line_count, first_us, last_us, tenant_count, list_sort(some_tenants),
    levels, sample
FROM by_group LEFT JOIN by_level
  ON by_group.group_id = by_level.group_id AND by_group.component IS NOT DISTINCT FROM by_level.component
ORDER BY line_count DESC, by_group.group_id, by_group.component LIMIT ?"""


def _log_group(row: tuple[Any, ...], templates: Mapping[str, str]) -> LogGroup:
    group_id, component, line_count, first_us, last_us, tenant_count, tenants, levels, sample = row
    return LogGroup(
        group_id=group_id,
        template=templates[group_id],
        component=component,
        line_count=line_count,
        first_at=_moment(first_us),
        last_at=_moment(last_us),
        tenant_count=tenant_count,
        tenants=tuple(tenants or ()),
        levels=dict(levels or {}),
        sample=sample,
    )


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1_000_000, UTC)
