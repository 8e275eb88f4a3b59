# mypy: ignore-errors
import os

from _proof import attempt, call

MS_REMOUNT, MS_BIND = 32, 4096
os.mkdir("m")
attempt(
    tmpfs=lambda: call("mount", b"none", b"m", b"tmpfs", 0, 0) == 0,
    remount=lambda: call("mount", b"none", b"/usr", b"", MS_REMOUNT | MS_BIND, 0) == 0,
    proc=lambda: call("mount", b"proc", b"m", b"proc", 0, 0) == 0,
    overlay=lambda: call("mount", b"x", b"m", b"overlay", 0, b"lowerdir=/usr") == 0,
    unmount=lambda: call("umount2", b"m", 2) == 0,
    filesystem=lambda: call("fsopen", b"tmpfs", 0) >= 0,
    tree=lambda: call("open_tree", -100, b"/", 1) >= 0,
    pivot=lambda: call("pivot_root", b".", b".") == 0,
    root=lambda: os.chroot(".") is None,
)
