"""Child processes that never outlive us: ended with their whole group, killed by the kernel if we die first."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from selfbuild.domain.errors import Misconfigured, Unreachable

PR_SET_PDEATHSIG = 1
LOG_TAIL_CHARACTERS = 1_500


@dataclass
class Child:
    """One process of the stack."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def tail(self) -> str:
        """The end of what it wrote."""
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]

    def stop(self, grace_s: float) -> None:
        """SIGTERM to the group, SIGKILL after `grace_s`; returns when nothing of it is left."""
        _signal_group(self.process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_s)
        _signal_group(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Children:
    """The processes of a stack, stopped in the reverse order of their start."""

    logs: Path
    environment: Mapping[str, str]
    started: list[Child] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Child:
        """Start a process that writes to `logs/NAME.log`."""
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self.environment, **(environment or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        child = Child(name, process, log)
        self.started.append(child)
        return child

    def wait_until(self, child: Child, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait for `ready`.

        Raises:
            Unreachable: the process ended, or was not ready in time; the text carries the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not child.running:
                raise Unreachable(f"{child.name} ended with status {child.process.returncode}:\n{child.tail()}")
            if time.monotonic() > deadline:
                raise Unreachable(f"{child.name} was not ready after {timeout_s:.0f} s:\n{child.tail()}")
            time.sleep(0.05)

    def stop(self, grace_s: float = 20) -> None:
        """Stop all, last started first."""
        while self.started:
            self.started[-1].stop(grace_s)
            self.started.pop()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on right now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def require_free(port: int, purpose: str, setting: str) -> int:
    """The port, when nobody listens on it. Raises Misconfigured with the remedy otherwise."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Misconfigured(
                f"port {port} for {purpose} is in use: stop what listens there (ss -ltnp 'sport = :{port}'), "
                f"or set {setting} to another port"
            ) from error
    return port


def answers(port: int) -> bool:
    """Whether something accepts connections on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
