"""Prepares what a sandbox sees: a copy of the tree that its user may read, and the interpreter's folders."""

import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from selfbuild.domain.errors import Misconfigured

_SYSTEM = (Path("/usr"), Path("/bin"), Path("/lib"), Path("/lib64"), Path("/sbin"))
_STAGING = ("/tmp", "/var/tmp", "/dev/shm")
_SKIPPED = {".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".venv", "node_modules"}
_QUESTION = (
    "import json,sys,sysconfig;"
    "print(json.dumps([sys.executable,sys.prefix,sys.base_prefix,sys.exec_prefix,sys.base_exec_prefix,"
    "*[p for k,p in sysconfig.get_paths().items() if k in ('stdlib','platstdlib','purelib','platlib')]]))"
)


def staging_folder(uid: int | None) -> Path:
    """A private folder that the user can walk to."""
    parent = next((path for path in _STAGING if reachable(Path(path), uid)), None)
    folder = Path(tempfile.mkdtemp(prefix="selfbuild-", dir=parent))
    # Others may walk through, but not list: what lies within belongs to the sandbox's user alone.
    folder.chmod(0o711)
    return folder


def copy_tree(source: Path, target: Path, *, uid: int | None) -> None:
    """Copy regular files and folders; links, sockets, devices, caches and git's folder are left out.

    Args:
        source: The tree, read as it is.
        target: A folder to be made.
        uid: Who must be able to read the copy and nobody else; None = the caller.
    """
    target.mkdir(mode=0o700)
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        if entry.name in _SKIPPED:
            continue
        if entry.is_dir(follow_symlinks=False):
            copy_tree(Path(entry.path), target / entry.name, uid=uid)
        elif entry.is_file(follow_symlinks=False):
            shutil.copyfile(entry.path, target / entry.name, follow_symlinks=False)
            executable = entry.stat(follow_symlinks=False).st_mode & 0o100
            os.chmod(target / entry.name, 0o600 | executable)
            _give(target / entry.name, uid)
    _give(target, uid)


def _give(path: Path, uid: int | None) -> None:
    if uid is not None:
        os.chown(path, uid, uid)


def remove_tree(folder: Path) -> None:
    """Remove what a command may have made: however deep, and closed to its own user or not. No link is followed."""
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError):
        for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            subprocess.run([*command, "--", str(folder)], capture_output=True, check=False, cwd="/")


def interpreter_paths(python: str) -> tuple[Path, ...]:
    """The folders an interpreter needs, without those of the system: its environment and the one it was made from."""
    if python == sys.executable:
        paths = sysconfig.get_paths()
        known = [sys.executable, sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
        return _outermost([*known, *(paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))])
    return _outermost(_asked(python))


@lru_cache(maxsize=32)
def _asked(python: str) -> tuple[str, ...]:
    try:
        answer = subprocess.run([python, "-I", "-c", _QUESTION], capture_output=True, timeout=20, check=True, cwd="/")
        return tuple(json.loads(answer.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise Misconfigured(f"the interpreter {python!r} does not run: {error}") from error


def _outermost(paths: Iterable[str]) -> tuple[Path, ...]:
    wanted: list[Path] = []
    candidates = {Path(path) for path in paths} | {Path(path).resolve() for path in paths}
    for path in sorted(candidates, key=lambda path: len(path.parts)):
        if len(path.parts) < 2 or not path.exists():
            continue
        if not any(path.is_relative_to(outer) for outer in (*_SYSTEM, *wanted)):
            wanted.append(path)
    return tuple(wanted)


def reachable(path: Path, uid: int | None) -> bool:
    """Whether the user may walk to the path and read it; None = the caller, who may by assumption."""
    if uid is None:
        return True
    resolved = path.resolve()
    return all(_allows(folder, uid, 0o1) for folder in resolved.parents) and _allows(resolved, uid, 0o5)


def _allows(path: Path, uid: int, bits: int) -> bool:
    status = path.stat()
    wanted = bits if status.st_mode & stat.S_IFDIR == stat.S_IFDIR else 0o4
    shift = 6 if status.st_uid == uid else 3 if status.st_gid == uid else 0
    return status.st_mode >> shift & wanted == wanted


def mount_points(hidden: Sequence[Path], folder: Path) -> Iterator[tuple[str, str]]:
    """Make a place below `folder` for each path its user cannot walk to: pairs of path and place."""
    for index, path in enumerate(hidden):
        target = folder / str(index)
        folder.mkdir(exist_ok=True)
        if path.is_dir():
            target.mkdir()
        else:
            target.touch()
        yield str(path), str(target)


def covers_of(paths: Iterable[Path], uid: int) -> tuple[Path, ...]:
    """The outermost folders on the way to the paths that the user cannot enter."""
    closed = {
        folder
        for path in paths
        for way in (path.absolute(), path.resolve())
        for folder in way.parents
        if not _allows(folder, uid, 0o1)
    }
    return tuple(sorted(folder for folder in closed if not closed.intersection(folder.parents)))


def system_links() -> Iterator[tuple[str, str]]:
    """Links such as /bin -> usr/bin, as this machine has them."""
    for path in _SYSTEM[1:]:
        if path.is_symlink():
            yield os.readlink(path).lstrip("/"), str(path)
