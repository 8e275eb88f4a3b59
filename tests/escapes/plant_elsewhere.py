# mypy: ignore-errors
import os

from _proof import HOME, OUTSIDE, attempt, planted

attempt(
    hook=lambda: planted(OUTSIDE + "/.git/hooks/pre-commit"),
    conftest=lambda: planted(OUTSIDE + "/conftest.py"),
    beside=lambda: planted(os.path.dirname(os.getcwd()) + "/conftest.py"),
    rc=lambda: planted(HOME + "/.bashrc"),
    keys=lambda: planted(HOME + "/.ssh/authorized_keys"),
    cron=lambda: planted("/etc/cron.d/escape"),
    unit=lambda: planted("/etc/systemd/system/escape.service"),
    preload=lambda: planted("/etc/ld.so.preload"),
    profile=lambda: planted("/etc/profile.d/escape.sh"),
    library=lambda: planted("/usr/lib/escape.so"),
    command=lambda: planted("/usr/local/bin/escape"),
)
