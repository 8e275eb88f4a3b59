# mypy: ignore-errors
"""Shared memory that only idle children map: no process has it among its resident pages."""

import mmap
import os
import time

from _proof import CFG, say

held = 0
children = []
try:
    for _ in range(12):
        area = mmap.mmap(-1, 64 << 20)
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:
            time.sleep(6)
            os._exit(0)
        for offset in range(0, len(area), 4096):
            area[offset] = 1
        area.close()
        held += 64
    time.sleep(1.5)
except (OSError, MemoryError) as error:
    say("BLOCKED", f"{held} MiB, then {error}")
else:
    say("ESCAPED", f"{held} MiB with a limit of {CFG['memory_mib']}")
