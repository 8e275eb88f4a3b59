# mypy: ignore-errors
import os

from _proof import say

found = []
for fd in range(3, 256):
    try:
        found.append((fd, os.readlink(f"/proc/self/fd/{fd}") if os.path.exists("/proc/self") else os.fstat(fd)))
    except OSError:
        continue

inner = [each for each in found if "/sandbox/" not in str(each)]
say("ESCAPED" if inner else "BLOCKED", f"descriptors {found}")
