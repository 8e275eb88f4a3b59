"""What the CloudWatch source does when calls fail, over real HTTP at the local AWS: one line a fault and call.

Run by `python -m benchmarks.source_faults`; the same table is asserted by the tests.
"""

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import structlog

from benchmarks.machine import describe
from localaws.faults import fault_rule
from localaws.server import LocalAws
from selfbuild.adapters.cloudwatch import CloudWatchSource, make_client
from selfbuild.domain.applications import Application
from selfbuild.domain.errors import SelfBuildError, TransientError

PERIOD_S = 5
READ_TIMEOUT_S = 0.4
METRICS = ("ListMetrics", "GetMetricData")
LOGS = ("StartQuery", "GetQueryResults", "FilterLogEvents")
FAULTS: dict[str, dict[str, Any]] = {
    "throttled (HTTP 400)": {"code": "Throttling", "status": 400},
    "throttled once": {"code": "Throttling", "status": 400, "times": 1},
    "access denied": {"code": "AccessDeniedException", "status": 403},
    "session expired": {"code": "ExpiredTokenException", "status": 400},
    "wrong signature": {"code": "SignatureDoesNotMatch", "status": 403},
    "server error": {"code": "InternalFailure", "status": 500},
    "server error once": {"code": "InternalFailure", "status": 500, "times": 1},
    "connection reset": {"reset": True},
    "no answer in time": {"latency_ms": READ_TIMEOUT_S * 1000 + 200},
    "truncated answer": {"truncate": True},
    "truncated once": {"truncate": True, "times": 1},
}
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class Outcome(NamedTuple):
    """What came of one fault at one call."""

    fault: str
    operation: str
    result: str
    """`complete`, `complete, with a note`, or the class of the error."""
    retried: bool | None
    """Whether Temporal tries the step again; None where it did not fail."""
    requests: int
    """Requests to the operation that reached the local AWS."""
    seconds: float
    text: str
    """The note or the error's text."""


def application() -> Application:
    """An application whose telemetry `publish` writes."""
    return Application.model_validate(
        {
            "tenant_id": "acme",
            "name": "shop",
            "telemetry": {"namespace": "Shop", "log_group": "/shop"},
            "repository": {"url": "/nowhere.git"},
            "release": {"control_url": "http://127.0.0.1:1"},
        }
    )


