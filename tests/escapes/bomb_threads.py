# mypy: ignore-errors
import os
import threading

from _proof import say

hold = threading.Event()
started = 0
try:
    for _ in range(400):
        threading.Thread(target=hold.wait, args=(3,), daemon=True).start()
        started += 1
except RuntimeError as error:
    say("BLOCKED", f"{started} threads, then {error}")
else:
    say("ESCAPED", f"{started} threads")
os._exit(0)
