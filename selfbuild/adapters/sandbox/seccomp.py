"""A seccomp filter in the kernel's own form, built without a library: what no test of an application needs.

Denied calls answer EPERM; clone3 answers ENOSYS, so that libc falls back to clone, whose flags can be checked.
"""

import struct

# Numbers of the x86_64 system calls: arch/x86/entry/syscalls/syscall_64.tbl of the kernel.
_DENIED = {
    "acct": 163, "add_key": 248, "adjtimex": 159, "bpf": 321, "chroot": 161, "clock_adjtime": 305, "clock_settime": 227,
    "delete_module": 176, "finit_module": 313, "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433,
    "init_module": 175, "io_uring_enter": 426, "io_uring_register": 427, "io_uring_setup": 425, "ioperm": 173,
    "iopl": 172, "kcmp": 312, "kexec_file_load": 320, "kexec_load": 246, "keyctl": 250, "lookup_dcookie": 212,
    "memfd_create": 319, "memfd_secret": 447, "mknod": 133, "mknodat": 259, "mount": 165, "mount_setattr": 442,
    "move_mount": 429, "name_to_handle_at": 303, "open_by_handle_at": 304, "open_tree": 428, "perf_event_open": 298,
    "personality": 135, "pidfd_getfd": 438, "pivot_root": 155, "process_vm_readv": 310, "process_vm_writev": 311,
    "ptrace": 101, "quotactl": 179, "reboot": 169, "request_key": 249, "setdomainname": 171, "sethostname": 170,
    "setns": 308, "settimeofday": 164, "swapoff": 168, "swapon": 167, "syslog": 103, "umount2": 166, "unshare": 272,
    "userfaultfd": 323, "vhangup": 153,
}  # fmt: skip
_CLONE, _CLONE3, _IOCTL, _SOCKET = 56, 435, 16, 41
_AUDIT_ARCH_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWTIME."""
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FAMILIES = (1, 2, 10, 16)
"""UNIX, INET, INET6 and NETLINK: what loopback servers and name lookups use."""
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_NUMBER_AT, _ARCH_AT, _FIRST_AT, _SECOND_AT = 0, 4, 16, 24

_Instruction = tuple[int, int, int, int]


def seccomp_filter(machine: str) -> bytes | None:
    """The filter as `bwrap --seccomp` reads it; None for a machine whose call numbers are not known here."""
    if machine != "x86_64":
        return None
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in _program())


def _deny(error: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | error)


def _load(offset: int) -> _Instruction:
    return (_LOAD, 0, 0, offset)


def _program() -> list[_Instruction]:
    program: list[_Instruction] = [
        _load(_ARCH_AT),
        (_EQUAL, 1, 0, _AUDIT_ARCH_X86_64),
        (_RETURN, 0, 0, _KILL),
        _load(_NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32_BIT),
        _deny(_EPERM),
    ]
    for number in sorted(_DENIED.values()):
        program += [(_EQUAL, 0, 1, number), _deny(_EPERM)]
    program += [(_EQUAL, 0, 1, _CLONE3), _deny(_ENOSYS)]
    program += [(_EQUAL, 0, 3, _CLONE), _load(_FIRST_AT), (_ANY_BIT, 0, 1, _NEW_NAMESPACES), _deny(_EPERM)]
    # Each block may leave an argument in the accumulator, so the next one loads the number again.
    program += [_load(_NUMBER_AT), (_EQUAL, 0, 4, _IOCTL), _load(_SECOND_AT)]
    program += [(_EQUAL, 1, 0, _TIOCSTI), (_EQUAL, 0, 1, _TIOCLINUX), _deny(_EPERM)]
    program += [_load(_NUMBER_AT), (_EQUAL, 0, len(_FAMILIES) + 2, _SOCKET), _load(_FIRST_AT)]
    for index, family in enumerate(_FAMILIES):
        program.append((_EQUAL, len(_FAMILIES) - index, 0, family))
    program += [_deny(_EAFNOSUPPORT), (_RETURN, 0, 0, _ALLOW)]
    return program
