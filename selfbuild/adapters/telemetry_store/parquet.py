"""The columns of segments, written and read through DuckDB in memory: no database file, no extension downloads.

Series files: `component, measure, metric, unit, direction` VARCHAR (direction empty = not declared), `period_s`
INTEGER, `start_s` BIGINT (start of the first period, seconds since the epoch), `periods` INTEGER, `samples` BLOB (one
little-endian float64 a period, NaN = no sample: bytes are read three times as fast as a list of DOUBLE, and every
value survives as it is). A row has at most 1,440 periods. Later rows win over earlier ones.

Events files: see `EVENT_COLUMNS`; sorted by `at`.

Names and texts from telemetry reach DuckDB as values only, never as SQL text or paths.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from selfbuild.adapters.telemetry_store.objects import Vanished, unreachable
from selfbuild.adapters.telemetry_store.segments import Range, micros, moment
from selfbuild.domain.base import CodeLocation
from selfbuild.domain.errors import Unreachable
from selfbuild.domain.telemetry import FloatArray, LogEvent

EVENT_COLUMNS = (
    ("at", "TIMESTAMPTZ"),
    ("tenant", "VARCHAR"),
    ("application", "VARCHAR"),
    ("component", "VARCHAR"),
    ("level", "VARCHAR"),
    ("message", "VARCHAR"),
    ("error_type", "VARCHAR"),
    ("path", "VARCHAR"),
    ("line", "INTEGER"),
    ("function", "VARCHAR"),
    ("stack", "VARCHAR"),
    ("release", "VARCHAR"),
    ("trace_id", "VARCHAR"),
    ("weight", "DOUBLE"),
)
"""Columns of events files, in order. `tenant` is the event's own; `path`, `line`, `function` are its location."""

ROW_PERIODS = 1440
"""A day of minutes in one row, and a bound on the memory that one row group needs."""

DEFAULT_MEMORY_MIB = 128
"""What DuckDB may use. Joins of a day of 150,000 events then stay below 300 MiB for the whole process."""

_SERIES_ROW_GROUP = 2048
"""Rows; DuckDB's smallest. At most 24 MB of samples."""

_EVENTS_ROW_GROUP = 16_384

_SERIES_SQL = f"""
COPY (
  SELECT component::VARCHAR AS component, measure::VARCHAR AS measure, metric::VARCHAR AS metric,
    unit::VARCHAR AS unit, direction::VARCHAR AS direction, period_s::INTEGER AS period_s,
    start_s::BIGINT AS start_s, periods::INTEGER AS periods, samples::BLOB AS samples
  FROM series_rows
) TO $path (FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE {_SERIES_ROW_GROUP}, USE_TMP_FILE false,
  KV_METADATA {{covers: $covers}})
"""
# Measured on 1.44 M points: lz4 7.1 bytes a point and 51 ms to read a week, zstd 5.1 bytes and 122 ms.

_EVENTS_FORMAT = f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_EVENTS_ROW_GROUP}, USE_TMP_FILE false)"

_EVENT_ROWS_SQL = f"""
COPY (
  SELECT make_timestamptz("at"::BIGINT) AS "at",
    {", ".join(f'"{name}"::{kind} AS "{name}"' for name, kind in EVENT_COLUMNS[1:])}
  FROM event_rows
) TO $path {_EVENTS_FORMAT}
"""

_LIVE_EVENTS = f"""
  SELECT {", ".join(f'event."{name}"' for name, _ in EVENT_COLUMNS)}
  FROM read_parquet($files, filename = true) AS event
  JOIN (
    SELECT unnest($names) AS filename,
      make_timestamptz(unnest($starts)) AS since, make_timestamptz(unnest($ends)) AS until
  ) AS live ON event.filename = live.filename AND event."at" >= live.since AND event."at" < live.until
"""


class SeriesKey(NamedTuple):
    """What tells series apart."""

    component: str
    measure: str
    metric: str
    period_s: int
    unit: str


@dataclass(frozen=True)
class SeriesRow:
    """Samples of consecutive periods as they lie in a file."""

    key: SeriesKey
    direction: str
    """Empty where none is declared."""
    start_s: int
    samples: FloatArray


