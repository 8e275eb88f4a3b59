"""Started as a process of its own with `python -I -S`: drops what the sandbox must not have, then becomes bubblewrap.

It imports nothing but the standard library. Its plan comes as one JSON argument:
limits (name of a RLIMIT_* -> [soft, hard]), uid (null = stay), mounts ([source, target] pairs made in a private mount
namespace, so that an unprivileged user reaches them), folder, command, environment.
"""

import ctypes
import json
import os
import resource
import sys

_CLONE_NEWNS = 0x00020000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_NOTHING_STARTED = 125


def _mount(libc: ctypes.CDLL, source: str, target: str, flags: int) -> None:
    if libc.mount(os.fsencode(source), os.fsencode(target), None, flags, None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def _bind(mounts: list[list[str]]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p]
    if libc.unshare(_CLONE_NEWNS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "a private mount namespace")
    _mount(libc, "none", "/", _MS_REC | _MS_PRIVATE)
    for source, target in mounts:
        _mount(libc, source, target, _MS_BIND)
        _mount(libc, source, target, _MS_BIND | _MS_REMOUNT | _MS_RDONLY)


def _limit(number: int, soft: int, hard: int) -> None:
    ceiling = resource.getrlimit(number)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(number, (soft, hard))


def main() -> None:
    plan = json.loads(sys.argv[1])
    try:
        if plan["mounts"]:
            _bind(plan["mounts"])
        for name, wanted in plan["limits"].items():
            _limit(getattr(resource, name), *wanted)
        if plan["uid"] is not None:
            os.setgroups([])
            os.setresgid(plan["uid"], plan["uid"], plan["uid"])
            os.setresuid(plan["uid"], plan["uid"], plan["uid"])
        os.chdir(plan["folder"])
        os.execve(plan["command"][0], plan["command"], plan["environment"])
    except OSError as error:
        sys.stderr.write(f"launcher: {error}\n")
        sys.exit(_NOTHING_STARTED)


if __name__ == "__main__":
    main()
