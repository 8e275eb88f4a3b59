"""Watches how much a sandbox writes where the kernel does not limit it: bytes, and numbers of files."""

import os
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from selfbuild.adapters.sandbox.tree import descendants

MAX_FILES = 50_000
"""Files and folders a command may make: a few times what the largest test suites do."""
_FREE_RATIO = 0.02
"""Share of the disk that must stay free while a command runs, since a file without a name is counted nowhere else."""
_PAUSE_FACTOR = 10
"""A look takes at most one in so many parts of the time."""


def watch_folders(folders: Sequence[Path], *, max_bytes: int) -> Callable[[int], str | None]:
    """A watch on what lies within folders, and on files without a name that the processes hold."""
    next_look = 0.0

    def look(pid: int) -> str | None:
        nonlocal next_look
        started = time.monotonic()
        if started < next_look:
            return None
        full = _is_full(folders, pid, max_bytes)
        next_look = time.monotonic() + _PAUSE_FACTOR * (time.monotonic() - started)
        return "disk" if full else None

    return look


def watch_mounts(mounts: Sequence[str], *, proof: str) -> Callable[[int], str | None]:
    """A watch on the number of files in mounts that only the sandboxed processes see; `proof` exists there alone."""

    def look(pid: int) -> str | None:
        for process in reversed(descendants(pid)):
            root = f"/proc/{process}/root"
            try:
                os.stat(root + proof)
                used = sum(before.f_files - before.f_ffree for before in (os.statvfs(root + each) for each in mounts))
            except OSError:
                continue
            return "disk" if used > MAX_FILES else None
        return None

    return look


def _is_full(folders: Sequence[Path], pid: int, max_bytes: int) -> bool:
    used = os.statvfs(folders[0])
    if used.f_bavail < used.f_blocks * _FREE_RATIO:
        return True
    try:
        held, count = _held(folders, max_bytes)
    except OSError:
        # Too deep to be named, or closed to its own user: neither can be measured.
        return True
    return count > MAX_FILES or held + _unnamed(pid) > max_bytes


def _held(folders: Sequence[Path], max_bytes: int) -> tuple[int, int]:
    held = count = 0
    waiting = [str(folder) for folder in folders]
    while waiting and count <= MAX_FILES and held <= max_bytes:
        try:
            entries = os.scandir(waiting.pop())
        except FileNotFoundError:
            continue
        with entries:
            for entry in entries:
                count += 1
                try:
                    held += entry.stat(follow_symlinks=False).st_blocks * 512
                except FileNotFoundError:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return held, count


def _unnamed(pid: int) -> int:
    """Bytes of open files that were removed from their folders."""
    held: dict[tuple[int, int], int] = {}
    for process in descendants(pid):
        try:
            for fd in os.listdir(f"/proc/{process}/fd"):
                found = os.stat(f"/proc/{process}/fd/{fd}")
                if found.st_nlink == 0 and stat.S_ISREG(found.st_mode):
                    held[found.st_dev, found.st_ino] = found.st_blocks * 512
        except OSError:
            continue
    return sum(held.values())
