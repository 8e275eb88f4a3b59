# mypy: ignore-errors
import os
import signal

from _proof import attempt

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def sparse(name):
    with open(name, "wb") as file:
        file.truncate(1 << 40)
    return os.stat(name).st_size


def far(name):
    with open(name, "wb") as file:
        file.seek(1 << 40)
        file.write(b"x")
    return os.stat(name).st_size


attempt(truncated=lambda: sparse("sparse"), written=lambda: far("far"))
