"""What a job child gives up before it opens an uploaded file.

Memory, CPU time, file size and core dumps are limited; the environment is cleared, the working folder is private; the
child dies with its supervisor (its parent is the fork server, so PR_SET_PDEATHSIG would watch the wrong process).
"""

import os
import resource
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Final

KEPT_ENVIRONMENT: Final = frozenset({"LANG", "LC_ALL", "PATH", "TMPDIR", "MALLOC_MMAP_THRESHOLD_"})
OPEN_FILES: Final = 256
ORPHANED: Final = 113


@dataclass(frozen=True, slots=True)
class Confinement:
    """The limits of one job."""

    folder: Path
    memory_bytes: int
    cpu_seconds: int
    file_bytes: int


def confine(limits: Confinement) -> Mapping[str, str]:
    """Give up what a job does not need; says what is in force, for the report."""
    os.setsid()
    os.umask(0o077)
    os.chdir(limits.folder)
    for name in set(os.environ) - KEPT_ENVIRONMENT:
        del os.environ[name]
    for what, limit in (
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _lower(what, limit)
    threading.Thread(target=_die_with_supervisor, daemon=True).start()
    return {"rlimits": "on", "orphan_guard": "on", "landlock": "off: not built yet", "seccomp": "off: not built yet"}


def _lower(what: int, limit: int) -> None:
    _, hard = resource.getrlimit(what)
    allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(what, (allowed, allowed))


def _die_with_supervisor() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(ORPHANED)
