"""What jobs hold, and that to hold and to remove exclude each other."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.jobs.holding import (
    VanishedError,
    held_bytes,
    held_under,
    hold_what_is_left,
    holding_nothing,
    let_go,
    note_removed,
    own_bytes,
    removed,
)
from service.jobs.store import Store
from tests.service.jobs.small_jobs import small_job

MODEL, BATCH, OTHER = "a" * 64, "b" * 64, "c" * 64


def size_of(name: str) -> int:
    return {MODEL: 1, BATCH: 20, OTHER: 300}[name]


def free(store: Store, name: str) -> bool:
    with let_go(store.engine, name) as is_free:
        return is_free


def test_a_job_holds_its_inputs_until_it_is_deleted(store: Store) -> None:
    job = small_job()
    assert free(store, MODEL)
    store.submit(job, size_of)
    assert (free(store, MODEL), free(store, BATCH), free(store, OTHER)) == (False, False, True)
    assert (held_under(store.engine, "aa"), held_under(store.engine, "ab")) == ({MODEL}, set())
    store.delete(job)
    assert (free(store, MODEL), free(store, BATCH)) == (True, True)


def test_what_two_jobs_hold_stays_until_both_are_gone(store: Store) -> None:
    one, two = small_job(), small_job(1, tenant="other")
    store.submit(two, size_of)
    running = store.claim("worker")
    assert running is not None
    store.hold(running, [OTHER, MODEL], size_of)
    store.submit(one, size_of)
    assert (held_bytes(store.engine), own_bytes(store.engine, one), own_bytes(store.engine, two)) == (321, 0, 300)
    store.delete(one)
    assert not free(store, MODEL)
    assert own_bytes(store.engine, two) == 321
    store.delete(two)
    assert free(store, MODEL)
    assert held_bytes(store.engine) == 0


def test_a_job_whose_inputs_were_removed_is_not_accepted(store: Store) -> None:
    job = small_job()
    with pytest.raises(VanishedError):
        store.submit(job, {MODEL: 1}.get)
    assert store.get(job.id) is None
    assert free(store, MODEL)


def test_a_job_that_was_deleted_holds_nothing(store: Store) -> None:
    job = small_job()
    store.submit(job, size_of)
    store.delete(job)
    store.hold(job, [OTHER], size_of)
    hold_what_is_left(store.engine, job.id, [OTHER], size_of)
    assert free(store, OTHER)


@pytest.mark.parametrize("loses", ["cancelled", "claimed again"])
def test_an_attempt_that_lost_its_job_has_nothing_held_that_nobody_will_ask_for(store: Store, loses: str) -> None:
    store.submit(small_job(), size_of)
    late = store.claim("worker")
    assert late is not None
    if loses == "cancelled":
        assert store.cancel(late)
    else:
        assert store.release(late)
        assert store.claim("other") is not None
    store.hold(late, [OTHER], size_of)
    assert free(store, OTHER)


def test_jobs_that_hold_nothing_are_found_and_hold_what_is_left(store: Store) -> None:
    store.submit(small_job(), size_of)
    store.submit(earlier := small_job(1))
    assert holding_nothing(store.engine, 10) == [earlier]
    hold_what_is_left(store.engine, earlier.id, [MODEL, OTHER], {MODEL: 1}.get)
    assert holding_nothing(store.engine, 10) == []
    assert not free(store, OTHER)


def test_while_one_removes_nobody_holds_and_then_misses_what_is_gone(stores: list[Store]) -> None:
    there, removing = {MODEL: 1, BATCH: 20}, threading.Event()

    def submit() -> None:
        removing.wait(10)
        stores[1].submit(small_job(), there.get)

    with ThreadPoolExecutor(1) as pool:
        submitted = pool.submit(submit)
        with let_go(stores[0].engine, MODEL) as is_free:
            assert is_free
            removing.set()
            with pytest.raises(TimeoutError):
                submitted.result(0.3)
            del there[MODEL]
        with pytest.raises(VanishedError):
            submitted.result(10)


def test_a_job_whose_results_were_removed_goes_on_until_they_are_stored_again(store: Store) -> None:
    store.submit(small_job(), size_of)
    running = store.claim("worker")
    assert running is not None
    with pytest.raises(VanishedError):
        store.hold(running, [OTHER], {MODEL: 1}.get)
    assert store.holds(running)
    store.hold(running, [OTHER], size_of)
    assert not free(store, OTHER)


@pytest.mark.server
def test_a_place_that_is_slow_to_say_what_it_has_costs_no_lease_and_holds_up_no_other_object(postgres: Store) -> None:
    postgres.submit(small_job(), size_of)
    running = postgres.claim("worker")
    assert running is not None
    asked, answers = threading.Event(), threading.Event()

    def slow(name: str) -> int:
        asked.set()
        assert answers.wait(10)
        return size_of(name)

    with ThreadPoolExecutor(2) as pool:
        holding = pool.submit(postgres.hold, running, [OTHER], slow)
        assert asked.wait(10)
        assert postgres.keep(running, None, "probe", 0.5)
        assert free(postgres, "d" * 64)
        looking = pool.submit(free, postgres, OTHER)
        with pytest.raises(TimeoutError):
            looking.result(0.3)
        answers.set()
        holding.result(10)
        assert not looking.result(10)


def test_what_was_removed_is_added_up(store: Store) -> None:
    assert removed(store.engine) == {}
    note_removed(store.engine, "objects", 2, 10)
    note_removed(store.engine, "objects", 1, 5)
    note_removed(store.engine, "jobs", 4)
    assert removed(store.engine) == {"objects": (3, 15), "jobs": (4, 0)}
