# mypy: ignore-errors
import ctypes
import os

from _proof import CANARY, HOME, OUTSIDE, attempt, changed, reads

AT_FDCWD, O_PATH = -100, 0o10000000


def beneath(path):
    fd = os.open("/", O_PATH)
    inner = os.open(path.lstrip("/"), os.O_RDONLY, dir_fd=fd)
    return CANARY.encode() in os.read(inner, 1000)


def described(path):
    fd = os.open(path, O_PATH)
    return reads(f"/proc/self/fd/{fd}")


attempt(
    write=lambda: changed("/proc/self/root" + OUTSIDE + "/through_root"),
    thread=lambda: changed("/proc/thread-self/root" + OUTSIDE + "/through_thread"),
    cwd=lambda: changed("/proc/self/cwd/../../../../../.." + OUTSIDE + "/through_cwd"),
    read=lambda: reads("/proc/self/root" + HOME + "/.ssh/id_rsa"),
    beneath=lambda: beneath(HOME + "/.ssh/id_rsa"),
    described=lambda: described(HOME + "/.ssh/id_rsa"),
    executed=lambda: os.access(OUTSIDE + "/tool", os.X_OK) and os.spawnv(os.P_WAIT, OUTSIDE + "/tool", ["tool"]) == 0,
    loaded=lambda: ctypes.CDLL(OUTSIDE + "/library.so"),
)
