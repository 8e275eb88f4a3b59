# mypy: ignore-errors
"""Processes that keep forking and leaving, so that no list of them is ever right; each chain ends by itself."""

import os
import time

from _proof import CFG, say

for _ in range(4):
    if os.fork() == 0:
        os.setsid()
        until = time.monotonic() + 8
        while time.monotonic() < until:
            if os.fork() != 0:
                os._exit(0)
        os._exit(0)
time.sleep(0.2)
say("BLOCKED", f"left chains of processes behind {CFG['marker']}")
