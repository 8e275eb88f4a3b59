"""Runs programs that try to get out of a sandbox, each in a small world of its own that shows whether one did."""

import asyncio
import json
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from selfbuild.adapters.sandbox.environment import NOBODY
from selfbuild.adapters.sandbox.staging import interpreter_paths
from selfbuild.ports import Sandbox, SandboxLimits

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "tests" / "escapes"
SHARED = Path(os.environ.get("SELFBUILD_SHARED_DATA", ROOT.parent / "shared" / "data")) / "escape"
LIMITS = SandboxLimits(wall_s=4, cpu_s=1, memory_bytes=256 << 20)
CANARY = "canary-5f1c"


@dataclass(frozen=True)
class Outcome:
    """What became of one program."""

    program: str
    ran: bool
    escapes: tuple[str, ...]
    """What it reached; none = contained."""
    limit: str | None
    blocked: tuple[str, ...]
    detail: str
    duration_ms: float

    @property
    def verdict(self) -> str:
        if not self.ran:
            return "NOT RUN"
        return "ESCAPED" if self.escapes else f"contained ({self.limit})" if self.limit else "contained"


def programs(folder: Path = OWN) -> list[Path]:
    """The programs of a folder, without what they share."""
    return sorted(path for path in folder.glob("[a-z]*.py"))


@dataclass
class World:
    """Files, sockets and a process that a program must not reach."""

    folder: Path
    worker: "subprocess.Popen[bytes]"
    sockets: dict[str, socket.socket]
    marker: str
    before: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.before = self._files()

    def settings(self) -> dict[str, object]:
        """What the programs are told of it."""
        return {
            "outside": str(self.folder / "outside"),
            "home": str(self.folder / "home"),
            "canary": CANARY,
            "worker": self.worker.pid,
            "tcp_port": self.sockets["tcp"].getsockname()[1],
            "udp_port": self.sockets["udp"].getsockname()[1],
            "abstract": self.sockets["abstract"].getsockname()[1:].decode(),
            "marker": self.marker,
            "memory_mib": LIMITS.memory_bytes >> 20,
        }

    def damage(self) -> list[str]:
        """What was reached, found from outside. The folder lies where no sandbox has one of its own."""
        after = self._files()
        found = [f"file {name}" for name in sorted({*self.before, *after}) if self.before.get(name) != after.get(name)]
        found += [f"socket {name}" for name, each in self.sockets.items() if _was_reached(each)]
        found += [f"the worker ended with {self.worker.returncode}"] if self.worker.poll() is not None else []
        return found + [f"process {pid} is left" for pid in _processes(self.marker)]

    def _files(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for path in sorted(self.folder.rglob("*")):
            status = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path)] = (status.st_mode, status.st_uid, status.st_nlink, int(status.st_mtime), content)
        return found


@contextmanager
def world() -> Iterator[World]:
    """Everything in it is open to everybody, so that nothing but the sandbox stands in the way."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="escape-world-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        outside, home = folder / "outside", folder / "home"
        for made in (outside, outside / ".git" / "hooks", home / ".ssh", home / ".aws", home / ".config" / "gcloud"):
            made.mkdir(parents=True)
        for name in (".ssh/id_rsa", ".aws/credentials", ".config/gcloud/credentials.db"):
            (home / name).write_text(CANARY)
        (outside / "victim").write_text("unchanged")
        (outside / "tool").write_text("#!/bin/sh\nexit 0\n")
        sockets = _sockets(outside, stack)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777)
        marker = str(20 + secrets.randbelow(1 << 20) / (1 << 20))
        # The program's own user where there is one: a process of another user would be out of reach anyway.
        user = NOBODY if os.geteuid() == 0 else None
        worker = subprocess.Popen(
            ["/bin/sleep", "300"], env={"SECRET": CANARY}, user=user, start_new_session=True, cwd=outside
        )
        stack.callback(worker.wait)
        stack.callback(worker.kill)
        yield World(folder, worker, sockets, marker)


def _sockets(outside: Path, stack: ExitStack) -> dict[str, socket.socket]:
    tcp, udp = ("127.0.0.1", 0), ("127.0.0.1", 0)
    wanted: tuple[tuple[str, int, int, object], ...] = (
        ("tcp", socket.AF_INET, socket.SOCK_STREAM, tcp),
        ("udp", socket.AF_INET, socket.SOCK_DGRAM, udp),
        ("abstract", socket.AF_UNIX, socket.SOCK_STREAM, f"\0escape-{secrets.token_hex(8)}"),
        ("stream", socket.AF_UNIX, socket.SOCK_STREAM, str(outside / "stream")),
        ("datagram", socket.AF_UNIX, socket.SOCK_DGRAM, str(outside / "datagram")),
    )
    made = {}
    for name, family, kind, address in wanted:
        sock = stack.enter_context(socket.socket(family, kind))
        sock.setblocking(False)
        sock.bind(address)  # type: ignore[arg-type]
        if kind == socket.SOCK_STREAM:
            sock.listen(4)
        made[name] = sock
    return made


def _was_reached(sock: socket.socket) -> bool:
    try:
        if sock.type == socket.SOCK_STREAM:
            sock.accept()[0].close()
        else:
            sock.recv(64)
    except BlockingIOError:
        return False
    return True


def _processes(marker: str) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if marker.encode() in words:
                found.append(int(name))
    return found


async def attack(sandbox: Sandbox, program: Path, *, python: str = sys.executable) -> Outcome:
    """Run one program and look at what it reached, by its own words and from outside."""
    with world() as around, tempfile.TemporaryDirectory(prefix="escape-tree-") as folder:
        tree = Path(folder)
        for path in (program, *program.parent.glob("_*.py")):
            shutil.copyfile(path, tree / path.name)
        (tree / "cfg.json").write_text(json.dumps(around.settings()))
        result = await sandbox.run([python, program.name], tree=tree, limits=LIMITS, readable=interpreter_paths(python))
        return judge(program, result.stdout, result.stderr, result.limit, around, result.duration_ms)


def judge(program: Path, stdout: str, stderr: str, limit: str | None, around: World, duration_ms: float) -> Outcome:
    """The outcome from a program's output and the world around it."""
    lines = stdout.replace("RESULT escaped", "ESCAPED").replace("RESULT blocked", "BLOCKED").splitlines()
    escapes = [line for line in lines if line.startswith("ESCAPED")] + around.damage()
    folder = next((line.removeprefix("RAN ") for line in lines if line.startswith("RAN ")), "")
    if folder.startswith("/tmp/selfbuild-") and Path(folder).exists():
        escapes.append(f"{folder} is left")
    ran = bool(folder) or "RESULT" in stdout or limit is not None
    blocked = tuple(line for line in lines if line.startswith("BLOCKED"))
    return Outcome(program.stem, ran, tuple(escapes), limit, blocked, stderr.strip()[-300:], duration_ms)


async def attack_all(sandbox: Sandbox, found: Sequence[Path], *, at_once: int = 3) -> list[Outcome]:
    """Run all; bombs one after the other, since the kernel counts processes of one user together."""
    outcomes = [await attack(sandbox, each) for each in found if each.name.startswith("bomb_")]
    gate = asyncio.Semaphore(at_once)

    async def one(program: Path) -> Outcome:
        async with gate:
            return await attack(sandbox, program)

    others = [one(each) for each in found if not each.name.startswith("bomb_")]
    return sorted([*outcomes, *await asyncio.gather(*others)], key=lambda each: each.program)


def known_machine() -> bool:
    """Whether the programs know the numbers of this machine's system calls."""
    return sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
