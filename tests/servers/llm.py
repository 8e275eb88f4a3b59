"""A local server that speaks the protocols of Anthropic, Bedrock and OpenAI on one port, with faults on request.

Real HTTP, because the SDKs' transport, time-outs and error classes are what is to be tested.
"""

import socket
import struct
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from types import TracebackType

from tests.servers.anthropic_dialect import AnthropicDialect
from tests.servers.bedrock_dialect import BedrockDialect
from tests.servers.openai_dialect import OpenAiDialect
from tests.servers.replies import Answer, Close, Dialect, FailInStream, Failure, Raw, Received, Reply, Reset, Stall

__all__ = ["Answer", "Close", "FailInStream", "Failure", "LlmServer", "Raw", "Received", "Reply", "Reset", "Stall"]

STALL_LIMIT_S = 30.0
TRICKLE_S = 0.05
BEGINNING = 3
"""Events of a stream that are sent before it fails."""


class LlmServer:
    """Serves on a free loopback port until closed.

    `reply` answers every request that was made with `key` (None = any), `received` keeps them all, `asked` is set by
    the first.
    """

    def __init__(self, reply: Reply, *, key: str | None = None) -> None:
        self.reply = reply
        self.key = key
        self.received: list[Received] = []
        self.asked = threading.Event()
        self.closing = threading.Event()
        server = self

        class Bound(_Handler):
            llm = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self._http.daemon_threads = False
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.005})

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
    dialect: Dialect
    streaming: bool
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
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = Received(self.command, self.path, headers, content)
        self.llm.received.append(received)
        self.llm.asked.set()
        # One connection a request: the server can close while a client keeps its connections.
        self.close_connection = True
        dialect = _dialect_of(self.path)
        if dialect is None:
            self._whole(b'{"message": "no such path"}', status=404)
            return
        self.dialect, self.streaming = dialect, dialect.streams(received)
        if self.llm.key is not None and not dialect.authorised(received, self.llm.key):
            self._fail(dialect.wrong_key(headers.get("authorization", "nothing")))
            return
        self._send_reply(self.llm.reply)

    def _send_reply(self, reply: Reply) -> None:
        match reply:
            case Answer() if self.streaming:
                self._begin(self.dialect.stream_type)
                for event in self.dialect.events(reply):
                    self._event(event)
            case Answer():
                self._whole(self.dialect.whole(reply))
            case Failure():
                self._fail(reply)
            case Raw():
                self._whole(reply.body, status=reply.status, content_type=reply.content_type)
            case _:
                self._send_broken(reply)

    def _send_broken(self, reply: Stall | Reset | Close | FailInStream) -> None:
        if not isinstance(reply, Reset) or reply.midway:
            self._begin_answer()
        match reply:
            case FailInStream():
                self._event(self.dialect.error_event(reply.error_type))
            case Stall():
                self._stall(trickling=reply.trickling)
            case Reset():
                self._reset()

    def _fail(self, failure: Failure) -> None:
        body, headers = self.dialect.error(failure)
        self._whole(body, status=failure.status, headers=headers | dict(failure.headers))

    def _begin(self, content_type: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        dialect = getattr(self, "dialect", None)
        if dialect is not None:
            self.send_header(dialect.request_id_header, "req_test")
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

    def _begin_answer(self) -> None:
        """The first part of an answer, of which more is promised."""
        if self.streaming:
            self._begin(self.dialect.stream_type)
            for event in islice(self.dialect.events(Answer("half an answer" * 20)), BEGINNING):
                self._event(event)
            return
        self._begin("application/json", headers={"content-length": "1000"})
        self._event(b'{"id": "msg_test", ')

    def _stall(self, *, trickling: bool) -> None:
        if not trickling:
            self.llm.closing.wait(STALL_LIMIT_S)
            return
        for _ in range(int(STALL_LIMIT_S / TRICKLE_S)):
            if self.llm.closing.wait(TRICKLE_S):
                return
            self._event(self.dialect.keep_alive if self.streaming else b" ")

    def _event(self, event: bytes) -> None:
        self.wfile.write(event)
        self.wfile.flush()

    def _reset(self) -> None:
        """Close with RST: what a crashed proxy does."""
        linger_on_for_zero_s = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_on_for_zero_s)
        self.wfile.close()
        self.rfile.close()
        self.connection.close()


def _dialect_of(path: str) -> Dialect | None:
    if path == "/v1/messages":
        return AnthropicDialect()
    if path.startswith("/model/"):
        return BedrockDialect()
    return OpenAiDialect() if path.endswith("/chat/completions") else None
