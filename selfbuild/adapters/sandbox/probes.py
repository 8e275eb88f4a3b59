"""Finds what a sandbox enforces by running programs that try to get out; only this process is contacted."""

import asyncio
import json
import os
import platform
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from selfbuild.domain.errors import Unreachable
from selfbuild.ports import Sandbox, SandboxLimits, SandboxStatus

_ESCAPES = """
import ctypes, json, os, resource, socket, sys
port, outside, worker = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
victim = os.path.join(outside, "victim")
libc = ctypes.CDLL(None, use_errno=True)

def tried(attempt):
    try:
        return bool(attempt())
    except OSError:
        return False

def connects():
    with socket.create_connection(("127.0.0.1", port), 2):
        return True

def opens(path, flags):
    os.close(os.open(path, flags, 0o644))
    return True

def signals():
    os.kill(worker, 0)
    return True

def limits():
    return resource.prlimit(worker, resource.RLIMIT_CORE)

for change in (
    lambda: os.truncate(victim, 0),
    lambda: os.close(os.open(victim, os.O_RDONLY | os.O_TRUNC)),
    lambda: os.chmod(victim, 0o777),
    lambda: os.utime(victim, (0, 0)),
    lambda: os.rename(victim, victim + "2"),
    lambda: os.unlink(victim),
):
    tried(change)
known = {"PATH", "LANG", "HOME", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE", "MALLOC_ARENA_MAX"}
print(json.dumps({
    "network": tried(connects) or tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    and tried(lambda: [n for _, n in socket.if_nameindex() if n != "lo"]),
    "files": tried(lambda: opens(outside + "/escaped", os.O_CREAT | os.O_WRONLY))
    or tried(lambda: opens(victim, os.O_RDONLY)) or os.access("/etc/shadow", os.R_OK),
    "environment": any(not n.startswith("PYTHON") for n in set(os.environ) - known),
    "processes": tried(lambda: opens("/proc/%d/cmdline" % worker, os.O_RDONLY)) or tried(signals) or tried(limits),
    "privileges": tried(lambda: opens("/proc/sys/kernel/core_pattern", os.O_RDWR)) or libc.unshare(0x10000000) == 0
    or os.geteuid() == 0,
    "system calls": libc.memfd_create(b"x", 0) >= 0,
}))
"""
_MEMORY = "x = [bytearray(1 << 20) for _ in range(512)]; print('allocated')"
_DISK = """
import os, time
for number in range(12):
    os.posix_fallocate(os.open("file%d" % number, os.O_CREAT | os.O_WRONLY), 0, 40 << 20)
time.sleep(1)
print("written")
"""
_REMEDIES = {
    "network": "the command reached a socket of this process",
    "files": "the command read or changed a file of this machine",
    "environment": "the command saw variables of this process",
    "processes": "the command read, signalled or limited a process of this machine: start the worker as root, so that "
    "it can give the command a user of its own, or use a kernel with Landlock 6 (Linux 6.12)",
    "privileges": "the command kept privileges: start the worker as a user of its own",
    "system calls": f"no seccomp filter for this machine ({platform.machine()})",
    "memory": "512 MiB were allocated with a limit of 128 MiB",
    "disk": "480 MiB were written",
    "time": "a command outlived its time limit",
}


async def probe(sandbox: Sandbox, *, level: str, python: str) -> SandboxStatus:
    """Try every promise once, about 1 s in all."""
    try:
        escaped, memory, disk, time = await asyncio.gather(
            _escapes(sandbox, python),
            _says(sandbox, [python, "-I", "-S", "-c", _MEMORY], "allocated"),
            _says(sandbox, [python, "-I", "-S", "-c", _DISK], "written"),
            _outlives(sandbox),
        )
    except Unreachable as error:
        remedy = "allow user namespaces, or run the worker where they are allowed"
        return SandboxStatus(level=level, enforced=(), missing=(f"it does not start: {error}; {remedy}",))
    escaped |= {"memory": memory, "disk": disk, "time": time}
    return SandboxStatus(
        level=level,
        enforced=tuple(name for name in _REMEDIES if not escaped[name]),
        missing=tuple(f"{name}: {remedy}" for name, remedy in _REMEDIES.items() if escaped[name]),
    )


async def _escapes(sandbox: Sandbox, python: str) -> dict[str, bool]:
    with tempfile.TemporaryDirectory(prefix="selfbuild-probe-") as folder:
        outside, tree = Path(folder) / "outside", Path(folder) / "tree"
        # Open to everybody, so that nothing but the sandbox stands in the way.
        Path(folder).chmod(0o755)
        outside.mkdir()
        outside.chmod(0o777)
        (outside / "victim").write_text("unchanged")
        (outside / "victim").chmod(0o666)
        before = _looks(outside)
        tree.mkdir()
        async with _listening() as port:
            command = [python, "-I", "-S", "-c", _ESCAPES, str(port), str(outside), str(os.getpid())]
            result = await sandbox.run(command, tree=tree, limits=SandboxLimits(wall_s=20, cpu_s=10))
        try:
            found = json.loads(result.stdout)
        except ValueError as error:
            raise Unreachable(f"the probe did not finish: {result.stderr[-300:]}") from error
        changed = _looks(outside) != before
        return {name: bool(value) for name, value in found.items()} | {"files": bool(found["files"]) or changed}


def _looks(folder: Path) -> list[tuple[str, int, int, float]]:
    found = []
    for path in sorted(folder.iterdir()):
        status = path.stat()
        found.append((path.name, status.st_mode, status.st_size, status.st_mtime))
    return found


async def _says(sandbox: Sandbox, command: Sequence[str], word: str) -> bool:
    limits = SandboxLimits(wall_s=20, cpu_s=10, memory_bytes=128 << 20)
    with tempfile.TemporaryDirectory(prefix="selfbuild-probe-") as tree:
        result = await sandbox.run(command, tree=Path(tree), limits=limits)
    return word in result.stdout


async def _outlives(sandbox: Sandbox) -> bool:
    with tempfile.TemporaryDirectory(prefix="selfbuild-probe-") as tree:
        result = await sandbox.run(["sleep", "20"], tree=Path(tree), limits=SandboxLimits(wall_s=0.3))
    return result.limit != "wall"


@asynccontextmanager
async def _listening() -> AsyncIterator[int]:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])
