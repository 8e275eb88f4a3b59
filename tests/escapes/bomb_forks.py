# mypy: ignore-errors
import os
import time

from _proof import say

started = 0
try:
    for _ in range(400):
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        started += 1
except OSError as error:
    say("BLOCKED", f"{started} processes, then {error}")
else:
    say("ESCAPED", f"{started} processes")
