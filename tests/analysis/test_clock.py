import time

import pytest

from analysis.clock import LOOK_EVERY, Clock, OutOfTime, both
from analysis.errors import NodeFailed


def test_stages_are_timed_and_reported_and_never_go_back() -> None:
    seen: list[tuple[str, float]] = []
    clock = Clock(60.0, lambda stage, fraction: seen.append((stage, fraction)))
    with clock.stage("first", 0.5):
        time.sleep(0.01)
    with clock.stage("second", 0.3):
        clock.between("second", 0.5, 0.9, 1, 2)
    assert [stage for stage, _ in seen] == ["first", "first", "second", "second", "second"]
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 0.7
    total = clock.total()
    assert total["first"] >= 0.01
    assert total["total"] >= total["first"] + total["second"]


def test_a_stage_is_timed_though_it_fails() -> None:
    clock = Clock(60.0, None)
    with pytest.raises(ZeroDivisionError), clock.stage("broken", 1.0):
        1 // 0  # noqa: B018
    assert "broken" in clock.seconds


def test_a_budget_that_is_spent_allows_nothing_and_notes_what_was_left_out() -> None:
    clock = Clock(0.0, None)
    assert not clock.allows("the rest")
    assert clock.left_out == [("the rest", "budget_seconds reached")]
    assert clock.cut
    open_clock = Clock(60.0, None)
    assert open_clock.allows("everything")
    open_clock.leave_out("probes", "effort is quick")
    assert not open_clock.cut


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Both clocks, set by hand."""
    now = {"processor": 1000.0, "wall": 5.0}
    monkeypatch.setattr(time, "process_time", lambda: now["processor"])
    monkeypatch.setattr(time, "monotonic", lambda: now["wall"])
    return now


def test_work_that_a_node_fails_in_is_left_out_with_the_node_and_other_faults_are_none_of_it() -> None:
    clock = Clock(60.0, None)

    def fail() -> int:
        raise NodeFailed("RuntimeError: no rows", where="r (Reshape)")

    assert clock.finished("variant he", fail) is None
    ((what, why),) = clock.left_out
    assert (what, "r (Reshape): RuntimeError: no rows" in why, clock.cut) == ("variant he", True, False)
    with pytest.raises(ZeroDivisionError):
        clock.finished("variant selu", lambda: 1 // 0)
    assert clock.finished("variant relu", lambda: 3) == 3


def test_waiting_for_the_processor_costs_nothing_of_the_budget(times: dict[str, float]) -> None:
    clock = Clock(60.0, None)
    times["wall"] += 3600.0
    assert clock.allows("the rest")
    clock.check()
    times["processor"] += 60.0
    assert not clock.allows("the rest")
    with pytest.raises(OutOfTime):
        clock.check()
    assert clock.total()["total"] == 3600.0


def test_who_asks_all_the_time_is_told_when_time_has_passed_and_when_it_is_over(times: dict[str, float]) -> None:
    clock = Clock(1.0, None)
    assert clock.look()
    assert not clock.look()
    times["wall"] += LOOK_EVERY
    assert clock.look()
    assert not clock.look()
    times["wall"] += LOOK_EVERY
    times["processor"] += 1.0
    for _ in range(2):
        with pytest.raises(OutOfTime):
            clock.look()


def test_of_two_budgets_each_ends_what_runs() -> None:
    plenty, none = Clock(60.0, None), Clock(0.0, None)
    for first, second in ((none.look, plenty.look), (plenty.look, none.look), (none.look, None)):
        with pytest.raises(OutOfTime):
            both(first, second)()
    assert both(plenty.look, None) == plenty.look
