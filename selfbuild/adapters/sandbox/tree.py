"""Watches and ends the processes below one: their memory through /proc, and the certainty that none is left."""

import os
import signal
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def descendants(pid: int) -> list[int]:
    """Processes below `pid`, parents first; those that end meanwhile may be missing."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = _children(waiting.pop())
        found += children
        waiting += children
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    except OSError:
        return found
    return found


def resident_bytes(pid: int) -> int:
    """Memory the process and all below it hold; pages they share count for each."""
    total = 0
    for process in (pid, *descendants(pid)):
        try:
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE_BYTES
        except (OSError, IndexError, ValueError):
            continue
    return total


def owned_by(uid: int) -> int:
    """How many processes the user has: its process limit counts them too."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                count += os.stat(f"/proc/{name}").st_uid == uid
            except OSError:
                continue
    return count


def kill_tree(pid: int) -> None:
    """End the process, its group and everything below it."""
    below = descendants(pid)
    for process in (pid, *below):
        for send in (os.killpg, os.kill) if process == pid else (os.kill,):
            try:
                send(process, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
