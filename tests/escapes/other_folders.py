# mypy: ignore-errors
# ruff: noqa: SIM115
import os

from _proof import HOME, WORKER, attempt, reads

attempt(
    cwd=lambda: os.listdir(f"/proc/{WORKER}/cwd"),
    root=lambda: reads(f"/proc/{WORKER}/root{HOME}/.ssh/id_rsa"),
    parent_root=lambda: reads(f"/proc/{os.getppid()}/root{HOME}/.ssh/id_rsa"),
    descriptors=lambda: os.listdir(f"/proc/{WORKER}/fd"),
    memory=lambda: open(f"/proc/{WORKER}/mem", "rb"),
    maps=lambda: open(f"/proc/{WORKER}/maps").read(10),
)
