"""A seccomp filter in the kernel's own form, built without a library: what no test of an application needs.

Denied calls answer EPERM; clone3 answers ENOSYS, so that libc falls back to clone, whose flags can be checked.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from selfbuild.adapters.sandbox.syscalls import AARCH64, X86_64

_ARCHITECTURES: Mapping[str, tuple[int, Mapping[str, int]]] = {
    "x86_64": (0xC000003E, X86_64),
    "aarch64": (0xC00000B7, AARCH64),
}
"""Machine -> its AUDIT_ARCH_* number and its calls."""
_DENIED = (
    "acct", "add_key", "adjtimex", "bpf", "chroot", "clock_adjtime", "clock_settime", "delete_module",
    "fanotify_init", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "init_module", "io_uring_enter",
    "io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl",
    "lookup_dcookie", "memfd_create", "memfd_secret", "migrate_pages", "mknod", "mknodat", "modify_ldt", "mount",
    "mount_setattr", "move_mount", "move_pages", "mq_open", "msgget", "name_to_handle_at", "open_by_handle_at",
    "open_tree", "open_tree_attr", "perf_event_open", "personality", "pidfd_getfd", "pivot_root", "process_madvise",
    "process_mrelease", "process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "quotactl_fd", "reboot",
    "request_key", "semget", "setdomainname", "sethostname", "setns", "settimeofday", "shmget", "swapoff", "swapon",
    "syslog", "umount2", "unshare", "userfaultfd", "uselib", "vhangup",
)  # fmt: skip
"""Memory of shmget, msgget, mq_open and memfd_create belongs to no process: no limit and no watchdog would count it."""
_WITHOUT_NETWORK = ("bind", "connect")
_WITHOUT_PROCESSES = (
    "ioprio_set", "mq_unlink", "msgctl", "msgrcv", "msgsnd", "semctl", "semop", "semtimedop", "setpriority", "shmat",
    "shmctl",
)  # fmt: skip
"""Without namespaces of processes and of their shared memory these would reach what belongs to others."""
_OWN_PROCESS_ONLY = ("prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler")
"""Allowed only with 0, the caller itself, as their first argument: a process of the same user could be starved."""
_FILE_MARKS = (
    "chmod", "chown", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "futimesat", "lchown", "utime",
    "utimensat", "utimes",
)  # fmt: skip
"""Landlock does not check these; where the sandbox runs as the files' owner they would change files outside."""
_FILE_ATTRIBUTES = (
    "fremovexattr", "fsetxattr", "lremovexattr", "lsetxattr", "removexattr", "removexattrat", "setxattr", "setxattrat",
)  # fmt: skip
"""Landlock does not check these either, and whoever may write a file may set them."""
_X32_BIT = 0x40000000
_NEW_NAMESPACES = 0x7E020080
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET and NEWTIME."""
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FAMILIES = (1, 2, 10, 16)
"""UNIX, INET, INET6 and NETLINK: what loopback servers and name lookups use."""
_UNIX, _STREAM, _TYPE_BITS = 1, 1, 0xF
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_DONE, _EPERM, _ENOSYS, _EOPNOTSUPP, _EAFNOSUPPORT = 0, 1, 38, 95, 97
_NUMBER_AT, _ARCH_AT, _FIRST_AT = 0, 4, 16

_Instruction = tuple[int, int, int, int]


@dataclass(frozen=True)
class Profile:
    """What else isolates, which decides what the filter must do alone."""

    own_network: bool = True
    """Whether there is a network namespace; without one there are no sockets but pairs of connected streams."""
    own_processes: bool = True
    """Whether there are namespaces of processes and of shared memory; without them no call may name another process."""
    own_mounts: bool = True
    """Whether there is a mount namespace with read-only mounts; else files have no extended attributes."""
    own_files: bool = True
    """Whether no file outside belongs to the user; else changes of modes, owners and times do nothing, and say so
    to nobody, since copying a file would fail otherwise."""


def seccomp_filter(machine: str, profile: Profile = Profile()) -> bytes | None:
    """The filter as `bwrap --seccomp` and prctl read it; None for a machine whose call numbers are not known here."""
    known = _ARCHITECTURES.get(machine)
    if known is None:
        return None
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in _program(*known, profile))


def _deny(error: int = _EPERM) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | error)


def _load(offset: int) -> _Instruction:
    return (_LOAD, 0, 0, offset)


def _argument(index: int) -> _Instruction:
    """Load the lower half of an argument: the kernel reads no more of those that are looked at here."""
    return _load(_FIRST_AT + 8 * index)


def _upper(index: int) -> _Instruction:
    return _load(_FIRST_AT + 8 * index + 4)


def _on(number: int, *block: _Instruction) -> list[_Instruction]:
    """Run the block for one call. It may leave anything in the accumulator, so the number is loaded first."""
    return [_load(_NUMBER_AT), (_EQUAL, 0, len(block), number), *block]


def _program(architecture: int, calls: Mapping[str, int], profile: Profile) -> list[_Instruction]:
    program: list[_Instruction] = [
        _load(_ARCH_AT),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        _load(_NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32_BIT),
        _deny(),
    ]
    for name, error in _answers(profile).items():
        if name in calls:
            program += [(_EQUAL, 0, 1, calls[name]), _deny(error)]
    program += _on(calls["clone"], _argument(0), (_ANY_BIT, 0, 1, _NEW_NAMESPACES), _deny())
    terminal = ((_EQUAL, 1, 0, _TIOCSTI), (_EQUAL, 0, 1, _TIOCLINUX))
    program += _on(calls["ioctl"], _argument(1), *terminal, _deny())
    program += _sockets(calls, profile)
    if not profile.own_processes:
        for name in _OWN_PROCESS_ONLY:
            program += _on(calls[name], _argument(0), (_EQUAL, 1, 0, 0), _deny())
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _answers(profile: Profile) -> dict[str, int]:
    """Calls that are answered whatever their arguments are -> the error."""
    answers = dict.fromkeys(_DENIED, _EPERM) | {"clone3": _ENOSYS}
    if not profile.own_network:
        answers |= dict.fromkeys(_WITHOUT_NETWORK, _EPERM)
    if not profile.own_processes:
        answers |= dict.fromkeys(_WITHOUT_PROCESSES, _EPERM)
    if not profile.own_mounts:
        answers |= dict.fromkeys(_FILE_ATTRIBUTES, _EOPNOTSUPP)
    if not profile.own_files:
        answers |= dict.fromkeys(_FILE_MARKS, _DONE)
    return answers


def _sockets(calls: Mapping[str, int], profile: Profile) -> list[_Instruction]:
    if profile.own_network:
        known = [(_EQUAL, len(_FAMILIES) - index, 0, family) for index, family in enumerate(_FAMILIES)]
        return _on(calls["socket"], _argument(0), *known, _deny(_EAFNOSUPPORT))
    program = _on(calls["socket"], _deny())
    # A pair of datagram sockets could be sent to any address; one of streams stays what it is.
    stream = (_argument(1), (_AND, 0, 0, _TYPE_BITS), (_EQUAL, 1, 0, _STREAM), _deny())
    program += _on(calls["socketpair"], _argument(0), (_EQUAL, 1, 0, _UNIX), _deny(), *stream)
    return program + _on(calls["sendto"], _argument(4), (_EQUAL, 0, 2, 0), _upper(4), (_EQUAL, 1, 0, 0), _deny())
