# mypy: ignore-errors
# ruff: noqa: SIM115
import os

from _proof import WORKER, attempt, reads

attempt(
    worker=lambda: reads(f"/proc/{WORKER}/environ"),
    parent=lambda: reads(f"/proc/{os.getppid()}/environ"),
    first=lambda: reads("/proc/1/environ"),
    all_of_them=lambda: [pid for pid in os.listdir("/proc") if pid.isdigit() and reads(f"/proc/{pid}/environ")],
    arguments=lambda: open(f"/proc/{WORKER}/cmdline").read(),
)
