# mypy: ignore-errors
import os
import subprocess

from _proof import attempt, libc


def uid_of(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL)
    return done.stdout.strip() == "0" and done.stdout


attempt(
    already=lambda: os.geteuid() == 0 or os.getuid() == 0,
    setuid=lambda: os.setuid(0) is None,
    setresuid=lambda: os.setresuid(0, 0, 0) is None,
    groups=lambda: os.setgroups([0]) is None,
    su=lambda: uid_of("su", "-c", "id -u"),
    sudo=lambda: uid_of("sudo", "-n", "id", "-u"),
    own=lambda: os.chown("cfg.json", 0, 0) is None and os.stat("cfg.json").st_uid == 0,
    more=lambda: libc.prctl(38, 0, 0, 0, 0) == 0,
    keep=lambda: libc.prctl(8, 1, 0, 0, 0) == 0 and os.setuid(0) is None,
)
