"""The sandbox without namespaces: Landlock, a seccomp filter without sockets, limits, and a watchdog.

For machines that allow no user namespaces, such as an unprivileged container. Everything is enforced by the kernel on
the process itself, so it needs no privilege; tests that start servers cannot pass in it.
"""

import asyncio
import ctypes
import os
import platform
import secrets
import struct
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from selfbuild.adapters.sandbox.environment import NOBODY, base_environment
from selfbuild.adapters.sandbox.probes import probe
from selfbuild.adapters.sandbox.results import START, result_of
from selfbuild.adapters.sandbox.seccomp import Profile, seccomp_filter
from selfbuild.adapters.sandbox.space import watch_folders
from selfbuild.adapters.sandbox.staging import (
    copy_tree,
    covers_of,
    interpreter_paths,
    mount_points,
    reachable,
    remove_tree,
    staging_folder,
)
from selfbuild.adapters.sandbox.supervise import Plan, supervise
from selfbuild.adapters.sandbox.tree import owned_by
from selfbuild.domain.errors import Misconfigured
from selfbuild.ports import SandboxLimits, SandboxResult, SandboxStatus

_CREATE_RULESET, _VERSION_FLAG = 444, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK, _IOCTL_DEV = 1 << 6, 1 << 11, 1 << 15
_FILE_RIGHTS_SINCE = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: _IOCTL_DEV}
"""Version of Landlock -> rights on files that it brought; asking for one that is unknown would be refused."""
_TCP_SINCE, _SCOPES_SINCE = 4, 6
_ALL_TCP, _ALL_SCOPES = 3, 3
"""Bind and connect; abstract unix sockets and signals."""
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
_ETC = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_DISK_BYTES = 256 << 20
"""What a test suite leaves behind."""


@lru_cache(maxsize=1)
def landlock_version() -> int:
    """The version of Landlock's interface that the kernel speaks; 0 = none."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    version = int(libc.syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_long(_VERSION_FLAG)))
    return max(0, version)


class LandlockSandbox:
    """Implements Sandbox. What it enforces on this machine is found by `probe`, never assumed."""

    level = "landlock"

    def __init__(self, *, python: str = sys.executable, uid: int = NOBODY, version: int | None = None) -> None:
        """
        Args:
            python: Interpreter whose folders are visible inside.
            uid: User that runs it when this process is root; nothing else should run under it.
            version: Version of Landlock to use, at most the kernel's; None = the kernel's.
        """
        found = landlock_version()
        if found == 0:
            raise Misconfigured("the kernel has no Landlock: it needs Linux 5.13 with CONFIG_SECURITY_LANDLOCK")
        if uid == 0:
            raise Misconfigured("the sandbox must not run as root: choose another uid")
        self._version = found if version is None else min(version, found)
        self._python = python
        self._uid = uid if os.geteuid() == 0 else None
        profile = Profile(own_network=False, own_processes=False, own_mounts=False, own_files=self._uid is not None)
        seccomp = seccomp_filter(platform.machine(), profile)
        if seccomp is None:
            raise Misconfigured(f"no seccomp filter is known for {platform.machine()!r}: Landlock alone is too little")
        self._seccomp = seccomp

    async def probe(self) -> SandboxStatus:
        """What is enforced here, by trying it."""
        return await probe(self, level=self.level, python=self._python)

    async def run(
        self,
        command: Sequence[str],
        *,
        tree: Path,
        limits: SandboxLimits,
        readable: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> SandboxResult:
        """Run on a copy of `tree`; nothing the command writes is kept.

        Raises:
            Unreachable: the sandbox did not start.
        """
        proof = secrets.token_hex(16)
        given = (Path(os.path.abspath(path)) for path in readable)
        visible = tuple(dict.fromkeys((*interpreter_paths(self._python), *given)))
        folder = staging_folder(self._uid)
        try:
            work, temporary = folder / "work", folder / "tmp"
            copy_tree(tree, work, uid=self._uid)
            for made in (temporary, temporary / "home"):
                made.mkdir(mode=0o700)
                if self._uid is not None:
                    os.chown(made, self._uid, self._uid)
            plan = Plan(
                command=("/bin/sh", "-c", START, proof, str(work), *command),
                environment=self._environment(temporary) | dict(environment or {}),
                uid=self._uid,
                landlock=self._rules((work, temporary), visible),
                stays=True,
                processes_already=owned_by(os.geteuid() if self._uid is None else self._uid),
                **self._shown(visible, folder),
            )
            watch = watch_folders((work, temporary), max_bytes=_DISK_BYTES)
            ended = await supervise(plan, limits, watch=watch)
        finally:
            await asyncio.to_thread(remove_tree, folder)
        return result_of(ended, proof=proof, level=self.level, limits=limits)

    def _shown(self, visible: Sequence[Path], folder: Path) -> dict[str, Any]:
        """How another user gets to paths that are closed to it."""
        hidden = [path for path in visible if not reachable(path, self._uid)]
        if self._uid is None or not hidden:
            return {}
        covers = tuple(str(cover) for cover in covers_of(hidden, self._uid))
        return {"mounts": tuple(mount_points(hidden, folder / "mounts")), "covers": covers}

    def _rules(self, writable: Sequence[Path], visible: Sequence[Path]) -> dict[str, Any]:
        everything = sum(rights for since, rights in _FILE_RIGHTS_SINCE.items() if since <= self._version)
        tcp = _ALL_TCP if self._version >= _TCP_SINCE else 0
        scopes = _ALL_SCOPES if self._version >= _SCOPES_SINCE else 0
        size = 24 if scopes else 16 if tcp else 8
        read = _READ_FILE | _READ_DIR | _EXECUTE
        write = everything & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)
        paths = [(str(path), read) for path in (*_SYSTEM, *_ETC, *visible)]
        paths += [(path, _READ_FILE | _WRITE_FILE) for path in _DEVICES]
        paths += [(str(path), write) for path in writable]
        return {
            "attributes": struct.pack("<QQQ", everything, tcp, scopes)[:size],
            "paths": paths,
            "seccomp": self._seccomp,
        }

    def _environment(self, temporary: Path) -> dict[str, str]:
        folders = [str(Path(self._python).parent), "/usr/local/bin", "/usr/bin", "/bin"]
        return base_environment(folders) | {"HOME": str(temporary / "home"), "TMPDIR": str(temporary)}
