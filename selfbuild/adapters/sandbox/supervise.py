"""Runs one process tree under limits of time, memory and output, and leaves nothing of it behind."""

import asyncio
import marshal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfbuild.adapters.sandbox.tree import kill_tree, memory_is_short, resident_bytes, shared_bytes
from selfbuild.domain.errors import Unreachable
from selfbuild.ports import SandboxLimits

_LAUNCH = (
    "import sys; sys.path.insert(0, sys.argv[2]); import launcher; del sys.path[0]; launcher.main()",
    str(Path(__file__).parent),
)
"""Imported rather than run as a script, whose compiled form is not kept: that saves 10 ms."""
_POLL_S = 0.05
"""How often memory is read: a process that allocates 1 GB/s overshoots its limit by 50 MB."""
_DRAIN_S = 2.0
"""How long output is waited for after the end; a daemon could hold the pipe for ever."""
_FLOOD_FACTOR = 16
"""A command that writes so many times what is kept of its output is ended."""


Watch = Callable[[int], str | None]
"""Looks at what the process tree below a process uses, and names the limit that is exceeded."""


@dataclass(frozen=True)
class Plan:
    """What the launcher is told, except the limits of `SandboxLimits`."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str = "/"
    uid: int | None = None
    mounts: tuple[tuple[str, str], ...] = ()
    """Paths the user cannot walk to -> where they are bound, in a private mount namespace."""
    covers: tuple[str, ...] = ()
    """Folders the user cannot enter, hidden by empty ones that hold the paths of `mounts` alone."""
    landlock: Mapping[str, Any] | None = None
    """Attributes and paths of a Landlock ruleset, and the seccomp filter."""
    stays: bool = False
    """Whether the launcher remains as the command's parent and ends what the command leaves behind."""
    processes_already: int = 0
    """Processes the user has before the start: the kernel counts them against the limit."""

    def marshalled(self, limits: SandboxLimits) -> bytes:
        """As the launcher reads it: marshal needs no import there, which JSON does."""
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
            "covers": self.covers,
            "landlock": None if self.landlock is None else dict(self.landlock),
            "stays": self.stays,
            "folder": self.folder,
            "command": list(self.command),
            "environment": dict(self.environment),
        }
        return marshal.dumps(plan)


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


async def supervise(
    plan: Plan, limits: SandboxLimits, *, pass_fds: Sequence[int] = (), watch: Watch | None = None
) -> Ended:
    """Run the plan to its end, or to the first limit it meets. Cancelling ends the whole tree first.

    Raises:
        Unreachable: the launcher could not be started.
    """
    started = time.perf_counter()
    transport, output = await _launch(plan, limits, pass_fds)
    try:
        limit = await _watch(transport.get_pid(), output, limits, watch)
        if limit is None:
            await _bounded(output.closed)
    finally:
        if not output.exited.is_set():
            kill_tree(transport.get_pid())
        # Closed only when its end has been seen: the transport would take that from the loop's watcher.
        await _bounded(output.exited)
        transport.close()
    return Ended(
        return_code=None if limit else transport.get_returncode(),
        stdout=bytes(output.kept[1]),
        stderr=bytes(output.kept[2]),
        limit=limit,
        duration_ms=(time.perf_counter() - started) * 1000,
    )


async def _launch(
    plan: Plan, limits: SandboxLimits, pass_fds: Sequence[int]
) -> tuple[asyncio.SubprocessTransport, "_Output"]:
    if memory_is_short():
        raise Unreachable("the machine is short of memory: nothing more is started")
    with tempfile.TemporaryFile() as file:
        file.write(plan.marshalled(limits))
        file.flush()
        try:
            return await asyncio.get_running_loop().subprocess_exec(
                lambda: _Output(limits.output_bytes),
                *(sys.executable, "-I", "-S", "-c", _LAUNCH[0], str(file.fileno()), _LAUNCH[1]),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(file.fileno(), *pass_fds),
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise Unreachable(f"the sandbox's launcher did not start: {error}") from error


async def _watch(pid: int, output: _Output, limits: SandboxLimits, watch: Watch | None) -> str | None:
    deadline = time.monotonic() + limits.wall_s
    ended = asyncio.ensure_future(_first(output.exited, output.flooded))
    try:
        while not ended.done():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return "wall"
            done, _ = await asyncio.wait({ended}, timeout=min(_POLL_S, left_s))
            limit = None if done else await asyncio.to_thread(_exceeded, pid, limits, watch)
            if limit is not None and not ended.done():
                return limit
        return "output" if output.flooded.is_set() else None
    finally:
        ended.cancel()


def _exceeded(pid: int, limits: SandboxLimits, watch: Watch | None) -> str | None:
    if max(resident_bytes(pid), shared_bytes(pid)) > limits.memory_bytes or memory_is_short():
        return "memory"
    return watch(pid) if watch is not None else None


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
