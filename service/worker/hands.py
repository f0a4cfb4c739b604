"""Threads that wait for disks, buckets and new processes in place of the supervisor, which goes on watching.

    a task is given -> a thread does it -> the supervisor is woken, and looks at what became of it

Nothing that is done here changes whose a job is, or how it ended: that is said by one thread alone.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
MOST_WAKES: Final = 1 << 12


class Hands:
    """A number of threads."""

    def __init__(self, number: int) -> None:
        """They start when there is something to do."""
        self._threads = ThreadPoolExecutor(number, thread_name_prefix="hand")
        self.ear, self._said = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def take(self, task: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> "Future[R]":
        """Have it done; `ear` can be read when it is."""
        future = self._threads.submit(task, *args, **kwargs)
        future.add_done_callback(self._wake)
        return future

    def hush(self) -> None:
        """Take note of what was done so far."""
        with suppress(BlockingIOError):
            os.read(self.ear, MOST_WAKES)

    def close(self) -> None:
        """Wait for what is being done."""
        self._threads.shutdown()
        for end in (self.ear, self._said):
            os.close(end)

    def _wake(self, _: object) -> None:
        with suppress(BlockingIOError):  # a pipe that is full wakes as well
            os.write(self._said, b".")
