"""Carries log lines to CloudWatch Logs, or to standard output where no endpoint is set."""

import http.client
import json
import os
import socket
import sys
import threading
import time
from collections import deque
from urllib.parse import urlsplit

BATCH_LINES = 2_000
"""Well below what one PutLogEvents accepts (10,000 lines, 1 MiB), with lines of some hundred bytes."""
AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/logs/aws4_request, SignedHeaders=host, Signature=0"
)
"""The local AWS reads the service from it and checks no signature: boto3 would cost each worker half a second."""


class Emitter:
    """A bounded queue emptied once a second by a thread: a request never waits for it and rather loses a line."""

    def __init__(self, group: str, endpoint: str | None, *, capacity: int = 20_000) -> None:
        self.dropped = 0
        self._group = group
        self._endpoint = endpoint
        self._stream = f"{socket.gethostname()}/{os.getpid()}/{time.time_ns()}"
        self._created = False
        self._lines: deque[dict[str, object]] = deque(maxlen=capacity)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="emitter", daemon=True)

    def put(self, document: dict[str, object]) -> None:
        """Queue one line, stamped with the time it happened."""
        self._lines.append({"timestamp": int(time.time() * 1000), "message": json.dumps(document)})

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """Deliver what is left and end."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(1.0):
            self.flush()
        self.flush()

    def flush(self) -> None:
        """Deliver what is queued; what cannot be delivered is dropped and counted."""
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        for start in range(0, len(lines), BATCH_LINES):
            batch = lines[start : start + BATCH_LINES]
            try:
                self._deliver(batch)
            except OSError as error:
                self.dropped += len(batch)
                sys.stderr.write(f"{len(batch)} lines of telemetry dropped: {error}\n")

    def _deliver(self, batch: list[dict[str, object]]) -> None:
        if self._endpoint is None:
            sys.stdout.write("".join(f"{line['message']}\n" for line in batch))
            return
        names: dict[str, object] = {"logGroupName": self._group}
        if not self._created:
            self._call("CreateLogGroup", names)
            self._call("CreateLogStream", names | {"logStreamName": self._stream})
            self._created = True
        events = sorted(batch, key=lambda line: str(line["timestamp"]))
        status = self._call("PutLogEvents", names | {"logStreamName": self._stream, "logEvents": events})
        if status != 200:
            raise OSError(f"PutLogEvents answered {status}")

    def _call(self, operation: str, body: dict[str, object]) -> int:
        connection = http.client.HTTPConnection(urlsplit(self._endpoint or "").netloc, timeout=10)
        headers = {
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": f"Logs_20140328.{operation}",
            "authorization": AUTHORIZATION,
        }
        try:
            connection.request("POST", "/", json.dumps(body), headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except http.client.HTTPException as error:
            raise OSError(f"{operation}: {error!r}") from error
        finally:
            connection.close()
