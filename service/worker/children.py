"""Children out of one fork server: started, listened to, ended. Nothing here knows of jobs or their table.

The fork server has torch loaded before the first child starts, so that each starts in milliseconds. A child is a
process with a working folder of its own, and dies with its supervisor.
"""

import logging
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Final

from service.worker.channel import Receiver
from service.worker.held import held_bytes, killed_for_memory
from service.worker.launch import run_child
from service.worker.protocol import Assignment, Broken, Died, Ending, NotAMessage, Outgrown, Reached

LOOK_SECONDS: Final = 0.1
"""How often it is looked at how much memory a child holds."""
MOST_STAGES: Final = 100
WARM_UPS: Final = 5
"""More of them that die one after the other while they start are not killed by chance."""
AGAIN_SECONDS: Final = 1.0
"""A fork server that was killed takes a while to be gone, and is asked as long as it is there, without an answer."""
GRACE_SECONDS: Final = 1.0
"""So long the exit code of a child may take whose pipe is closed."""
log = logging.getLogger(__name__)
PRELOADED: Final = ["service.worker.preload", "service.worker.launch"]
"""What a child is made of; the main module of its supervisor is the `__main__` of a package and not imported again."""


PROCESSES: Final = threading.Lock()
"""Whoever starts a child or asks how one ended has it: multiprocessing, asked for one, looks at all of them, and of two
threads that ask about the same one, one would hear that nobody knows."""
PATIENCE_SECONDS: Final = 0.1
"""So long one waits for that, rather than to ask again later: a fork server that starts anew takes seconds."""


@dataclass(slots=True)
class Child:
    """A process at work."""

    process: ForkServerProcess
    channel: Receiver
    folder: Path
    memory_bytes: int
    killed_before: int
    """What the kernel had ended for want of memory when this one started."""
    looked: float = 0.0
    reached: Reached = field(default_factory=lambda: Reached("starting", 0.0))
    stages: list[Reached] = field(default_factory=list)
    """The first that was heard of each, in their order; not more than MOST_STAGES."""


class ForkServerGoneError(ConnectionError):
    """The fork server died while a child was asked for."""


class ForkServer:
    """Where children come from."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)

    def warm_up(self) -> None:
        """Start before the first child has to wait for it.

        Raises ForkServerGoneError where it has not lived so long, WARM_UPS times in a row.
        """
        for failed in range(1, WARM_UPS + 1):
            try:
                self._hear_first_child()
            except (EOFError, OSError) as error:
                if failed == WARM_UPS:
                    raise ForkServerGoneError(str(error)) from error
                log.warning("the fork server ended while it started; another one starts")
                time.sleep(AGAIN_SECONDS)
            else:
                return

    def start(self, assignment: Assignment) -> Child:
        """A child at work in the folder of its assignment, which is made.

        Raises ForkServerGoneError where it was killed at this moment; the next child gets a new one.
        """
        limits = assignment.confinement
        limits.folder.mkdir()
        killed = killed_for_memory()
        try:
            process, channel = self._run(assignment)
        except (EOFError, OSError) as error:
            shutil.rmtree(limits.folder, ignore_errors=True)
            raise ForkServerGoneError(str(error)) from error
        return Child(process, channel, limits.folder, limits.memory_bytes, killed)

    def _hear_first_child(self) -> None:
        process, channel = self._run(None)
        try:
            connection.wait([channel.pipe])
            channel.receive()
        finally:
            channel.pipe.close()
        with PROCESSES:
            process.join()

    def _run(self, assignment: Assignment | None) -> tuple[ForkServerProcess, Receiver]:
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=run_child, args=(assignment, sender), daemon=True)
        with PROCESSES:
            process.start()
        sender.close()
        return process, Receiver(receiver)


def wait_for_news(children: Iterable[Child], seconds: float, others: Iterable[Any] = ()) -> None:
    """Until one of them says something, or something else can be read, but no longer."""
    heard = [*(child.channel.pipe for child in children), *others]
    if heard:
        connection.wait(heard, seconds)
    else:
        time.sleep(seconds)


def listen(child: Child) -> Ending | None:
    """Hear what a child has said, and note how far it is; how it ended, if it did."""
    try:
        for message in child.channel.receive():
            if not isinstance(message, Reached):
                return message
            if message.stage != child.reached.stage and len(child.stages) < MOST_STAGES:
                child.stages.append(message)
            child.reached = message
    except EOFError:
        return _death(child)
    except NotAMessage as error:
        log.exception("a child speaks no language of ours")
        return Broken(type(error).__name__)
    return _outgrown(child)


def end(child: Child) -> None:
    """See a child out, by force if need be, with all that it started, and remove its folder.

    It is not asked to leave: it has nothing to put away, and might make its supervisor wait.
    """
    with suppress(ProcessLookupError):  # also where it has left: what it started may be there yet
        os.killpg(child.process.pid or 0, signal.SIGKILL)
    with PROCESSES:
        if child.process.is_alive():
            child.process.kill()  # it may not have come to lead a group
            child.process.join()
    child.channel.pipe.close()
    shutil.rmtree(child.folder, ignore_errors=True)


def _death(child: Child) -> Died | Broken | None:
    """How it died; None: that cannot be said at the moment."""
    if not PROCESSES.acquire(timeout=PATIENCE_SECONDS):
        return None
    try:
        child.process.join(timeout=GRACE_SECONDS)
        code = child.process.exitcode
    finally:
        PROCESSES.release()
    if code is None:
        return Broken("Silence")
    return Died(code, memory_ran_out=code == -signal.SIGKILL and killed_for_memory() > child.killed_before)


def _outgrown(child: Child) -> Outgrown | None:
    """Whether it holds more than it may: what it shares with itself is in no limit of the kernel's."""
    if time.monotonic() - child.looked < LOOK_SECONDS:
        return None
    child.looked = time.monotonic()
    held = held_bytes(child.process.pid or 0)
    return Outgrown(held, child.memory_bytes) if held > child.memory_bytes else None
