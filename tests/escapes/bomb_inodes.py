# mypy: ignore-errors
import os
import time

from _proof import say

made = 0
try:
    for number in range(150_000):
        os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY))
        made += 1
    time.sleep(1)
except OSError as error:
    say("BLOCKED", f"{made} files, then {error}")
else:
    say("ESCAPED", f"{made} files")