class CorruptFile(Exception):
    """A file that is there and cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class ParquetFiles:
    """Reads and writes segment files. Threads may share it.

    Args:
        spill: A folder for what exceeds the memory.
        memory_mib: What DuckDB may use.
        threads: Threads of DuckDB.
    """

    def __init__(self, *, spill: Path, memory_mib: int = DEFAULT_MEMORY_MIB, threads: int = 2) -> None:
        self._connection = duckdb.connect(
            ":memory:",
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "memory_limit": f"{memory_mib}MiB",
                "threads": threads,
                "temp_directory": str(spill),
            },
        )

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()

    def write_series(self, path: Path, rows: Iterable[SeriesRow], *, covers: Sequence[Range]) -> None:
        """Write a series file of the rows, in their order, that says which ranges it covers."""
        parts = [part for row in rows for part in _parts(row)]
        columns = {
            "component": _objects([_storable(part.key.component) for part in parts]),
            "measure": _objects([part.key.measure for part in parts]),
            "metric": _objects([_storable(part.key.metric) for part in parts]),
            "unit": _objects([_storable(part.key.unit) for part in parts]),
            "direction": _objects([part.direction for part in parts]),
            "period_s": np.array([part.key.period_s for part in parts], dtype=np.int64),
            "start_s": np.array([part.start_s for part in parts], dtype=np.int64),
            "periods": np.array([len(part.samples) for part in parts], dtype=np.int64),
            "samples": _objects([part.samples.astype("<f8", copy=False).tobytes() for part in parts]),
        }
        self._write("series_rows", columns, _SERIES_SQL, path, covers=json.dumps(covers))

    def write_events(self, path: Path, events: Iterable[LogEvent], *, application: str) -> int:
        """Write an events file, sorted by time; how many there are."""
        rows = sorted(
            (_event_row(event, application) for event in events),
            key=lambda row: tuple("" if field is None else str(field) for field in row[3:]),
        )
        rows.sort(key=lambda row: row[0])
        columns: dict[str, Any] = {
            name: _objects([row[place] for row in rows]) for place, (name, _) in enumerate(EVENT_COLUMNS)
        }
        columns["at"] = np.array([row[0] for row in rows], dtype=np.int64)
        self._write("event_rows", columns, _EVENT_ROWS_SQL, path)
        return len(rows)

    def join_events(self, path: Path, live: Sequence[tuple[Path, Range]]) -> int:
        """Write the events of each file that lie in the range beside it to one file, sorted; how many there are."""
        statement = f"COPY ({_LIVE_EVENTS} ORDER BY ALL) TO $path {_EVENTS_FORMAT}"
        rows = self._read(statement, _live_parameters(live) | {"path": str(path)}, [file for file, _ in live])
        return int(rows.fetchall()[0][0])

    def chain_events(self, path: Path, files: Sequence[Path]) -> int:
        """Write the events of files that follow each other in time to one file; how many there are."""
        columns = ", ".join(f'"{name}"' for name, _ in EVENT_COLUMNS)
        statement = f"COPY (SELECT {columns} FROM read_parquet($files)) TO $path {_EVENTS_FORMAT}"
        answer = self._read(statement, {"files": _patterns(files), "path": str(path)}, files)
        return int(answer.fetchall()[0][0])

    def events(self, live: Sequence[tuple[Path, Range]], *, component: str | None, limit: int) -> list[LogEvent]:
        """The newest events of each file that lie in the range beside it."""
        columns = ", ".join(f'"{name}"' for name, _ in EVENT_COLUMNS[1:])
        statement = f"""
          SELECT epoch_us("at") AS "at", {columns} FROM ({_LIVE_EVENTS})
          WHERE $component IS NULL OR component = $component
          ORDER BY ALL DESC NULLS LAST LIMIT $limit
        """
        parameters = _live_parameters(live) | {"component": _optional(component), "limit": limit}
        return [_event_of(row) for row in self._read(statement, parameters, [file for file, _ in live]).fetchall()]

    def rows(
        self,
        files: Sequence[Path],
        *,
        component: str | None = None,
        measure: str | None = None,
        period_s: int | None = None,
    ) -> Iterator[SeriesRow]:
        """The rows of series files, file by file in the order given."""
        wanted = {"component": _optional(component), "measure": measure, "period_s": period_s}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = ${name}" for name in wanted) or "true"
        statement = f"""
          SELECT component, measure, metric, unit, direction, period_s, start_s, samples
          FROM read_parquet($files) WHERE {where}
        """
        columns = self._read(statement, {"files": _patterns(files)} | wanted, files).fetchnumpy()
        return _rows_of(columns)

    def covers(self, path: Path) -> list[Range]:
        """Which ranges a series file covers."""
        statement = "SELECT decode(value) FROM parquet_kv_metadata($files) WHERE decode(key) = 'covers'"
        ((text,),) = self._read(statement, {"files": _patterns([path])}, [path]).fetchall()
        return [(int(start), int(end)) for start, end in json.loads(text)]

    def _write(self, name: str, columns: Mapping[str, Any], statement: str, path: Path, **more: str) -> None:
        with self._cursor() as cursor, _translated(path.parent):
            cursor.register(name, columns)
            cursor.execute(statement, {"path": str(path), **more})

    def _read(self, statement: str, parameters: Mapping[str, Any], files: Sequence[Path]) -> "_Answer":
        cursor = self._connection.cursor()
        try:
            cursor.execute(statement, dict(parameters))
        except (duckdb.Error, OSError) as error:
            cursor.close()
            raise self._cause(error, files) from error
        return _Answer(self, cursor, files)

    def _cause(self, error: Exception, files: Sequence[Path]) -> Exception:
        """Which file made a statement fail, found by reading each."""
        for path in files:
            if not path.exists():
                return Vanished(path.name)
            with self._cursor() as cursor:
                try:
                    statement = "SELECT max(hash(part)) FROM read_parquet($files) AS part"
                    cursor.execute(statement, {"files": _patterns([path])}).fetchall()
                except duckdb.OutOfMemoryException:
                    continue
                except (duckdb.Error, OSError) as cause:
                    return (
                        CorruptFile(path, str(cause).strip().splitlines()[0]) if path.exists() else Vanished(path.name)
                    )
        return _failed(error)

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._connection.cursor()
        try:
            yield cursor
        finally:
            cursor.close()


class _Answer:
    """What a statement found; fetching may still meet a damaged file."""

    def __init__(self, parquet: ParquetFiles, cursor: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
        self._parquet = parquet
        self._cursor = cursor
        self._files = files

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._fetched("fetchall")  # type: ignore[no-any-return]

    def fetchnumpy(self) -> dict[str, NDArray[Any]]:
        return self._fetched("fetchnumpy")  # type: ignore[no-any-return]

    def _fetched(self, how: str) -> Any:
        try:
            return getattr(self._cursor, how)()
        except (duckdb.Error, OSError) as error:
            raise self._parquet._cause(error, self._files) from error
        finally:
            self._cursor.close()


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreachable(folder, "written", error) from error
    except duckdb.Error as error:
        # DuckDB gives most errors of the operating system as OSError, those of its writing threads only in the text.
        number = re.search(r'"errno":"(\d+)"', str(error))
        if number is None:
            raise _failed(error) from error
        cause = OSError(int(number[1]), os.strerror(int(number[1])))
        raise unreachable(folder, "written", cause) from error


def _failed(error: Exception) -> Unreachable:
    reason = str(error).strip().splitlines()[0][:500] if str(error).strip() else type(error).__name__
    return Unreachable(f"telemetry store: {type(error).__name__}: {reason}")


def _patterns(files: Sequence[Path]) -> list[str]:
    """The paths as DuckDB's patterns that match only them."""
    return [re.sub(r"([*?\[])", r"[\1]", str(path)) for path in files]


