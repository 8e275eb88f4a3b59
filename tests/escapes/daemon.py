# mypy: ignore-errors
"""Leaves the process group, the session and its parent behind, and closes its output."""

import os
import time

from _proof import CFG, say

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.execvp("sleep", ["sleep", CFG["marker"]])
    os._exit(0)
time.sleep(0.1)
say("BLOCKED", "left a process behind, to be found by whoever started this")
