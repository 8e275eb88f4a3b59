# mypy: ignore-errors
import ctypes
import struct

from _proof import NUMBERS, attempt, call, libc


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


allow = ctypes.create_string_buffer(struct.pack("<HBBI", 6, 0, 0, 0x7FFF0000))


def replaced():
    libc.prctl(22, 2, ctypes.byref(Program(1, ctypes.addressof(allow))), 0, 0)
    return call("memfd_create", b"x", 0) >= 0


def in_other_thread():
    import threading

    found = []
    thread = threading.Thread(target=lambda: found.append(libc.syscall(NUMBERS["memfd_create"], b"x", 0)))
    thread.start()
    thread.join()
    return found[0] >= 0


def after_exec():
    import subprocess
    import sys

    code = f"import ctypes; print(ctypes.CDLL(None).syscall({NUMBERS['memfd_create']}, b'x', 0))"
    return int(subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True).stdout) >= 0


attempt(replaced=replaced, thread=in_other_thread, exec=after_exec, off=lambda: libc.prctl(22, 0, 0, 0, 0) == 0)
