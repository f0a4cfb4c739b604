"""Pieces of work side by side: forks of this process take the next piece, and hand back what they found.

A fork has the memory of its parent as it was, so that nothing is sent to it, and what it changes is its own. Results
are the same whoever found them. What no fork brought back is done by the parent, when it is asked for: a fork may be
refused (the sandbox of the service has none), or be killed, and what failed there fails here once more, and is told.
"""

import mmap
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final, TypeVar

import numpy as np
import torch

from analysis.clock import Clock, OutOfTime
from analysis.errors import NodeFailed

Result = TypeVar("Result")
Work = Callable[[], Result]
"""Gives its result, which pickle can send. Raises OutOfTime, NodeFailed."""
MOST_PIECES: Final = 255
"""Dealt at a time: each is a byte in a pipe."""


@dataclass(frozen=True)
class Crew:
    """So many processes, this one among them."""

    size: int = 1

    def each(self, works: Sequence[Work[Result]], clock: Clock) -> list[Work[Result]]:
        """What gives the result of each piece, or raises what it raised; alone, nothing is done before it is asked for.

        The clock's budget is that of all processes together.
        """
        if not self._forks or not 1 < len(works) <= MOST_PIECES:
            return list(works)
        found = _deal(works, min(self.size, len(works)), clock)
        return [found.get(place, work) for place, work in enumerate(works)]

    def ahead(self, works: Sequence[Work[Result]], clock: Clock) -> Iterator[Work[Result]]:
        """The same for those who may stop in the middle: as many at a time as there are processes."""
        for start in range(0, len(works), self.size):
            yield from self.each(works[start : start + self.size], clock)

    @property
    def _forks(self) -> bool:
        """Not where torch has threads: a fork lacks them, and waits for them."""
        return self.size > 1 and hasattr(os, "fork") and torch.get_num_threads() == 1


ALONE: Final = Crew()


class _Ledger:
    """Processor seconds of the processes of a crew, each written by itself into memory that all of them share."""

    def __init__(self, size: int) -> None:
        self._seconds = np.frombuffer(mmap.mmap(-1, 8 * size), np.float64)
        self._parent = os.getpid()

    def spent(self, place: int) -> float:
        """By all of them; without an end where nobody waits for this process any more."""
        if place and os.getppid() != self._parent:
            return np.inf
        self._seconds[place] = time.process_time()
        return float(self._seconds.sum())


def _deal(works: Sequence[Work[Any]], size: int, clock: Clock) -> dict[int, Work[Any]]:
    """What gives the results that came in, by the place of the work: every process takes the next there is."""
    ledger, context = _Ledger(size), get_context("fork")
    take, give = os.pipe()
    os.write(give, bytes(range(len(works))))
    os.close(give)
    found: dict[int, Work[Any]] = {}
    forks: list[tuple[BaseProcess, Connection]] = []
    with clock.sharing(partial(ledger.spent, 0)):
        try:
            for place in range(1, size):
                receive, send = context.Pipe(duplex=False)
                given = (works, take, clock, partial(ledger.spent, place), send)
                fork: BaseProcess = context.Process(target=_work, args=given)
                try:
                    _start(fork)
                except OSError:  # there may be no more
                    break
                finally:
                    send.close()
                forks.append((fork, receive))
            for place in _tokens(take):
                found[place] = _outcome(works[place])
            for _, receive in forks:
                found |= _received(receive)
        finally:
            os.close(take)
            for fork, _ in forks:
                fork.terminate()
                fork.join()
    return found


def _start(fork: BaseProcess) -> None:
    """Newer Pythons warn of forks beside threads: these only compute, and share no lock with what others do here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        fork.start()


def _tokens(take: int) -> Iterator[int]:
    while token := os.read(take, 1):
        yield token[0]


def _outcome(work: Work[Result]) -> Work[Result]:
    """What gives the result, or raises, as often as it is asked."""
    try:
        result = work()
    except (OutOfTime, NodeFailed) as error:
        return partial(_raise, error)
    return lambda: result


def _raise(error: Exception) -> Any:
    raise error


def _received(receive: Connection) -> dict[int, Work[Any]]:
    """Nothing of a fork that ended without a word."""
    try:
        return {place: partial(_same, result) for place, result in receive.recv().items()}
    except EOFError:
        return {}


def _same(result: Result) -> Result:
    return result


def _work(works: Sequence[Work[Any]], take: int, clock: Clock, spent: Callable[[], float], send: Connection) -> None:
    """In a fork. What fails here is left to the parent."""
    clock.go_on_in_a_fork(spent)
    found: dict[int, Any] = {}
    try:
        for place in _tokens(take):
            try:
                found[place] = works[place]()
            except (OutOfTime, NodeFailed):
                continue
        spent()
        send.send(found)
    except BaseException:  # noqa: BLE001 - a bug shows where the parent does it, and an interrupt is the parent's, too
        return
