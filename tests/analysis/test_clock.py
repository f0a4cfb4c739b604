import time

import pytest

from analysis.clock import Clock


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
