"""Runs one process tree under limits of time, memory and output, and leaves nothing of it behind."""

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfbuild.adapters.sandbox.tree import kill_tree, resident_bytes
from selfbuild.ports import SandboxLimits

LAUNCHER = Path(__file__).with_name("launcher.py")
_POLL_S = 0.05
"""How often memory is read: a process that allocates 1 GB/s overshoots its limit by 50 MB."""
_DRAIN_S = 2.0
"""How long output is waited for after the end; a daemon could hold the pipe for ever."""
_FLOOD_FACTOR = 16
"""A command that writes so many times what is kept of its output is ended."""


@dataclass(frozen=True)
class Plan:
    """What the launcher is told, except the limits of `SandboxLimits`."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str = "/"
    uid: int | None = None
    mounts: tuple[tuple[str, str], ...] = ()
    processes_already: int = 0
    """Processes the user has before the start: the kernel counts them against the limit."""

    def arguments(self, limits: SandboxLimits) -> list[str]:
        """The command line of the launcher."""
        cpu, processes = limits.cpu_s, limits.processes + self.processes_already
        plan = {
            "limits": {
                "RLIMIT_AS": [limits.memory_bytes, limits.memory_bytes],
                "RLIMIT_CORE": [0, 0],
                # The soft limit's signal tells the cause, the hard one ends what ignores it.
                "RLIMIT_CPU": [cpu, cpu + 2],
                "RLIMIT_FSIZE": [limits.file_bytes, limits.file_bytes],
                "RLIMIT_NOFILE": [256, 256],
                "RLIMIT_NPROC": [processes, processes],
            },
            "uid": self.uid,
            "mounts": self.mounts,
            "folder": self.folder,
            "command": self.command,
            "environment": dict(self.environment),
        }
        return [sys.executable, "-I", "-S", str(LAUNCHER), json.dumps(plan)]


@dataclass(frozen=True)
class Ended:
    """How the process tree ended."""

    return_code: int | None
    stdout: bytes
    stderr: bytes
    limit: str | None
    duration_ms: float


class _Output(asyncio.SubprocessProtocol):
    def __init__(self, kept_bytes: int) -> None:
        self.kept = {1: bytearray(), 2: bytearray()}
        self.total = 0
        self.flooded = asyncio.Event()
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._kept_bytes = kept_bytes

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.total += len(data)
        room = self._kept_bytes - len(self.kept[fd])
        self.kept[fd] += data[: max(0, room)]
        if self.total > self._kept_bytes * _FLOOD_FACTOR:
            self.flooded.set()

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()


async def supervise(plan: Plan, limits: SandboxLimits, *, pass_fds: Sequence[int] = ()) -> Ended:
    """Run the plan to its end, or to the first limit it meets. Cancelling ends the whole tree first."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    transport, output = await loop.subprocess_exec(
        lambda: _Output(limits.output_bytes),
        *plan.arguments(limits),
        stdin=asyncio.subprocess.DEVNULL,
        pass_fds=tuple(pass_fds),
        env={},
        cwd="/",
        start_new_session=True,
    )
    try:
        limit = await _watch(transport.get_pid(), output, limits)
        if limit is None:
            await _bounded(output.closed)
    finally:
        if not output.exited.is_set():
            kill_tree(transport.get_pid())
        transport.close()
    await _bounded(output.exited)
    return Ended(
        return_code=None if limit else transport.get_returncode(),
        stdout=bytes(output.kept[1]),
        stderr=bytes(output.kept[2]),
        limit=limit,
        duration_ms=(time.perf_counter() - started) * 1000,
    )


async def _watch(pid: int, output: _Output, limits: SandboxLimits) -> str | None:
    deadline = time.monotonic() + limits.wall_s
    ended = asyncio.ensure_future(_first(output.exited, output.flooded))
    try:
        while not ended.done():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return "wall"
            if resident_bytes(pid) > limits.memory_bytes:
                return "memory"
            await asyncio.wait({ended}, timeout=min(_POLL_S, left_s))
        return "output" if output.flooded.is_set() else None
    finally:
        ended.cancel()


async def _first(*events: asyncio.Event) -> None:
    tasks: list[asyncio.Task[Any]] = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def _bounded(event: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(event.wait(), _DRAIN_S)
    except TimeoutError:
        return
