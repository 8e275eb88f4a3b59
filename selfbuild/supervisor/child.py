"""The program of one worker: serves the application on the inherited socket; the supervisor runs it by path.

It needs uvicorn and the standard library only, since `--python` may name an interpreter without this package.
On the link to the supervisor it says `H` when it is healthy, waits for `G`, says `S` when it serves. The end of the
link is the end of the supervisor, and of the worker.
"""

import argparse
import asyncio
import ctypes
import os
import signal
import socket
import sys
import threading
from typing import Any

import uvicorn

HEALTH_TIMEOUT_S = 10
_PR_SET_PDEATHSIG = 1
_ACCEPTS_ON_THEIR_WAY_S = 0.05
_POLL_S = 0.02
_LONGEST_REQUEST_S = 30


class SharedSocket(socket.socket):
    """The supervisor's listening socket, whose queue has its length already.

    The event loop takes up to `backlog` connections at once; uvicorn is told 1, so that one worker does not take them
    all, and `listen` must not shorten the queue to that.
    """

    def listen(self, backlog: int = 0, /) -> None:
        """Leave the socket as it is."""


class Link:
    """The worker's end of the socket pair with its supervisor."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(True)
        self._socket.set_inheritable(False)
        self._may_serve = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def say(self, letter: bytes) -> None:
        """Tell the supervisor."""
        self._socket.sendall(letter)

    async def permission(self) -> None:
        """Returns when the supervisor wants the worker to serve."""
        while not self._may_serve.is_set():
            await asyncio.sleep(_POLL_S)

    def _listen(self) -> None:
        while True:
            try:
                said = self._socket.recv(1)
            except OSError:
                said = b""
            if not said:
                os._exit(1)
            self._may_serve.set()


class Server(uvicorn.Server):
    """Serves after the supervisor's word, and leaves without dropping a request."""

    def __init__(self, config: uvicorn.Config, link: Link, *, health_path: str, drain_s: float) -> None:
        super().__init__(config)
        self._link = link
        self._health_path = health_path
        self._drain_s = drain_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, show that it is healthy, wait for the word, accept connections."""
        start_application = self.lifespan.startup

        async def start_and_prove() -> None:
            await start_application()
            if not self.lifespan.should_exit:
                await self._prove_health()
                self._link.say(b"H")
                await self._link.permission()

        self.lifespan.startup = start_and_prove
        await super().startup(sockets)
        self._link.say(b"S")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, answer what comes with `Connection: close`, then end as uvicorn does."""
        loop = asyncio.get_running_loop()
        for listening in sockets or []:
            loop.remove_reader(listening)
        # A connection accepted in this turn of the loop becomes a transport in the next; its server must be open.
        await asyncio.sleep(_ACCEPTS_ON_THEIR_WAY_S)
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        until = loop.time() + self._drain_s
        while self.server_state.connections and loop.time() < until:
            await asyncio.sleep(_POLL_S)
        self.servers = []
        await super().shutdown(sockets)

    async def _prove_health(self) -> None:
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S):
                status = await self._health_status()
        except TimeoutError:
            sys.exit(f"GET {self._health_path} took longer than {HEALTH_TIMEOUT_S} s")
        if not 200 <= status < 300:
            sys.exit(f"GET {self._health_path} answered {status}")

    async def _health_status(self) -> int:
        statuses: list[int] = []
        answered = asyncio.Event()
        requests = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            for request in requests:
                return request
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            elif not message.get("more_body", False):
                answered.set()

        application: Any = self.config.loaded_app
        await application(_request(self._health_path, dict(self.lifespan.state)), receive, send)
        return statuses[0] if statuses else 0


def _request(path: str, state: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), (b"user-agent", b"selfbuild-supervisor")],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
        "state": state,
    }


def die_with(parent: int) -> None:
    """Have the kernel end this process when the supervisor ends, however that happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    for name in ("listen-fd", "link-fd", "parent"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--app", required=True)
    parser.add_argument("--health-path", required=True)
    parser.add_argument("--drain-s", type=float, required=True)
    args = parser.parse_args()
    die_with(args.parent)
    sys.path[0] = os.getcwd()  # the folder of this file, whose names must not hide the application's
    link = Link(args.link_fd)
    listening = SharedSocket(fileno=args.listen_fd)
    listening.set_inheritable(False)
    config = uvicorn.Config(
        args.app, log_level="warning", access_log=False, backlog=1, timeout_graceful_shutdown=_LONGEST_REQUEST_S
    )
    Server(config, link, health_path=args.health_path, drain_s=args.drain_s).run(sockets=[listening])


if __name__ == "__main__":
    main()
