"""A local server that speaks the Anthropic Messages protocol over real HTTP, JSON and SSE, with faults on request.

Real HTTP, because the SDK's transport, time-outs and error classes are what is to be tested.
"""

import json
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

STALL_LIMIT_S = 30.0
TRICKLE_S = 0.05


@dataclass(frozen=True)
class Answer:
    """A message. `text` None makes one without content."""

    text: str | None
    stop_reason: str = "end_turn"
    model: str = "claude-test"
    input_tokens: int = 1000
    output_tokens: int = 200
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    refusal: str | None = None
    """Explanation in `stop_details`."""

    def message(self) -> dict[str, Any]:
        """The message as the protocol has it."""
        details = {"type": "refusal", "category": None, "explanation": self.refusal} if self.refusal else None
        return {
            "id": "msg_test",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [] if self.text is None else [{"type": "text", "text": self.text}],
            "stop_reason": self.stop_reason,
            "stop_sequence": None,
            "stop_details": details,
            "usage": {
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "cache_read_input_tokens": self.cache_read_tokens,
                "cache_creation_input_tokens": self.cache_write_tokens,
            },
        }


@dataclass(frozen=True)
class Failure:
    """An error of the protocol with its status."""

    status: int
    error_type: str | None
    message: str = "made to fail"
    error_code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """The error as the protocol has it; without a type, what another server would say."""
        if self.error_type is None:
            return json.dumps({"message": self.message}).encode()
        error: dict[str, Any] = {"type": self.error_type, "message": self.message}
        if self.error_code is not None:
            error["details"] = {"error_code": self.error_code}
        return json.dumps({"type": "error", "error": error, "request_id": "req_test"}).encode()


@dataclass(frozen=True)
class Raw:
    """Any body with any status, as a proxy would send it."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200


@dataclass(frozen=True)
class Stall:
    """Begin an answer and never go on, or `trickling`, go on for ever with blanks."""

    trickling: bool = False


@dataclass(frozen=True)
class Reset:
    """Reset the connection; `midway` after the beginning of an answer."""

    midway: bool = False


@dataclass(frozen=True)
class FailInStream:
    """Status 200, the beginning of a stream, then an error event: for requests that ask for a stream."""

    error_type: str = "overloaded_error"


Reply = Answer | Failure | Raw | Stall | Reset | FailInStream


@dataclass(frozen=True)
class Received:
    """A request as it came in; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class LlmServer:
    """Serves on a free loopback port until closed.

    `reply` answers every request, `received` keeps them, `asked` is set by the first.
    """

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.received: list[Received] = []
        self.asked = threading.Event()
        self.closing = threading.Event()
        server = self

        class Bound(_Handler):
            llm = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self._http.daemon_threads = False
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "LlmServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    llm: LlmServer
    protocol_version = "HTTP/1.1"
    timeout = STALL_LIMIT_S

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""

    def handle(self) -> None:
        """A client that went away is not this server's error."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("content-length") or 0))
        body = json.loads(content or b"{}")
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.llm.received.append(Received(self.command, self.path, headers, body))
        self.llm.asked.set()
        # One connection a request: the server can close while a client keeps its connections.
        self.close_connection = True
        self._send_reply(self.llm.reply, streaming=bool(body.get("stream")))

    def _send_reply(self, reply: Reply, *, streaming: bool) -> None:
        match reply:
            case Answer() if streaming:
                self._begin("text/event-stream")
                for name, event in _events(reply):
                    self._event(name, event)
            case Answer():
                self._whole(json.dumps(reply.message()).encode())
            case Failure():
                self._whole(reply.body(), status=reply.status, headers=reply.headers)
            case Raw():
                self._whole(reply.body, status=reply.status, content_type=reply.content_type)
            case FailInStream():
                self._begin_answer(streaming=True)
                error = {"type": "error", "error": {"type": reply.error_type, "message": "made to fail"}}
                self._event("error", error)
            case Stall():
                self._begin_answer(streaming=streaming)
                self._stall(trickling=reply.trickling, streaming=streaming)
            case Reset():
                if reply.midway:
                    self._begin_answer(streaming=streaming)
                self._reset()

    def _begin(self, content_type: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("request-id", "req_test")
        self.send_header("connection", "close")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def _whole(
        self,
        body: bytes,
        *,
        status: int = 200,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._begin(content_type, status=status, headers={**(headers or {}), "content-length": str(len(body))})
        self.wfile.write(body)

    def _begin_answer(self, *, streaming: bool) -> None:
        """The first part of an answer, of which more is promised."""
        if streaming:
            self._begin("text/event-stream")
            for name, event in list(_events(Answer("half an answer")))[:3]:
                self._event(name, event)
            return
        self._begin("application/json", headers={"content-length": "1000"})
        self.wfile.write(b'{"id": "msg_test", ')
        self.wfile.flush()

    def _stall(self, *, trickling: bool, streaming: bool) -> None:
        if not trickling:
            self.llm.closing.wait(STALL_LIMIT_S)
            return
        for _ in range(int(STALL_LIMIT_S / TRICKLE_S)):
            if self.llm.closing.wait(TRICKLE_S):
                return
            self.wfile.write(b": ping\n\n" if streaming else b" ")
            self.wfile.flush()

    def _event(self, name: str, event: dict[str, Any]) -> None:
        self.wfile.write(f"event: {name}\ndata: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def _reset(self) -> None:
        """Close with RST: what a crashed proxy does."""
        linger_on_for_zero_s = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_on_for_zero_s)
        self.wfile.close()
        self.rfile.close()
        self.connection.close()


def _events(answer: Answer) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of an answer, its text in pieces."""
    message = answer.message()
    yield "message_start", {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    if answer.text is not None:
        start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        yield "content_block_start", start
        for at in range(0, len(answer.text), 40):
            delta = {"type": "text_delta", "text": answer.text[at : at + 40]}
            yield "content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": 0}
    ended = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    usage = {"output_tokens": answer.output_tokens}
    yield "message_delta", {"type": "message_delta", "delta": ended, "usage": usage}
    yield "message_stop", {"type": "message_stop"}
