# mypy: ignore-errors
import os
import resource

from _proof import say

try:
    resource.setrlimit(resource.RLIMIT_CORE, (-1, -1))
except (OSError, ValueError) as error:
    say("BLOCKED", error)
child = os.fork()
if child == 0:
    os.abort()
status = os.waitpid(child, 0)[1]
say("ESCAPED" if os.WCOREDUMP(status) else "BLOCKED", f"status {status}, {sorted(os.listdir('.'))}")
