"""The CloudWatch Logs operations that moto answers wrongly: writing, filtering and metric filters."""

import base64
import binascii
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moto.logs.models import LogGroup, LogsBackend, LogStream

from localaws.errors import AwsError, unsupported
from localaws.logs.emf import extract_metrics
from localaws.logs.events import all_groups, drop_expired, events_of
from localaws.logs.metric_filters import check_metric_filter, filter_metrics
from localaws.logs.patterns import compile_pattern, parse_json
from localaws.metrics.store import MetricStore, Retention

Params = Mapping[str, Any]
Answer = dict[str, Any]

# Limits of PutLogEvents: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
MAX_BATCH_BYTES = 1_048_576
EVENT_OVERHEAD_BYTES = 26
MAX_BATCH_EVENTS = 10_000
DAY_MS = 86_400_000
MAX_AGE_MS = 14 * DAY_MS
MAX_AHEAD_MS = 2 * 3_600_000

MAX_PAGE_EVENTS = 10_000
_FOREVER_MS = 2**62
# Retention is enforced once in this many events; a full pass for every batch would be too dear.
_RETENTION_EVERY = 10_000


def invalid(message: str) -> AwsError:
    """The error CloudWatch Logs gives for a parameter it does not accept."""
    return AwsError("InvalidParameterException", message)


def group_of(backend: LogsBackend, name: str | None, identifier: str | None = None) -> LogGroup:
    """The log group a request names, by name or by ARN."""
    if bool(name) == bool(identifier):
        raise invalid("Exactly one of logGroupName and logGroupIdentifier is required.")
    wanted = name or str(identifier).removesuffix(":*").rpartition(":log-group:")[2]
    if wanted not in backend.groups:
        raise AwsError("ResourceNotFoundException", f"The specified log group does not exist: {wanted!r}.")
    return backend.groups[wanted]


class LogWriter:
    """PutLogEvents: checks, storage, metric extraction and retention."""

    def __init__(self, clock: Callable[[], float], retention: Retention) -> None:
        self._clock = clock
        self._retention = retention
        self._until_retention = _RETENTION_EVERY
        self._lock = threading.Lock()

    def put_log_events(self, backend: LogsBackend, store: MetricStore, params: Params) -> Answer:
        """Stores the events in the accepted time range and feeds the metrics they carry.

        Raises:
            AwsError: The batch breaks a limit, or the group or stream does not exist.
        """
        group = group_of(backend, params.get("logGroupName"))
        stream = group.streams.get(str(params.get("logStreamName")))
        if stream is None:
            raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
        events: Sequence[dict[str, Any]] = params.get("logEvents") or ()
        _check_batch(events)
        now_ms = int(self._clock() * 1000)
        accepted, rejected = _split_by_age(events, now_ms, group)
        # moto extends and reassigns a stream's list without a lock: two writers, or a writer and the
        # retention, would lose events.
        with self._lock:
            token = stream.put_log_events(accepted)
            self._until_retention -= len(accepted)
            if self._until_retention <= 0:
                self._drop_expired(now_ms)
        self._extract(backend, store, group, accepted)
        answer: Answer = {"nextSequenceToken": token}
        if rejected:
            answer["rejectedLogEventsInfo"] = rejected
        return answer

    def _drop_expired(self, now_ms: int) -> None:
        limit = self._retention.max_log_events
        remaining = drop_expired(
            all_groups(), now_ms, max_age_ms=int(self._retention.max_age_s * 1000), max_events=limit
        )
        self._until_retention = max(1, min(_RETENTION_EVERY, limit - remaining))

    def _extract(self, backend: LogsBackend, store: MetricStore, group: LogGroup, events: Sequence[Params]) -> None:
        for event in events:
            if '"_aws"' in event["message"]:
                for found in extract_metrics(parse_json(event["message"]), event["timestamp"] / 1000):
                    found.store_in(store)
        filters = backend.filters.get_matching_filters(log_group_name=group.name)
        batch = [(event["timestamp"] / 1000, event["message"]) for event in events]
        for found in filter_metrics(filters, batch):
            found.store_in(store)


