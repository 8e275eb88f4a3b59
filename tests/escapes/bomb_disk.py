# mypy: ignore-errors
import os
import time

from _proof import say

held = 0
try:
    for number in range(20):
        with open(f"big{number}", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, 40 << 20)
        held += 40
    time.sleep(1.5)
except OSError as error:
    say("BLOCKED", f"{held} MiB, then {error}")
else:
    say("ESCAPED", f"{held} MiB")
