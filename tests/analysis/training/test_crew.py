"""Pieces of work dealt to forks of this process."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import torch

from analysis.clock import Clock, OutOfTime
from analysis.errors import NodeFailed
from analysis.training import crew
from analysis.training.crew import ALONE, Crew

PATIENT = 1000.0


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def burn(seconds: float) -> int:
    """Processor time of whoever does it; says who."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return os.getpid()


def results_of(team: Crew, works: Sequence[Callable[[], object]]) -> list[object]:
    return [work() for work in team.each(works, Clock(PATIENT, None))]


@pytest.mark.parametrize("size", [2, 3, 8])
def test_every_result_is_at_the_place_of_its_work_whoever_found_it(size: int) -> None:
    works = [partial(lambda place: (place, burn(0.05)), place) for place in range(6)]
    found = results_of(Crew(size), works)
    places, finders = zip(*found, strict=True)  # type: ignore[call-overload]
    assert places == (0, 1, 2, 3, 4, 5)
    assert 2 <= len(set(finders)) <= size
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)  # nobody is left


@pytest.mark.parametrize(("team", "count"), [(ALONE, 3), (Crew(2), 1), (Crew(2), 0)])
def test_alone_nothing_is_done_before_it_is_asked_for(team: Crew, count: int) -> None:
    done: list[int] = []
    works = [partial(done.append, place) for place in range(count)]
    dealt = team.each(works, Clock(PATIENT, None))
    assert done == []
    for work in dealt:
        work()
    assert done == list(range(count))


def test_nothing_is_dealt_where_torch_has_threads_which_a_fork_would_wait_for() -> None:
    torch.set_num_threads(2)
    try:
        assert results_of(Crew(2), [os.getpid, os.getpid]) == [os.getpid()] * 2
    finally:
        torch.set_num_threads(1)


def test_what_a_fork_changes_is_its_own() -> None:
    changed: list[int] = []

    def change(place: int) -> int:
        changed.append(place)
        burn(0.1)
        return os.getpid()

    finders = results_of(Crew(2), [partial(change, place) for place in range(4)])
    assert changed == [place for place, finder in enumerate(finders) if finder == os.getpid()]
    assert len(changed) < 4


def test_what_a_fork_took_with_it_is_done_here() -> None:
    here = os.getpid()

    def die_elsewhere(place: int) -> tuple[int, int]:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        burn(0.05)
        return place, os.getpid()

    works = [partial(die_elsewhere, place) for place in range(5)]
    assert results_of(Crew(2), works) == [(place, here) for place in range(5)]


def test_what_cannot_be_sent_is_done_here() -> None:
    def closure() -> Callable[[], int]:
        finder = burn(0.05)
        return lambda: finder

    assert [made() for made in results_of(Crew(2), [closure] * 4)] == [os.getpid()] * 4  # type: ignore[operator]


def test_where_there_may_be_no_more_processes_all_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fork", refuse)
    assert results_of(Crew(2), [os.getpid] * 3) == [os.getpid()] * 3


@pytest.mark.parametrize("error", [OutOfTime(), NodeFailed("no rows", where="r (Reshape)")])
def test_a_failure_is_that_of_its_piece(error: Exception) -> None:
    def fail() -> int:
        burn(0.05)
        raise error

    first, second, third, fourth = Crew(2).each([fail, partial(burn, 0.05), fail, partial(burn, 0.05)], Clock(9, None))
    for failing in (first, third):
        with pytest.raises(type(error)):
            failing()
    assert second()
    assert fourth()


@pytest.mark.parametrize("pieces", [2, 6])
def test_a_bug_is_told_at_once(pieces: int) -> None:
    def fail() -> int:
        burn(0.02)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        results_of(Crew(2), [fail] * pieces)


def test_who_may_stop_in_the_middle_is_ahead_by_no_more_than_there_are_processes(tmp_path: Path) -> None:
    def note(place: int) -> int:
        (tmp_path / str(place)).touch()
        return place

    works = Crew(2).ahead([partial(note, place) for place in range(6)], Clock(PATIENT, None))
    assert next(works)() == 0
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1"}
    assert next(works)() == 1
    assert next(works)() == 2
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1", "2", "3"}


# ------------------------------------------------------------------ one budget


def test_what_forks_have_spent_is_spent() -> None:
    before = time.process_time()
    clock = Clock(0.35, None)
    finders = [work() for work in Crew(2).each([partial(burn, 0.1)] * 4, clock)]
    assert os.getpid() in finders
    assert time.process_time() - before < 0.35  # the others have the rest
    assert clock.is_over


def test_forks_stop_when_all_of_them_together_have_spent_the_budget() -> None:
    clock = Clock(0.4, None)

    def spend() -> float:
        try:
            while True:
                clock.check()
        except OutOfTime:
            return time.process_time()

    started = time.process_time()
    here, *elsewhere = sorted((work() for work in Crew(3).each([spend] * 3, clock)), reverse=True)
    assert here - started + sum(elsewhere) < 0.4 + 0.15


def test_a_fork_that_nobody_waits_for_is_out_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = crew._Ledger(2)
    assert ledger.spent(0) == pytest.approx(time.process_time(), abs=0.1)
    monkeypatch.setattr(os, "getppid", os.getpid)
    spent = ledger.spent(1)
    assert spent < 2.5 * time.process_time()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert ledger.spent(1) == float("inf")


def test_a_fork_tells_nobody_how_far_it_is(tmp_path: Path) -> None:
    told: list[float] = []
    clock = Clock(PATIENT, lambda _, fraction: told.append(fraction))

    def tell(place: int) -> int:
        clock.report("prove", place / 4)
        return burn(0.05)

    finders = [work() for work in Crew(2).each([partial(tell, place) for place in range(4)], clock)]
    assert told == [place / 4 for place, finder in enumerate(finders) if finder == os.getpid()]
    assert len(told) < 4
