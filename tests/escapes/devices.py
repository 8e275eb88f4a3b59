# mypy: ignore-errors
# ruff: noqa: SIM115
import os
import stat

from _proof import attempt, changed


def made(kind, major, minor):
    os.mknod("node", kind | 0o666, os.makedev(major, minor))
    return os.open("node", os.O_RDONLY)


def disks():
    for name in os.listdir("/dev"):
        if stat.S_ISBLK(os.stat("/dev/" + name).st_mode):
            os.close(os.open("/dev/" + name, os.O_RDONLY))
            return name
    return None


attempt(
    disk=lambda: made(stat.S_IFBLK, 254, 0),
    memory=lambda: made(stat.S_IFCHR, 1, 1),
    disks=disks,
    physical=lambda: open("/dev/mem", "rb"),
    kernel_log=lambda: open("/dev/kmsg"),
    fuse=lambda: open("/dev/fuse", "r+b"),
    kvm=lambda: open("/dev/kvm", "r+b"),
    tunnel=lambda: open("/dev/net/tun", "r+b"),
    new_device=lambda: changed("/dev/escape"),
)
