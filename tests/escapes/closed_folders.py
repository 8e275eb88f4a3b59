# mypy: ignore-errors
import os

from _proof import say

os.umask(0o777)
for number in range(20):
    os.mkdir(f"closed{number}", 0)
    os.close(os.open(f"file{number}", os.O_CREAT | os.O_WRONLY, 0))
say("BLOCKED", "folders nobody may enter, to be removed by whoever started this")
