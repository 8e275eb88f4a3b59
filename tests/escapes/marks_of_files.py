# mypy: ignore-errors
"""What Landlock does not check: modes, owners, times, attributes, lengths of files outside. The harness looks."""

import os

from _proof import HOME, OUTSIDE, attempt

victim = OUTSIDE + "/victim"


def mode():
    os.chmod(victim, 0o777)
    return os.stat(victim).st_mode & 0o777 == 0o777


def times():
    os.utime(victim, (0, 0))
    return os.stat(victim).st_mtime == 0


def attribute():
    os.setxattr(victim, "user.escape", b"x")
    return os.listxattr(victim)


def shortened(flags):
    os.close(os.open(victim, flags))
    return os.stat(victim).st_size == 0


attempt(
    mode=mode,
    times=times,
    attribute=attribute,
    truncate=lambda: os.truncate(victim, 0) is None,
    open_truncate=lambda: shortened(os.O_RDONLY | os.O_TRUNC),
    write_truncate=lambda: shortened(os.O_WRONLY | os.O_TRUNC),
    removed=lambda: os.unlink(victim) is None,
    home=lambda: os.chmod(HOME + "/.ssh", 0o777) is None and os.stat(HOME + "/.ssh").st_mode & 0o777 == 0o777,
)
