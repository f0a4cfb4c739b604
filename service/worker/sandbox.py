"""What a job child gives up before it opens an uploaded file.

Memory, CPU time, file size and core dumps are limited; the environment is cleared, the working folder is private and
empty; `filesystem` (Landlock), `syscalls` (seccomp) and `namespaces` say what else is out of reach. The child dies with
its supervisor: a thread watches that, and the kernel its parent, the fork server, which ends when the supervisor does.
"""

import os
import resource
import tempfile
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Final

from service.worker.filesystem import readable, restrict_files
from service.worker.leash import die_with_parent
from service.worker.namespaces import leave_namespaces
from service.worker.syscalls import filter_calls, program

KEPT_ENVIRONMENT: Final = frozenset({"LANG", "LC_ALL", "PATH", "TMPDIR"})
OPEN_FILES: Final = 256
MOST_THREADS: Final = 512
ORPHANED: Final = 113


@dataclass(frozen=True, slots=True)
class Confinement:
    """The limits of one job."""

    folder: Path
    memory_bytes: int
    cpu_seconds: int
    file_bytes: int
    required: bool = False
    """Whether a layer that is not in force is one too few."""


class NotConfinedError(Exception):
    """This machine cannot confine a job as its operator requires."""


def confine(limits: Confinement, descriptors: Iterable[int], inputs: Iterable[Path] = ()) -> Mapping[str, str]:
    """Give up what a job does not need; these descriptors stay open, and `inputs` readable. Says what is in force.

    Raises NotConfinedError where a layer is missing and all are required.
    """
    os.setsid()
    os.umask(0o077)
    os.chdir(limits.folder)
    for name in set(os.environ) - KEPT_ENVIRONMENT:
        del os.environ[name]
    _let_go_of_descriptors(descriptors)
    os.environ["TMPDIR"] = tempfile.tempdir = str(limits.folder)
    _be_the_first_to_go()
    states = {"namespaces": leave_namespaces()}
    die_with_parent()  # the fork server, which dies with the supervisor
    if states["namespaces"].startswith("on") and os.geteuid():  # in which this user is nobody else
        _lower(resource.RLIMIT_NPROC, MOST_THREADS)
    for what, limit in (
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _lower(what, limit)
    states |= {"rlimits": "on", "landlock": restrict_files(limits.folder, inputs), "seccomp": filter_calls()}
    threading.Thread(target=_die_with_supervisor, daemon=True).start()
    states["orphan_guard"] = "on"
    missing = sorted(name for name, state in states.items() if state.startswith("off"))
    if limits.required and missing:
        raise NotConfinedError(", ".join(f"{name} {states[name]}" for name in missing))
    return states


def prepare() -> None:
    """What is the same for all children, looked up once in the process that they are forked from."""
    for look_up in (readable, program):
        with suppress(OSError):  # a child says what is missing
            look_up()


def _let_go_of_descriptors(kept: Iterable[int]) -> None:
    """What the fork server had open leads nowhere from now on: its numbers stay taken, as a library may yet use one."""
    parent = parent_process()
    needed = {0, 1, 2, *kept, *([] if parent is None else [parent.sentinel])}
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if number not in needed and number != nowhere:
            with suppress(OSError):  # that of the listing itself is closed
                os.fstat(number)
                os.dup2(nowhere, number)
    os.close(nowhere)


def _lower(what: int, limit: int) -> None:
    _, hard = resource.getrlimit(what)
    allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(what, (allowed, allowed))


def _be_the_first_to_go() -> None:
    """Where memory runs out, the kernel shall end a job and not the service."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _die_with_supervisor() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(ORPHANED)
