# mypy: ignore-errors
import signal
import time

from _proof import say

signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
say("BLOCKED", "sleeps with every signal blocked")
time.sleep(30)
say("ESCAPED", "slept for 30 s")
