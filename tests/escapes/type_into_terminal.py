# mypy: ignore-errors
import fcntl

from _proof import attempt


def typed(fd):
    return fcntl.ioctl(fd, 0x5412, b"x") == 0


def console():
    with open("/dev/tty", "r+b", buffering=0) as file:
        return typed(file.fileno())


attempt(
    stdin=lambda: typed(0),
    stdout=lambda: typed(1),
    stderr=lambda: typed(2),
    tty=console,
    line=lambda: fcntl.ioctl(0, 0x541C, b"\x03") == 0,
    controlling=lambda: fcntl.ioctl(0, 0x540E, 0) == 0,
)
