"""StartQuery, GetQueryResults, StopQuery and DescribeQueries over moto's log groups."""

import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from moto.logs.models import LogGroup, LogsBackend

from localaws.errors import AwsError, unsupported
from localaws.logs.api import group_of, invalid
from localaws.logs.events import events_of
from localaws.logs.insights.queries import InsightsQuery, Row, compile_query
from localaws.logs.insights.records import Moment, Record
from localaws.logs.insights.stages import MAX_ROWS

Params = Mapping[str, Any]
Answer = dict[str, Any]

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html
MAX_GROUPS = 50
_MAX_KEPT = 1_000


@dataclass
class StartedQuery:
    """A query between StartQuery and the last look at its results; it runs when first asked for them."""

    query_id: str
    source: str
    query: InsightsQuery
    groups: Sequence[LogGroup]
    start_ms: int
    end_ms: int
    limit: int
    created_ms: int
    owner: tuple[str, str]
    """Account id and region."""
    status: Literal["Scheduled", "Complete", "Cancelled"] = "Scheduled"
    rows: list[Row] = field(default_factory=list)
    matched_count: int = 0
    scanned_count: int = 0
    scanned_bytes: int = 0

    def run(self) -> None:
        output = self.query.run(self._records(), limit=self.limit)
        self.rows, self.matched_count = output.rows, output.matched_count
        self.status = "Complete"

    def _records(self) -> Iterator[Record]:
        found = [
            (event.timestamp, event.event_id, stream, event, group)
            for group in self.groups
            for stream, event in events_of(list(group.streams.values()), self.start_ms, self.end_ms)
        ]
        found.sort(key=lambda entry: entry[:2], reverse=True)
        self.scanned_count = len(found)
        for at_ms, event_id, stream, event, group in found:
            self.scanned_bytes += len(event.message.encode())
            values = {
                "@timestamp": Moment(at_ms),
                "@ingestionTime": Moment(event.ingestion_time),
                "@logStream": stream.log_stream_name,
                "@log": f"{group.account_id}:{group.name}",
                "@ptr": str(event_id),
            }
            yield Record(values, event.message)


class QueryBook:
    """The queries of a process; the oldest are forgotten."""

    def __init__(self) -> None:
        self._queries: OrderedDict[str, StartedQuery] = OrderedDict()
        self._lock = threading.Lock()

    def clear(self) -> None:
        with self._lock:
            self._queries.clear()

    def start(self, backend: LogsBackend, params: Params) -> Answer:
        """StartQuery.

        Raises:
            AwsError: MalformedQueryException for a query outside the supported language.
        """
        if params.get("queryLanguage") not in (None, "CWLI"):
            raise unsupported(f"the query language {params['queryLanguage']!r}")
        start_s, end_s = int(params["startTime"]), int(params["endTime"])
        if start_s > end_s:
            raise invalid("endTime must not be before startTime.")
        limit = int(params.get("limit") or MAX_ROWS)
        if not 1 <= limit <= MAX_ROWS:
            raise invalid(f"limit must be between 1 and {MAX_ROWS}.")
        groups = _groups(backend, params)
        started = StartedQuery(
            query_id=str(uuid.uuid4()),
            source=params["queryString"],
            query=compile_query(params["queryString"]),
            groups=groups,
            start_ms=start_s * 1000,
            end_ms=end_s * 1000 + 999,
            limit=limit,
            created_ms=int(time.time() * 1000),
            owner=(backend.account_id, backend.region_name),
        )
        with self._lock:
            self._queries[started.query_id] = started
            while len(self._queries) > _MAX_KEPT:
                self._queries.popitem(last=False)
        return {"queryId": started.query_id}

    def results(self, backend: LogsBackend, params: Params) -> Answer:
        """GetQueryResults: the first call runs the query and finds it complete."""
        for name in ("nextToken", "maxItems"):
            if params.get(name):
                raise unsupported(f"{name} of GetQueryResults")
        with self._lock:
            started = self._find(backend, params)
            if started.status == "Scheduled":
                started.run()
        return {
            "queryLanguage": "CWLI",
            "results": started.rows,
            "statistics": {
                "recordsMatched": float(started.matched_count),
                "recordsScanned": float(started.scanned_count),
                "bytesScanned": float(started.scanned_bytes),
                "logGroupsScanned": float(len(started.groups)),
            },
            "status": started.status,
        }

    def stop(self, backend: LogsBackend, params: Params) -> Answer:
        """StopQuery: only a query whose results nobody has asked for is still running."""
        with self._lock:
            started = self._find(backend, params)
            if started.status != "Scheduled":
                raise invalid(f"Query {started.query_id} is not running: {started.status}.")
            started.status = "Cancelled"
        return {"success": True}

    def describe(self, backend: LogsBackend, params: Params) -> Answer:
        """DescribeQueries, filtered by log group and status."""
        group, status = params.get("logGroupName"), params.get("status")
        with self._lock:
            found = [
                {
                    "queryId": each.query_id,
                    "queryString": each.source,
                    "status": each.status,
                    "createTime": each.created_ms,
                    "logGroupName": each.groups[0].name,
                }
                for each in self._queries.values()
                if each.owner == (backend.account_id, backend.region_name)
                and (not group or group in [item.name for item in each.groups])
                and (not status or status == each.status)
            ]
        return {"queries": found}

    def _find(self, backend: LogsBackend, params: Params) -> StartedQuery:
        started = self._queries.get(params["queryId"])
        if started is None or started.owner != (backend.account_id, backend.region_name):
            raise AwsError("ResourceNotFoundException", f"Query {params['queryId']!r} does not exist.")
        return started


def _groups(backend: LogsBackend, params: Params) -> list[LogGroup]:
    named = [params[name] for name in ("logGroupName", "logGroupNames", "logGroupIdentifiers") if params.get(name)]
    if len(named) != 1:
        raise invalid("Exactly one of logGroupName, logGroupNames and logGroupIdentifiers is required.")
    names = [named[0]] if isinstance(named[0], str) else list(named[0])
    if len(names) > MAX_GROUPS:
        raise invalid(f"At most {MAX_GROUPS} log groups.")
    return [group_of(backend, None, name) if name.startswith("arn:") else group_of(backend, name) for name in names]
