# mypy: ignore-errors
# ruff: noqa: SIM115
import os

from _proof import WORKER, attempt


def opened(path):
    os.close(os.open(path, os.O_WRONLY))
    return path


attempt(
    core=lambda: opened("/proc/sys/kernel/core_pattern"),
    modprobe=lambda: opened("/proc/sys/kernel/modprobe"),
    sysrq=lambda: opened("/proc/sysrq-trigger"),
    forward=lambda: opened("/proc/sys/net/ipv4/ip_forward"),
    maps=lambda: os.write(os.open("/proc/self/uid_map", os.O_WRONLY), b"0 0 1"),
    helper=lambda: opened("/sys/kernel/uevent_helper"),
    agent=lambda: opened("/sys/fs/cgroup/memory/release_agent"),
    cgroup=lambda: opened("/sys/fs/cgroup/cgroup.procs"),
    kernel=lambda: open("/proc/kcore", "rb").read(4),
    adjust=lambda: os.path.exists(f"/proc/{WORKER}/oom_score_adj") and opened(f"/proc/{WORKER}/oom_score_adj"),
)
