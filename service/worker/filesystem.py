"""Landlock: the files a job child can reach, for good (https://docs.kernel.org/userspace-api/landlock.html).

It reads what a process needs to go on (Python and its libraries, what the kernel says of the machine, and of nobody but
this process) and its own uploads; it writes in its own folder. Neither TCP, nor a signal or an abstract socket to
anybody outside, where the kernel is new enough to say so.
"""

import functools
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import landlockpy
from landlockpy import AccessFS, Scope

SYSTEM: Final = (
    "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
    "/proc/sys/vm", "/sys/devices/system", "/sys/fs/cgroup", "/dev/urandom", "/dev/null",
)  # fmt: skip
PACKAGES: Final = {"site-packages", "dist-packages"}
OURS: Final = ("analysis", "service")
READ: Final = AccessFS.READ_FILE | AccessFS.READ_DIR
WRITE: Final = (
    READ | AccessFS.WRITE_FILE | AccessFS.TRUNCATE | AccessFS.MAKE_REG | AccessFS.MAKE_DIR | AccessFS.REMOVE_FILE
    | AccessFS.REMOVE_DIR | AccessFS.REFER
)  # fmt: skip
"""In its own folder: no link, pipe or socket is made there."""


def restrict_files(folder: Path, inputs: Iterable[Path]) -> str:
    """Reach these alone; whether that is in force, in words."""
    try:
        version = landlockpy.abi_version()
        if not version:
            return "off: this kernel has no Landlock"
        with landlockpy.Ruleset(scoped=Scope.SIGNAL | Scope.ABSTRACT_UNIX_SOCKET) as rules:
            for each, access in readable():
                rules.allow_path(each, access)
            for path in inputs:
                rules.allow_path(path, AccessFS.READ_FILE)
            rules.allow_path(folder, WRITE)
            rules.restrict()
    except OSError as error:
        return f"off: {error.strerror}"
    return f"on: ABI {version}"


@functools.cache
def readable() -> tuple[tuple[str, AccessFS], ...]:
    """What every job may read, and how: looked up once, in the fork server, as it takes programs to find libc."""
    landlockpy.abi_version()
    paths = [Path(path) for path in (*SYSTEM, *_libraries())]
    return tuple((str(path), READ if path.is_dir() else AccessFS.READ_FILE) for path in paths if path.exists())


def _libraries() -> Iterator[str]:
    """Where Python, its packages and this program lie; never a folder that holds more, as a checkout does."""
    yield from (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    yield from site.getsitepackages()
    yield from (path for path in sys.path if Path(path).name in PACKAGES)  # of PYTHONPATH
    yield f"{sys.base_prefix}/lib"
    for name in OURS:
        yield from getattr(sys.modules.get(name), "__path__", ())