def publish(endpoint_url: str) -> datetime:
    """Writes a request and an error a second for a minute; when they began."""
    logs = make_client("logs", region="us-east-1", endpoint_url=endpoint_url)
    logs.create_log_group(logGroupName="/shop")
    logs.create_log_stream(logGroupName="/shop", logStreamName="one")
    begin = datetime.fromtimestamp(time.time() // 60 * 60 - 120, UTC)
    at_ms = round(begin.timestamp() * 1000)
    events = [{"timestamp": at_ms + n * 1000, "message": _line(at_ms + n * 1000)} for n in range(60)]
    logs.put_log_events(logGroupName="/shop", logStreamName="one", logEvents=events)
    logs.close()
    return begin


def _line(at_ms: int) -> str:
    units = {"ResponseLatency": "Milliseconds", "Requests": "Count", "Errors": "Count"}
    directive = {
        "Namespace": "Shop",
        "Dimensions": [["tenant_id", "component"]],
        "Metrics": [{"Name": name, "Unit": unit, "StorageResolution": 1} for name, unit in units.items()],
    }
    return json.dumps(
        {
            "_aws": {"Timestamp": at_ms, "CloudWatchMetrics": [directive]},
            "level": "ERROR",
            "tenant_id": "acme",
            "component": "basket",
            "error": {"type": "KeyError", "message": "'owner'", "file": "shop/basket.py", "line": 3, "function": "add"},
            **dict.fromkeys(units, 1),
        }
    )


class Scene:
    """A local AWS that holds what `publish` writes; the environment must hold AWS keys."""

    environment = dict.fromkeys(KEYS, "test") | {"AWS_EC2_METADATA_DISABLED": "true"}

    def __init__(self, server: LocalAws) -> None:
        self._server = server
        self._begin = publish(server.endpoint_url)

    def outcome(self, fault: str, operation: str) -> Outcome:
        """What comes of a fault at a call."""
        self._server.faults.replace_rules([fault_rule({"operation": operation, **FAULTS[fault]})])
        self._server.faults.forget_calls()
        try:
            return self._measured(fault, operation, self._server.endpoint_url)
        finally:
            self._server.faults.replace_rules([])

    def refused(self) -> Outcome:
        """What comes of a port that nobody listens at."""
        return self._measured("connection refused", "all", f"http://127.0.0.1:{_closed_port()}")

    def without_keys(self) -> Outcome:
        """What comes of an environment without credentials."""
        with _without_keys():
            return self._measured("no credentials", "all", self._server.endpoint_url)

    def outcomes(self) -> Iterator[Outcome]:
        """Every fault at every call."""
        yield from (self.outcome(fault, operation) for fault in FAULTS for operation in (*METRICS, *LOGS))
        yield self.refused()
        yield self.without_keys()

    def _measured(self, fault: str, operation: str, endpoint_url: str) -> Outcome:
        started = time.perf_counter()
        retried: bool | None = None
        try:
            notes = _read(operation, endpoint_url, self._begin)
        except SelfBuildError as error:
            result, retried, text = type(error).__name__, isinstance(error, TransientError), str(error)
        else:
            result, text = "complete, with a note" if notes else "complete", "; ".join(notes)
        reached = sum(call["operation"] == operation for call in self._server.faults.calls())
        return Outcome(fault, operation, result, retried, reached, time.perf_counter() - started, text)


def _read(operation: str, endpoint_url: str, begin: datetime) -> tuple[str, ...]:
    """Notes of the reading that makes the call `operation`; its answer is checked to hold what was published."""
    clients = [
        make_client(name, region="us-east-1", endpoint_url=endpoint_url, read_timeout_s=READ_TIMEOUT_S)
        for name in ("cloudwatch", "logs")
    ]
    end = begin + timedelta(seconds=60)
    try:
        source = CloudWatchSource(*clients)
        if operation == "FilterLogEvents":
            batch = source.batch(application(), start=begin, end=end, period_s=PERIOD_S, sampling_rate=1.0)
            _expect(len(batch.series), len(batch.events), 60, batch.notes)
            return batch.notes
        window = source.collect(application(), baseline_start=begin, start=begin, end=end, period_s=PERIOD_S)
        _expect(len(window.series), sum(group.count for group in window.error_groups), 60, window.notes)
        return window.notes
    finally:
        for client in clients:
            client.close()


def _expect(series: int, errors: int, published: int, notes: tuple[str, ...]) -> None:
    """Nothing is invented, and nothing is missing without a note."""
    if series != 5 or errors not in ((published,) if not notes else (0,)):
        raise AssertionError(f"{series} series, {errors} errors, notes {notes}")


@contextmanager
def _without_keys() -> Iterator[None]:
    held = {name: os.environ.pop(name) for name in KEYS if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(held)


def _closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def main() -> None:
    """Print the table."""
    os.environ |= Scene.environment
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(describe())
    print(f"read time-out {READ_TIMEOUT_S} s, three attempts a call\n")
    print(f"{'fault':<22}{'call':<17}{'what follows':<24}{'Temporal':<12}{'requests':>8}{'s':>7}")
    with LocalAws(port=0) as server:
        for row in Scene(server).outcomes():
            retried = {None: "", True: "retries", False: "gives up"}[row.retried]
            print(
                f"{row.fault:<22}{row.operation:<17}{row.result:<24}{retried:<12}{row.requests:>8}{row.seconds:>7.1f}"
            )


if __name__ == "__main__":
    main()
