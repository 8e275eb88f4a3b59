# mypy: ignore-errors
import struct
import time

from _proof import attempt, call

attempt(
    keyring=lambda: call("keyctl", 0, -3, 1) >= 0,
    key=lambda: call("add_key", b"user", b"escape", b"x", 1, -5) >= 0,
    bpf=lambda: call("bpf", 0, bytes(128), 128) >= 0,
    io_uring=lambda: call("io_uring_setup", 1, bytes(120)) >= 0,
    perf=lambda: call("perf_event_open", bytes(120), 0, -1, -1, 0) >= 0,
    userfault=lambda: call("userfaultfd", 1) >= 0,
    personality=lambda: call("personality", 0x0040000) >= 0,
    module=lambda: call("init_module", b"", 0, b"") == 0,
    kexec=lambda: call("kexec_load", 0, 0, 0, 0) == 0,
    log=lambda: call("syslog", 3, bytes(64), 64) >= 0,
    handle=lambda: call("open_by_handle_at", -100, bytes(16), 0) >= 0,
    clock=lambda: call("clock_settime", 0, struct.pack("qq", int(time.time()), 0)) == 0,
)
