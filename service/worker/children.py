"""Children out of one fork server: started, listened to, ended. Nothing here knows of jobs or their table.

The fork server has torch loaded before the first child starts, so that each starts in milliseconds. A child is a
process with a working folder of its own, and dies with its supervisor.
"""

import multiprocessing
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Final

from service.worker.launch import run_child
from service.worker.protocol import Assignment, Died, Ending, Message, Reached

PARTING_SECONDS: Final = 0.2
"""So long a child that has said its last may take to leave by itself."""
GRACE_SECONDS: Final = 5.0
"""So long it may take once it was told to."""
PRELOADED: Final = ["service.worker.preload", "service.worker.launch"]
"""What a child is made of; the main module of its supervisor is the `__main__` of a package and not imported again."""


@dataclass(slots=True)
class Child:
    """A process at work."""

    process: ForkServerProcess
    pipe: Connection
    folder: Path
    reached: Reached = field(default_factory=lambda: Reached("starting", 0.0))


class ForkServer:
    """Where children come from."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)

    def warm_up(self) -> None:
        """Start before the first child has to wait for it."""
        process, pipe = self._run(None)
        pipe.recv()
        process.join()
        pipe.close()

    def start(self, assignment: Assignment) -> Child:
        """A child at work in the folder of its assignment, which is made."""
        assignment.confinement.folder.mkdir()
        process, pipe = self._run(assignment)
        return Child(process, pipe, assignment.confinement.folder)

    def _run(self, assignment: Assignment | None) -> tuple[ForkServerProcess, Connection]:
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=run_child, args=(assignment, sender), daemon=True)
        process.start()
        sender.close()
        return process, receiver


def wait_for_news(children: Iterable[Child], seconds: float) -> None:
    """Until one of them says something, but no longer."""
    connection.wait([child.pipe for child in children], seconds)


def listen(child: Child) -> Ending | None:
    """Hear what a child has said, and note how far it is; how it ended, if it did."""
    while child.pipe.poll():
        try:
            message: Message = child.pipe.recv()
        except (EOFError, OSError):  # OSError: it died in the middle of a message
            return _death(child)
        if not isinstance(message, Reached):
            return message
        child.reached = message
    return None


def end(child: Child) -> None:
    """See a child out, by force if need be, and remove its folder."""
    child.process.join(timeout=PARTING_SECONDS)
    if child.process.is_alive():
        child.process.terminate()
        child.process.join(timeout=GRACE_SECONDS)
    if child.process.is_alive():
        child.process.kill()
        child.process.join()
    child.pipe.close()
    shutil.rmtree(child.folder, ignore_errors=True)


def _death(child: Child) -> Died:
    child.process.join(timeout=GRACE_SECONDS)
    return Died(child.process.exitcode or 0)
