"""Time: how long each stage took, how far the analysis is, and what the budget leaves undone.

The budget is processor time, of all threads of this process and of its forks: on a loaded machine an analysis gets as
far as on an idle one. What each stage took, in the report, is time by the clock on the wall, waiting included.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from analysis.errors import NodeFailed

BUDGET_REACHED: Final = "budget_seconds reached"
"""Why something is left out of a report that was cut."""
LOOK_EVERY: Final = 0.005
"""Seconds by the wall between two looks at the processor's clock, which costs as much as a small operator."""
Result = TypeVar("Result")
Progress = Callable[[str, float], None]
"""(stage, fraction done of the whole)."""


class OutOfTime(Exception):
    """The budget ended in the middle of something."""


class Clock:
    """Started with the analysis."""

    def __init__(self, budget_seconds: float, progress: Progress | None) -> None:
        """Start."""
        self._start = time.monotonic()
        self._spent: Callable[[], float] = time.process_time
        self._deadline = self._spent() + budget_seconds
        self._next_look = 0.0
        self._progress = progress
        self._fraction = 0.0
        self.seconds: dict[str, float] = {}
        self.left_out: list[tuple[str, str]] = []
        """(what, why)."""

    @contextmanager
    def stage(self, name: str, until: float) -> Iterator[None]:
        """Time a stage and report it; `until` is the fraction of the whole it ends at."""
        begin = time.monotonic()
        self.report(name, self._fraction)
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begin
        self.report(name, until)

    def report(self, stage: str, fraction: float) -> None:
        """Tell how far it is; never backwards."""
        self._fraction = max(self._fraction, min(fraction, 1.0))
        if self._progress is not None:
            self._progress(stage, self._fraction)

    def between(self, stage: str, begin: float, end: float, done: int, of: int) -> None:
        """Tell how far a stage of equal parts is."""
        self.report(stage, begin + (end - begin) * done / max(of, 1))

    def allows(self, what: str) -> bool:
        """Whether there is budget left to start this; otherwise it is noted as left out."""
        if not self.is_over:
            return True
        self.leave_out(what, BUDGET_REACHED)
        return False

    def check(self) -> None:
        """Raises OutOfTime; for those who compute for long and can stop at any step."""
        if self.is_over:
            raise OutOfTime

    def look(self) -> bool:
        """The same for those who ask after every operator: whether it is time for a look, and OutOfTime from it."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        if self.is_over:
            raise OutOfTime
        self._next_look = now + LOOK_EVERY
        return True

    def finished(self, what: str, work: Callable[[], Result]) -> Result | None:
        """What the work gives; None, and noted as left out, where the budget ended in the middle of it.

        So it is where a node does not run with the weights that a redraw or a training has made: a graph that finds
        nothing may end in a Reshape of no rows.
        """
        try:
            return work()
        except OutOfTime:
            self.leave_out(what, BUDGET_REACHED)
        except NodeFailed as error:
            self.leave_out(what, f"with these weights the graph does not run: {error.where}: {error.detail}")
        return None

    def leave_out(self, what: str, why: str) -> None:
        """Note something that is not done."""
        self.left_out.append((what, why))

    @property
    def is_over(self) -> bool:
        """Whether the budget is used up."""
        return self.seconds_left <= 0

    @contextmanager
    def sharing(self, spent: Callable[[], float]) -> Iterator[None]:
        """Inside: the budget is that of several processes, which have `spent` so much, with all that this one has."""
        own, self._spent = self._spent, spent
        try:
            yield
        finally:
            self._deadline -= spent() - own()
            self._spent = own

    def go_on_in_a_fork(self, spent: Callable[[], float]) -> None:
        """The same budget in a fork of this process, for good; it tells nobody how far it is."""
        self._spent, self._progress = spent, None

    @property
    def seconds_left(self) -> float:
        """Of processor time; less than nothing where the budget is used up."""
        return self._deadline - self._spent()

    @property
    def cut(self) -> bool:
        """Whether the budget ended before the work did."""
        return any(why == BUDGET_REACHED for _, why in self.left_out)

    def total(self) -> dict[str, float]:
        """Seconds by stage, and in all."""
        return {**self.seconds, "total": time.monotonic() - self._start}


def both(first: Callable[[], bool], second: Callable[[], bool] | None) -> Callable[[], bool]:
    """Two budgets in force at once, each asked as `Clock.look` is."""
    if second is None:
        return first
    other = second

    def look() -> bool:
        return first() and (other() or True)

    return look
