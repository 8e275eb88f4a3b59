"""Finds what a sandbox enforces by running programs that try to get out; only this process is contacted."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from selfbuild.domain.errors import Unreachable
from selfbuild.ports import Sandbox, SandboxLimits, SandboxStatus

_ESCAPES = """
import ctypes, json, os, socket, sys
port, outside, own_pid = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)

def tried(attempt):
    try:
        return bool(attempt())
    except OSError:
        return False

def connects():
    with socket.create_connection(("127.0.0.1", port), 2):
        return True

def writes():
    with open(os.path.join(outside, "escaped"), "w") as file:
        return file.write("x")

def reaches_kernel():
    with open("/proc/sys/kernel/core_pattern", "r+"):
        return True

known = {"PATH", "LANG", "HOME", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE", "MALLOC_ARENA_MAX"}
print(json.dumps({
    "network": tried(connects) or tried(lambda: [n for _, n in socket.if_nameindex() if n != "lo"]),
    "files": tried(writes) or os.access("/etc/shadow", os.R_OK),
    "environment": any(not n.startswith("PYTHON") for n in set(os.environ) - known),
    "processes": os.path.exists("/proc/%d" % own_pid),
    "privileges": tried(reaches_kernel) or libc.unshare(0x10000000) == 0,
    "system calls": libc.syscall(319, b"x", 0) >= 0,
}))
"""
_MEMORY = "x = [bytearray(1 << 20) for _ in range(512)]; print('allocated')"
_REMEDIES = {
    "network": "the command reached a socket of this process",
    "files": "the command wrote a file of this machine",
    "environment": "the command saw variables of this process",
    "processes": "the command saw processes of this machine",
    "privileges": "the command kept privileges: start the worker as a user of its own",
    "system calls": "no seccomp filter for this machine (x86_64 only)",
    "memory": "512 MiB were allocated with a limit of 128 MiB",
    "time": "a command outlived its time limit",
}


async def probe(sandbox: Sandbox, *, level: str, python: str) -> SandboxStatus:
    """Try every promise once, about 1 s in all."""
    try:
        escaped = await _escapes(sandbox, python)
        escaped["memory"] = await _memory_escapes(sandbox, python)
        escaped["time"] = await _time_escapes(sandbox)
    except Unreachable as error:
        remedy = "allow user namespaces, or run the worker where they are allowed"
        return SandboxStatus(level=level, enforced=(), missing=(f"it does not start: {error}; {remedy}",))
    return SandboxStatus(
        level=level,
        enforced=tuple(name for name in _REMEDIES if not escaped[name]),
        missing=tuple(f"{name}: {remedy}" for name, remedy in _REMEDIES.items() if escaped[name]),
    )


async def _escapes(sandbox: Sandbox, python: str) -> dict[str, bool]:
    with tempfile.TemporaryDirectory(prefix="selfbuild-probe-") as folder:
        outside, tree = Path(folder) / "outside", Path(folder) / "tree"
        outside.mkdir(mode=0o777)
        outside.chmod(0o777)
        tree.mkdir()
        async with _listening() as port:
            command = [python, "-I", "-S", "-c", _ESCAPES, str(port), str(outside), str(os.getpid())]
            result = await sandbox.run(command, tree=tree, limits=SandboxLimits(wall_s=20, cpu_s=10))
        try:
            found = json.loads(result.stdout)
        except ValueError as error:
            raise Unreachable(f"the probe did not finish: {result.stderr[-300:]}") from error
        return {name: bool(value) for name, value in found.items()} | {
            "files": bool(found["files"]) or any(outside.iterdir()),
        }


async def _memory_escapes(sandbox: Sandbox, python: str) -> bool:
    limits = SandboxLimits(wall_s=20, cpu_s=10, memory_bytes=128 << 20)
    with tempfile.TemporaryDirectory(prefix="selfbuild-probe-") as tree:
        result = await sandbox.run([python, "-I", "-S", "-c", _MEMORY], tree=Path(tree), limits=limits)
    return "allocated" in result.stdout


async def _time_escapes(sandbox: Sandbox) -> bool:
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
