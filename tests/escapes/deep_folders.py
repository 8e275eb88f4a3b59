# mypy: ignore-errors
import os

from _proof import say

depth = 0
for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
    depth += 1
say("BLOCKED", f"{depth} folders, to be removed by whoever started this")
