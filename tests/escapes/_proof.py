# mypy: ignore-errors
# ruff: noqa: SIM115, T201, BLE001
"""Shared by the escape programs: what they may look for, and how they prove that they ran.

Each program prints `RAN`, then one line a way it tried: `BLOCKED reason` or `ESCAPED what`. All are bounded, so that a
sandbox that fails does no harm.
"""

import ctypes
import json
import os
import platform

CFG = json.load(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "cfg.json")))
OUTSIDE, HOME, CANARY, WORKER = CFG["outside"], CFG["home"], CFG["canary"], CFG["worker"]
NUMBERS = {
    "x86_64": {"ptrace": 101, "mount": 165, "umount2": 166, "pivot_root": 155, "bpf": 321, "perf_event_open": 298,
               "userfaultfd": 323, "io_uring_setup": 425, "keyctl": 250, "add_key": 248, "process_vm_readv": 310,
               "open_by_handle_at": 304, "name_to_handle_at": 303, "clock_settime": 227, "personality": 135,
               "pidfd_open": 434, "pidfd_getfd": 438, "fsopen": 430, "open_tree": 428, "clone3": 435, "clone": 56,
               "unshare": 272, "setns": 308, "shmget": 29, "memfd_create": 319, "memfd_secret": 447, "mq_open": 240,
               "init_module": 175, "syslog": 103, "sched_setaffinity": 203, "kexec_load": 246},
    "aarch64": {"ptrace": 117, "mount": 40, "umount2": 39, "pivot_root": 41, "bpf": 280, "perf_event_open": 241,
                "userfaultfd": 282, "io_uring_setup": 425, "keyctl": 219, "add_key": 217, "process_vm_readv": 270,
                "open_by_handle_at": 265, "name_to_handle_at": 264, "clock_settime": 112, "personality": 92,
                "pidfd_open": 434, "pidfd_getfd": 438, "fsopen": 430, "open_tree": 428, "clone3": 435, "clone": 220,
                "unshare": 97, "setns": 268, "shmget": 194, "memfd_create": 279, "memfd_secret": 447, "mq_open": 180,
                "init_module": 105, "syslog": 116, "sched_setaffinity": 122, "kexec_load": 104},
}[platform.machine()]  # fmt: skip
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def say(word: str, what: object = "") -> None:
    print(word, str(what).replace("\n", " ")[:160], flush=True)


def call(name: str, *arguments: object) -> int:
    """A system call by name; its refusal is an OSError."""
    plain = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *plain)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
    return int(result)


def in_own_namespace() -> bool:
    """Whether process numbers are the sandbox's own: then the parent is one of its own processes, too."""
    return os.getpid() < 64


def attempt(**ways: object) -> None:
    """Try each way, a function without arguments; whatever is true got out."""
    for name, way in ways.items():
        try:
            found = way()
        except Exception as error:
            say("BLOCKED", f"{name}: {error!r}")
        else:
            say("ESCAPED" if found else "BLOCKED", f"{name}: {found}")


def changed(path: str, text: str = "escaped") -> str:
    """Append to a file, made where it does not exist."""
    with open(path, "a") as file:
        file.write(text)
    return path


def reads(path: str) -> str | None:
    """The path, where it holds the secret."""
    with open(path, "rb") as file:
        return path if CANARY.encode() in file.read(1 << 20) else None


def planted(path: str) -> str | None:
    """Whether a file can be made, or an existing one opened for writing; neither is left changed."""
    if os.path.exists(path):
        os.close(os.open(path, os.O_WRONLY))
        return path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.unlink(path)
    return path


say("RAN", os.getcwd())
