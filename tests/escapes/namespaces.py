# mypy: ignore-errors
import os
import signal

from _proof import WORKER, attempt, call


def cloned(flags):
    pid = call("clone", flags | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


def joined():
    with open(f"/proc/{WORKER}/ns/net") as file:
        return call("setns", file.fileno(), 0) == 0


attempt(
    user=lambda: call("unshare", 0x10000000) == 0,
    mount=lambda: call("unshare", 0x00020000) == 0,
    network=lambda: call("unshare", 0x40000000) == 0,
    clone_user=lambda: cloned(0x10000000),
    clone_pid=lambda: cloned(0x20000000),
    clone3=lambda: call("clone3", bytes(88), 88) >= 0,
    join=joined,
)
