"""How much memory this process may have: the least of what its limits, its container and the machine allow."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CONTAINER_LIMITS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Of control groups, version 2 and 1, as a process in a container sees its own."""


def allowed_bytes() -> int | None:
    """Bytes, the same on every call: not what happens to be free; None where nothing says so."""
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    for path in CONTAINER_LIMITS:
        try:
            yield int(path.read_text())  # "max" where there is no limit
        except (OSError, ValueError):
            continue
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - there is none on Windows

        for what in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
            soft, _ = resource.getrlimit(what)
            if soft != resource.RLIM_INFINITY:
                yield soft
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
