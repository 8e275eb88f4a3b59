"""Started as a process of its own with `python -I -S`: drops what the sandbox must not have, then becomes the command.

It imports nothing but what starts fast: not typing, json, signal or enum, which take longer than all else. Its plan
comes marshalled through the file descriptor named by its argument: the fields of `supervise.Plan`. Where the plan asks
to stay, it remains as the parent of the command: everything the command leaves behind becomes its child, and is ended
with it.
"""

from __future__ import annotations

import marshal
import os
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Libc = Any

_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_SET_DEATH_SIGNAL, _SET_SECCOMP, _SET_SUBREAPER, _SET_NO_NEW_PRIVILEGES = 1, 22, 36, 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Landlock's calls have the same numbers on every architecture."""
_PATH_BENEATH = 1
_FILE_RIGHTS = 1 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
"""Execute, write, read, truncate and ioctl: what a rule on a file, not a folder, may speak of."""
_NOTHING_STARTED = 125
_SIGKILL, _SIGTERM = 9, 15
_END_S = 5.0


def _libc() -> Libc:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    libc.syscall.restype = ctypes.c_long
    return libc


def _checked(result: int, what: str) -> int:
    if result < 0:
        import ctypes

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


# What a user cannot walk to


def _mount(libc: Libc, source: str, target: str, flags: int) -> None:
    _checked(libc.mount(os.fsencode(source), os.fsencode(target), None, flags, None), target)


def _bind(libc: Libc, source: str, target: str) -> None:
    _mount(libc, source, target, _MS_BIND)
    _mount(libc, source, target, _MS_BIND | _MS_REMOUNT | _MS_RDONLY)


def _arrange(libc: Libc, mounts: list[tuple[str, str]], covers: list[str]) -> None:
    """Make hidden paths reachable in a private mount namespace: at their targets, and, below covers, in their place."""
    _checked(libc.unshare(_CLONE_NEWNS), "a private mount namespace, needed to show the interpreter to another user")
    _mount(libc, "none", "/", _MS_REC | _MS_PRIVATE)
    for source, target in mounts:
        _bind(libc, source, target)
    for cover in covers:
        _checked(libc.mount(b"tmpfs", os.fsencode(cover), b"tmpfs", 0, b"mode=0755,size=1m"), cover)
    if covers:
        for source, target in mounts:
            if os.path.isdir(target):
                os.makedirs(source, exist_ok=True)
            else:
                os.makedirs(os.path.dirname(source), exist_ok=True)
                os.close(os.open(source, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
            _bind(libc, target, source)


# Landlock


def _ruleset(libc: Libc, rules: dict[str, Any]) -> int:
    """The file descriptor of a ruleset; paths that do not exist are left out."""
    import ctypes

    number = ctypes.c_long
    attributes = rules["attributes"]
    made = libc.syscall(number(_CREATE_RULESET), attributes, ctypes.c_size_t(len(attributes)), number(0))
    ruleset = _checked(made, "a Landlock ruleset")
    for path, rights in rules["paths"]:
        try:
            beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        allowed = rights if os.path.isdir(path) else rights & _FILE_RIGHTS
        rule = allowed.to_bytes(8, "little") + beneath.to_bytes(4, "little")
        _checked(libc.syscall(number(_ADD_RULE), number(ruleset), number(_PATH_BENEATH), rule, number(0)), path)
        os.close(beneath)
    return ruleset


def _confine(libc: Libc, ruleset: int, seccomp: bytes) -> None:
    import ctypes

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    number = ctypes.c_long
    _checked(libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "no_new_privs")
    _checked(libc.syscall(number(_RESTRICT_SELF), number(ruleset), number(0)), "Landlock")
    os.close(ruleset)
    kept = ctypes.create_string_buffer(seccomp, len(seccomp))
    program = Program(len(seccomp) // 8, ctypes.addressof(kept))
    _checked(libc.prctl(_SET_SECCOMP, 2, ctypes.addressof(program), 0, 0), "the seccomp filter")


# The command


def _limit(number: int, soft: int, hard: int) -> None:
    ceiling = resource.getrlimit(number)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(number, (soft, hard))


def _become(plan: dict[str, Any], libc: Libc) -> None:
    rules = plan["landlock"]
    ruleset = _ruleset(libc, rules) if rules else -1
    for name, wanted in plan["limits"].items():
        _limit(getattr(resource, name), *wanted)
    if plan["uid"] is not None:
        os.setgroups([])
        os.setresgid(plan["uid"], plan["uid"], plan["uid"])
        os.setresuid(plan["uid"], plan["uid"], plan["uid"])
    os.chdir(plan["folder"])
    if plan["stays"]:
        libc.prctl(_SET_DEATH_SIGNAL, _SIGKILL, 0, 0, 0)
    if rules:
        _confine(libc, ruleset, rules["seccomp"])
    os.execve(plan["command"][0], plan["command"], plan["environment"])


def _start(plan: dict[str, Any], libc: Libc) -> None:
    try:
        _become(plan, libc)
    except OSError as error:
        sys.stderr.write(f"launcher: {error}\n")
        sys.stderr.flush()
        os._exit(_NOTHING_STARTED)


def _stay(plan: dict[str, Any], libc: Libc) -> int:
    """Run the command as a child, end what it leaves behind, and answer as a shell would."""
    import _signal  # type: ignore[import-not-found]

    def ended(*_: object) -> None:
        _end_children()
        os._exit(128 + _SIGTERM)

    _checked(libc.prctl(_SET_SUBREAPER, 1, 0, 0, 0), "adopting orphans")
    command = os.fork()
    if command == 0:
        _start(plan, libc)
    _signal.signal(_SIGTERM, ended)
    libc.prctl(_SET_DEATH_SIGNAL, _SIGTERM, 0, 0, 0)
    while True:
        process, status = os.waitpid(-1, 0)
        if process == command:
            break
    _end_children()
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _end_children() -> None:
    """Kill until none is left: the children of what is killed become children of this process."""
    import time

    until = time.monotonic() + _END_S
    while time.monotonic() < until:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            for word in file.read().split():
                os.kill(int(word), _SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def _read_plan(fd: int) -> dict[str, Any]:
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        plan: dict[str, Any] = marshal.load(file)
    return plan


def main() -> None:
    plan = _read_plan(int(sys.argv[1]))
    libc = _libc() if plan["mounts"] or plan["landlock"] or plan["stays"] else None
    try:
        if plan["mounts"]:
            _arrange(libc, plan["mounts"], plan["covers"])
        if plan["stays"]:
            os._exit(_stay(plan, libc))
    except OSError as error:
        sys.stderr.write(f"launcher: {error}\n")
        sys.exit(_NOTHING_STARTED)
    _start(plan, libc)
