"""Threads that do what waits, and wake who gave it."""

import select
import threading

import pytest

from service.worker.hands import Hands


def heard(hands: Hands, seconds: float = 10.0) -> bool:
    return bool(select.select([hands.ear], [], [], seconds)[0])


def test_who_gave_a_task_is_woken_when_it_is_done_and_not_before() -> None:
    hands, go = Hands(1), threading.Event()
    future = hands.take(lambda: go.wait(10) and "done")
    assert not heard(hands, 0.05)
    go.set()
    assert heard(hands)
    assert future.result() == "done"
    hands.hush()
    assert not heard(hands, 0)
    hands.hush()
    hands.close()


def test_what_goes_wrong_is_kept_for_who_asks_and_wakes_too() -> None:
    hands = Hands(1)
    future = hands.take(int, "none")
    assert heard(hands)
    with pytest.raises(ValueError, match="none"):
        future.result()
    hands.close()


def test_a_slow_task_holds_up_no_other_and_the_end_waits_for_all() -> None:
    hands, go, done = Hands(2), threading.Event(), list[str]()
    hands.take(lambda: go.wait(10) and done.append("slow"))
    hands.take(done.append, "fast").result(10)
    assert done == ["fast"]
    threading.Timer(0.05, go.set).start()
    hands.close()
    assert done == ["fast", "slow"]


def test_nobody_waits_for_a_supervisor_that_does_not_listen() -> None:
    hands = Hands(1)
    for _ in range(70_000):  # more than a pipe holds
        hands._wake(None)
    assert hands.take(int, "1").result(10) == 1
    hands.close()
