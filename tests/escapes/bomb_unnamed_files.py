# mypy: ignore-errors
import os
import tempfile
import time

from _proof import say

held = 0
files = []
try:
    for _ in range(20):
        fd, path = tempfile.mkstemp()
        os.unlink(path)
        files.append(fd)
        os.posix_fallocate(fd, 0, 40 << 20)
        held += 40
    time.sleep(1.5)
except OSError as error:
    say("BLOCKED", f"{held} MiB, then {error}")
else:
    say("ESCAPED", f"{held} MiB in files without names")
