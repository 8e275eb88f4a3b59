# mypy: ignore-errors
import os
import time
from contextlib import suppress

from _proof import say

held = 0
try:
    for number in range(24):
        with open(f"/dev/shm/escape-{os.getpid()}-{number}", "wb") as file:
            file.write(b"x" * (32 << 20))
        held += 32
    time.sleep(1)
except OSError as error:
    say("BLOCKED", f"{held} MiB, then {error}")
else:
    say("ESCAPED", f"{held} MiB")
for number in range(24):
    with suppress(OSError):
        os.unlink(f"/dev/shm/escape-{os.getpid()}-{number}")
