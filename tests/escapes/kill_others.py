# mypy: ignore-errors
import os
import signal

from _proof import WORKER, attempt, in_own_namespace


def killed(pid, number):
    os.kill(pid, number)
    return pid


def by_descriptor():
    fd = os.pidfd_open(WORKER)
    signal.pidfd_send_signal(fd, signal.SIGTERM)
    return True


attempt(
    asked=lambda: killed(WORKER, 0),
    ended=lambda: killed(WORKER, signal.SIGTERM),
    group=lambda: os.killpg(os.getpgid(WORKER), signal.SIGTERM) is None,
    descriptor=by_descriptor,
    launcher=lambda: not in_own_namespace() and killed(os.getppid(), 0),
)