def _live_parameters(live: Sequence[tuple[Path, Range]]) -> dict[str, Any]:
    files = list(dict.fromkeys(path for path, _ in live))
    return {
        "files": _patterns(files),
        "names": [str(path) for path, _ in live],
        "starts": [start for _, (start, _) in live],
        "ends": [end for _, (_, end) in live],
    }


def _objects(values: Sequence[Any]) -> NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _storable(text: str) -> str:
    """The text with what UTF-8 cannot hold replaced: JSON may spell half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _optional(text: str | None) -> str | None:
    return None if text is None else _storable(text)


def _parts(row: SeriesRow) -> Iterator[SeriesRow]:
    if len(row.samples) <= ROW_PERIODS:
        yield row
        return
    for first in range(0, len(row.samples), ROW_PERIODS):
        start_s = row.start_s + first * row.key.period_s
        yield SeriesRow(row.key, row.direction, start_s, row.samples[first : first + ROW_PERIODS])


def _rows_of(columns: Mapping[str, NDArray[Any]]) -> Iterator[SeriesRow]:
    names = ("component", "measure", "metric", "period_s", "unit")
    keys = map(SeriesKey._make, zip(*(columns[name].tolist() for name in names), strict=True))
    rest = (columns[name].tolist() for name in ("direction", "start_s", "samples"))
    for key, direction, start_s, samples in zip(keys, *rest, strict=True):
        yield SeriesRow(key, direction, start_s, np.frombuffer(samples, dtype="<f8"))


def _event_row(event: LogEvent, application: str) -> tuple[Any, ...]:
    location = event.location
    return (
        micros(event.at),
        _storable(event.tenant_id),
        application,
        _storable(event.component),
        _storable(event.level),
        _storable(event.message),
        _optional(event.error_type),
        _optional(location.path) if location else None,
        location.line if location else None,
        _optional(location.function) if location else None,
        _optional(event.stack),
        _optional(event.release),
        _optional(event.trace_id),
        event.weight,
    )


def _event_of(row: Sequence[Any]) -> LogEvent:
    at, tenant, _, component, level, message, error_type, path, line, function, stack, release, trace_id, weight = row
    return LogEvent(
        at=moment(at),
        component=component,
        tenant_id=tenant,
        level=level,
        message=message,
        error_type=error_type,
        location=None if path is None else CodeLocation(path=path, line=line, function=function),
        stack=stack,
        release=release,
        trace_id=trace_id,
        weight=weight,
    )
