"""seccomp: what a job child can ask of the kernel, from then on and for good.

It computes, reads and writes files it may open, and starts threads. It makes no socket and no process, runs no program,
and does nothing to any process but itself. A call that is denied fails with EPERM, as if it lacked the right.

libseccomp takes milliseconds to make a program of the rules (https://docs.kernel.org/userspace-api/seccomp_filter.html):
the fork server makes it once, with a number in it that stands for the process, and a child puts in its own.
"""

import ctypes
import errno
import functools
import os
import struct
from typing import Any, Final

from service.worker.namespaces import LIBC

try:  # loaded once, in the fork server: looking for a library runs programs
    import pyseccomp as seccomp
except (ImportError, RuntimeError, OSError):
    seccomp = None

DENIED: Final = (
    # the network
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4",
    # programs and processes; threads are told apart below
    "execve", "execveat", "fork", "vfork",
    # other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp", "pidfd_open",
    "pidfd_getfd", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "tkill", "setpriority", "ioprio_set",
    "migrate_pages", "move_pages",
    # the file system as a whole
    "mount", "umount2", "move_mount", "open_tree", "fsopen", "fsmount", "fspick", "mount_setattr", "pivot_root",
    "chroot", "unshare", "setns", "mknod", "mknodat", "name_to_handle_at", "open_by_handle_at", "swapon", "swapoff",
    "quotactl",
    # the kernel and the machine
    "keyctl", "add_key", "request_key", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot",
    "settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "sethostname", "setdomainname", "iopl", "ioperm",
    "acct", "syslog", "vhangup", "personality", "fanotify_init", "lookup_dcookie",
    # memory that outlives a process, or is in none of its limits
    "memfd_create", "memfd_secret", "shmget", "shmat", "msgget", "semget", "mq_open",
)  # fmt: skip
ON_ITSELF: Final = ("kill", "tgkill")
"""Those whose first argument has to be this process."""
CLONE_THREAD: Final = 0x00010000
ITSELF: Final = 0x7E57_91D5
"""Stands for the number of the process; Linux has none so large (PID_MAX_LIMIT is 2^22)."""
INSTRUCTION: Final = struct.Struct("=HBBI")
"""`struct sock_filter`: code, two jumps, operand."""
PR_SET_NO_NEW_PRIVS: Final = 38
SET_MODE_FILTER: Final = 1
TSYNC: Final = 1
"""Threads that a library has started, too."""


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def filter_calls() -> str:
    """Deny them; whether that is in force, in words."""
    try:
        _load(_of_process(program(), os.getpid()))
    except OSError as error:
        return f"off: {error.strerror or error}"
    return "on"


@functools.cache
def program() -> bytes:
    """The rules as instructions, of the process ITSELF. Raises OSError."""
    if not seccomp:
        raise OSError("there is no libseccomp")
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    denied = seccomp.ERRNO(errno.EPERM)
    for name in DENIED:
        _deny(rules, denied, name)
    for name in ON_ITSELF:
        _deny(rules, denied, name, seccomp.Arg(0, seccomp.NE, ITSELF))
    _deny(rules, denied, "prlimit64", seccomp.Arg(0, seccomp.NE, 0))
    _deny(rules, denied, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, CLONE_THREAD, 0))
    _deny(rules, seccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags are in memory: libc falls back on clone
    with os.fdopen(os.memfd_create("filter"), "w+b", buffering=0) as file:
        rules.export_bpf(file)
        file.seek(0)
        return bytes(file.read())


def _deny(rules: Any, action: Any, name: str, *conditions: Any) -> None:
    """A rule; a name that this libseccomp does not know is none of this kernel's, or is new to both."""
    try:
        number = seccomp.resolve_syscall(seccomp.Arch.NATIVE, name)
    except (OSError, ValueError):
        return
    if number >= 0:
        rules.add_rule(action, number, *conditions)


def _of_process(instructions: bytes, number: int) -> bytes:
    return b"".join(
        INSTRUCTION.pack(code, then, otherwise, number if operand == ITSELF else operand)
        for code, then, otherwise, operand in INSTRUCTION.iter_unpack(instructions)
    )


def _load(instructions: bytes) -> None:
    call = seccomp.resolve_syscall(seccomp.Arch.NATIVE, "seccomp")
    told = _Program(len(instructions) // INSTRUCTION.size, instructions)
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    failed = LIBC.syscall(call, SET_MODE_FILTER, TSYNC, ctypes.byref(told))
    if failed:
        number = ctypes.get_errno() if failed < 0 else errno.EBUSY  # a thread that has other rules
        raise OSError(number, os.strerror(number))
