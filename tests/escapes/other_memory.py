# mypy: ignore-errors
import ctypes
import os

from _proof import WORKER, attempt, call


class Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def vm_read(pid):
    here = ctypes.create_string_buffer(64)
    local, remote = Part(ctypes.addressof(here), 64), Part(0x400000, 64)
    return call("process_vm_readv", pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)


def stolen():
    pidfd = call("pidfd_open", WORKER, 0)
    return call("pidfd_getfd", pidfd, 1, 0) >= 0


attempt(
    attach_parent=lambda: call("ptrace", 16, os.getppid(), 0, 0) == 0,
    seize_worker=lambda: call("ptrace", 0x4206, WORKER, 0, 0) == 0,
    traced=lambda: call("ptrace", 0, 0, 0, 0) == 0,
    read_parent=lambda: vm_read(os.getppid()),
    read_worker=lambda: vm_read(WORKER),
    descriptor=stolen,
)
