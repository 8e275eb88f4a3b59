"""One worker process as the supervisor sees it: started held back, let loose, drained, or found dead."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from selfbuild.domain.errors import SelfBuildError
from selfbuild.supervisor.state import RunningRelease

CHILD = Path(__file__).with_name("child.py")
_TAIL_BYTES = 4000
_LAST_OUTPUT_S = 0.5
_SERVING_TIMEOUT_S = 10
_SHUTDOWN_S = 35
"""Above the 30 s that a worker gives its longest request."""


class Unhealthy(SelfBuildError):
    """A worker of the release did not become healthy; the text ends with its output."""

    def __init__(self, release: RunningRelease, reason: str, output: str) -> None:
        super().__init__(f"release {release.sha[:12]} is not healthy: {reason}\n{output}".rstrip())
        self.release = release


@dataclass(frozen=True)
class WorkerSettings:
    """What all workers have in common."""

    app: str
    """`module:attribute` of the ASGI application."""
    health_path: str
    python: str
    environment: dict[str, str]
    drain_s: float
    health_timeout_s: float


class _Life(asyncio.SubprocessProtocol):
    """Keeps the end of the output and knows when the process has ended, whoever still holds its output open."""

    def __init__(self) -> None:
        self.tail = b""
        self.ended = asyncio.Event()
        self.output_ended = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.tail = (self.tail + data)[-_TAIL_BYTES:]
        with contextlib.suppress(OSError, ValueError):  # nobody reads our own output any more
            sys.stderr.write(data.decode(errors="replace"))
            sys.stderr.flush()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.output_ended.set()

    def process_exited(self) -> None:
        self.ended.set()


class Worker:
    """One process; `lost` is called when it ends without having been told to."""

    def __init__(
        self,
        release: RunningRelease,
        transport: asyncio.SubprocessTransport,
        life: _Life,
        link: socket.socket,
        settings: WorkerSettings,
        lost: Callable[["Worker"], None],
    ) -> None:
        self.release = release
        self.pid = transport.get_pid()
        self.serving = False
        self._transport = transport
        self._life = life
        self._link = link
        self._settings = settings
        self._leaving = False
        self._end = asyncio.create_task(self._await_end(lost))

    @classmethod
    async def start(
        cls,
        release: RunningRelease,
        listening: socket.socket,
        settings: WorkerSettings,
        lost: Callable[["Worker"], None],
    ) -> "Worker":
        """Start the process; it is held back until `serve`.

        Raises:
            Unhealthy: it cannot be started at all.
        """
        link, other = socket.socketpair()
        link.setblocking(False)
        numbers = {"--listen-fd": listening.fileno(), "--link-fd": other.fileno(), "--parent": os.getpid()}
        texts = {"--app": settings.app, "--health-path": settings.health_path, "--drain-s": f"{settings.drain_s:g}"}
        own = {"RELEASE_ID": release.sha[:12], "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        try:
            transport, life = await asyncio.get_running_loop().subprocess_exec(
                _Life,
                settings.python,
                str(CHILD),
                *(f"{name}={value}" for name, value in {**numbers, **texts}.items()),
                cwd=release.tree,
                env={**settings.environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(listening.fileno(), other.fileno()),
                start_new_session=True,  # an interrupt from the terminal is for the supervisor to act on
            )
        except OSError as error:
            link.close()
            raise Unhealthy(release, str(error), "") from error
        finally:
            other.close()
        return cls(release, transport, life, link, settings, lost)

    async def healthy(self) -> None:
        """Returns when the application has started and answered the health path.

        Raises:
            Unhealthy: it ended, answered wrongly or took too long; it is gone.
        """
        await self._hear(b"H", self._settings.health_timeout_s)

    async def serve(self) -> None:
        """Let it accept connections; returns when it does.

        Raises:
            Unhealthy: it ended instead; it is gone.
        """
        with contextlib.suppress(OSError):
            self._link.send(b"G")
        await self._hear(b"S", _SERVING_TIMEOUT_S)
        self.serving = True

    async def drain(self) -> None:
        """Have it finish what it has accepted and end; returns when it is gone."""
        self._leaving = True
        self._send(signal.SIGTERM)
        _, still = await asyncio.wait([self._end], timeout=self._settings.drain_s + _SHUTDOWN_S)
        if still:
            await self.kill()

    async def kill(self) -> None:
        """End it at once; returns when it is gone."""
        self._leaving = True
        self._send(signal.SIGKILL)
        await asyncio.wait([self._end])

    def _send(self, number: signal.Signals) -> None:
        if not self._life.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                self._transport.send_signal(number)

    async def _hear(self, letter: bytes, timeout_s: float) -> None:
        said, reason = b"", "it ended"
        try:
            async with asyncio.timeout(timeout_s):
                said = await asyncio.get_running_loop().sock_recv(self._link, 1)
        except TimeoutError:
            reason = f"it took longer than {timeout_s:g} s"
        except OSError:
            reason = "it ended"
        if said != letter:
            await self.kill()
            raise Unhealthy(self.release, reason, self._life.tail.decode(errors="replace"))

    async def _await_end(self, lost: Callable[["Worker"], None]) -> None:
        await self._life.ended.wait()
        self.serving = False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # what it started and left behind
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_OUTPUT_S):
                await self._life.output_ended.wait()
        self._transport.close()
        self._link.close()
        if not self._leaving:
            lost(self)
