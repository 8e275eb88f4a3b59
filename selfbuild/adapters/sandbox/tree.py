"""Watches and ends the processes below one: their memory through /proc, and the certainty that none is left."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SHORT_RATIO = 0.04
"""Share of the machine's memory that must stay available while a command runs: below it the kernel starts to kill."""
_KILL_S = 2.0


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


def memory_is_short() -> bool:
    """Whether the machine is nearly out of memory: then what no process owns, such as buffers, may be the cause."""
    try:
        with open("/proc/meminfo") as file:
            found = {line.split(":")[0]: int(line.split()[1]) for line in file if line.startswith("Mem")}
    except (OSError, ValueError, IndexError):
        return False
    return found["MemAvailable"] < found["MemTotal"] * _SHORT_RATIO


def kill_tree(pid: int) -> None:
    """End the process, its group and everything below it, for certain where the process adopts orphans.

    It is stopped first, so that it starts nothing more, and ended last, so that what is orphaned meanwhile is still
    below it and is found.
    """
    _send(os.kill, pid, signal.SIGSTOP)
    until = time.monotonic() + _KILL_S
    while below := [process for process in descendants(pid) if _runs(process)]:
        for process in below:
            _send(os.kill, process, signal.SIGKILL)
        if time.monotonic() > until:
            break
    for send in (os.killpg, os.kill):
        _send(send, pid, signal.SIGKILL)


def _send(send: Callable[[int, int], None], pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        send(pid, number)


def _runs(pid: int) -> bool:
    """Whether the process is more than a dead one whose parent has not looked."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (OSError, IndexError):
        return False


def shared_bytes(pid: int) -> int:
    """Memory shared between the processes below one and known by no name: a page counts for none that has not
    touched it, even where it is all that keeps it."""
    sizes: dict[bytes, int] = {}
    for process in descendants(pid):
        try:
            with open(f"/proc/{process}/maps", "rb") as file:
                lines = [line.split() for line in file if b"/dev/zero (deleted)" in line]
        except OSError:
            continue
        for addresses, _, offset, _, inode, *_ in lines:
            start, end = (int(each, 16) for each in addresses.split(b"-"))
            sizes[inode] = max(sizes.get(inode, 0), end - start + int(offset, 16))
    return sum(sizes.values())
