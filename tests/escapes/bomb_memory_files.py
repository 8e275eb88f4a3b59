# mypy: ignore-errors
import mmap
import os
import time

from _proof import attempt, call


def memfd():
    held = 0
    for number in range(24):
        fd = call("memfd_create", b"m%d" % number, 0)
        os.posix_fallocate(fd, 0, 32 << 20)
        held += 32
    time.sleep(1)
    return f"{held} MiB"


def secret():
    fd = call("memfd_secret", 0)
    os.ftruncate(fd, 16 << 20)
    return mmap.mmap(fd, 16 << 20).write(b"x")


attempt(
    memfd=memfd,
    secret=secret,
    segment=lambda: f"segment {call('shmget', 0, 1 << 20, 0o1600)}",
    queue=lambda: call("mq_open", b"escape", os.O_CREAT | os.O_RDWR, 0o600, None),
)