def _check_batch(events: Sequence[Params]) -> None:
    if not 1 <= len(events) <= MAX_BATCH_EVENTS:
        raise invalid(f"logEvents must hold between 1 and {MAX_BATCH_EVENTS} events, found {len(events)}.")
    if any(not event["message"] for event in events):
        raise invalid("Log event message is empty.")
    size = sum(len(event["message"].encode()) + EVENT_OVERHEAD_BYTES for event in events)
    if size > MAX_BATCH_BYTES:
        raise invalid(f"Upload too large: {size} bytes exceeds limit of {MAX_BATCH_BYTES}")
    times = [event["timestamp"] for event in events]
    if times != sorted(times):
        raise invalid("Log events in a single PutLogEvents request must be in chronological order.")
    if times[-1] - times[0] > DAY_MS:
        raise invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")


def _split_by_age(
    events: Sequence[dict[str, Any]], now_ms: int, group: LogGroup
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The events CloudWatch stores, and which it rejects: end indexes are exclusive, start inclusive."""
    oldest_ms = now_ms - MAX_AGE_MS
    expired_ms = now_ms - int(group.retention_in_days) * DAY_MS if group.retention_in_days else 0
    newest_ms = now_ms + MAX_AHEAD_MS
    too_old = sum(event["timestamp"] < oldest_ms for event in events)
    expired = sum(event["timestamp"] < expired_ms for event in events)
    too_new = sum(event["timestamp"] > newest_ms for event in events)
    rejected = {}
    if too_old:
        rejected["tooOldLogEventEndIndex"] = too_old
    if expired:
        rejected["expiredLogEventEndIndex"] = expired
    if too_new:
        rejected["tooNewLogEventStartIndex"] = len(events) - too_new
    return list(events[max(too_old, expired) : len(events) - too_new]), rejected


def filter_log_events(backend: LogsBackend, params: Params) -> Answer:
    """FilterLogEvents: matching events of all streams in time order, with pagination."""
    group = group_of(backend, params.get("logGroupName"), params.get("logGroupIdentifier"))
    if params.get("unmask"):
        raise unsupported("unmask of FilterLogEvents")
    limit = int(params.get("limit") or MAX_PAGE_EVENTS)
    if not 1 <= limit <= MAX_PAGE_EVENTS:
        raise invalid(f"limit must be between 1 and {MAX_PAGE_EVENTS}.")
    pattern = compile_pattern(params.get("filterPattern") or "")
    after = _decode_position(params.get("nextToken"))
    found = sorted(
        (
            (event.timestamp, event.event_id, stream, event)
            for stream, event in events_of(
                _streams(group, params), int(params.get("startTime") or 0), int(params.get("endTime") or _FOREVER_MS)
            )
            if (event.timestamp, event.event_id) > after and pattern.matches(event.message)
        ),
        key=lambda entry: entry[:2],
    )
    answer: Answer = {
        "events": [
            event.to_filter_dict() | {"logStreamName": stream.log_stream_name} for _, _, stream, event in found[:limit]
        ],
        "searchedLogStreams": [],
    }
    if len(found) > limit:
        answer["nextToken"] = _encode_position(*found[limit - 1][:2])
    return answer


def _streams(group: LogGroup, params: Params) -> list[LogStream]:
    names, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix")
    if names and prefix:
        raise invalid("logStreamNames and logStreamNamePrefix are mutually exclusive.")
    for name in names or ():
        if name not in group.streams:
            raise AwsError("ResourceNotFoundException", f"The specified log stream does not exist: {name!r}.")
    return [
        stream
        for name, stream in list(group.streams.items())
        if (not names or name in names) and name.startswith(prefix or "")
    ]


def _encode_position(at_ms: int, event_id: int) -> str:
    return base64.urlsafe_b64encode(f"{at_ms}:{event_id}".encode()).decode()


def _decode_position(token: str | None) -> tuple[int, int]:
    if not token:
        return (-1, -1)
    try:
        at_ms, _, event_id = base64.urlsafe_b64decode(token.encode()).decode().partition(":")
        return int(at_ms), int(event_id)
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise invalid("The specified nextToken is invalid.") from error


def put_metric_filter(backend: LogsBackend, params: Params) -> None:
    """PutMetricFilter: creates the filter or replaces the one of the same name in the same group."""
    group = group_of(backend, params.get("logGroupName"))
    check_metric_filter(params)
    backend.filters.delete_filter(params["filterName"], group.name)
    backend.filters.metric_filters.append(
        {
            "filterName": params["filterName"],
            "filterPattern": params["filterPattern"],
            "logGroupName": group.name,
            "metricTransformations": params["metricTransformations"],
            "creationTime": int(time.time() * 1000),
        }
    )
