"""Carries log lines to CloudWatch, or to standard output where no AWS is configured."""

import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

Line = tuple[int, str]  # milliseconds since the epoch, and the text
Send = Callable[[Sequence[Line]], None]
# Quotas of PutLogEvents, in its API reference.
BATCH_LINES = 10_000
BATCH_BYTES = 1_048_576
LINE_OVERHEAD_BYTES = 26


def write(lines: Sequence[Line]) -> None:
    """Send lines to standard output."""
    sys.stdout.write("".join(f"{text}\n" for _, text in lines))
    sys.stdout.flush()


def connect(group: str) -> Send:
    """CloudWatch where an endpoint or credentials are configured, else standard output."""
    session = boto3.Session()
    if not os.environ.get("AWS_ENDPOINT_URL") and session.get_credentials() is None:
        return write
    retries = {"mode": "standard", "total_max_attempts": 3}
    config = Config(retries=retries, connect_timeout=3, read_timeout=10)
    region = session.region_name or os.environ.get("AWS_REGION") or "us-east-1"
    client = session.client("logs", region_name=region, config=config)
    stream = f"{socket.gethostname()}/{os.getpid()}/{time.time_ns()}"
    with suppress(client.exceptions.ResourceAlreadyExistsException):
        client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName=stream)

    def put(lines: Sequence[Line]) -> None:
        events = [{"timestamp": timestamp, "message": text} for timestamp, text in lines]
        client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    return put


def batches(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Cut lines, put in chronological order, into what one PutLogEvents accepts."""
    batch: list[Line] = []
    size = 0
    for line in sorted(lines, key=lambda line: line[0]):
        needed = len(line[1].encode()) + LINE_OVERHEAD_BYTES
        if batch and (len(batch) == BATCH_LINES or size + needed > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += needed
    if batch:
        yield batch


class Emitter:
    """A bounded queue emptied by a thread: a request never waits for it and rather loses a line."""

    def __init__(self, group: str, send: Send | None = None, *, capacity: int = 10_000) -> None:
        self.dropped = 0
        self._group = group
        self._send = send
        self._capacity = capacity
        self._lines: deque[Line] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="emitter", daemon=True)

    def put(self, timestamp: int, text: str) -> None:
        """Queue a line; with a full queue it is dropped and counted."""
        if len(self._lines) >= self._capacity:
            self.dropped += 1
        else:
            self._lines.append((timestamp, text))

    def start(self) -> None:
        """Begin to deliver once a second."""
        self._thread.start()

    def stop(self) -> None:
        """Deliver what is still queued and end."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(1.0):
            self.flush()
        self.flush()

    def flush(self) -> None:
        """Deliver what is queued; what AWS refuses is dropped and counted."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        unsent = len(lines)
        try:
            self._send = self._send or connect(self._group)
            for batch in batches(lines):
                self._send(batch)
                unsent -= len(batch)
        except (BotoCoreError, ClientError) as error:
            self._send = None
            self.dropped += unsent
            sys.stderr.write(f"{unsent} lines of telemetry dropped: {error}\n")
