"""Who is told of the ends of jobs, on SQLite always and on PostgreSQL where one answers."""

from datetime import timedelta
from typing import Any

from sqlalchemy import update

from service.database import writing
from service.jobs.callbacks import PAUSES, TELLING, settle, take_due
from service.jobs.job import Job, State, now
from service.jobs.store import Store
from service.jobs.tables import JOBS
from tests.service.jobs.small_jobs import claimed, small_job

URL = "https://ci.example.org/hook"


def submitted(store: Store, **fields: Any) -> Job:
    job = small_job(**({"callback": URL} | fields))
    store.submit(job)
    return job


def later(store: Store, by: timedelta) -> None:
    """What is due within this time is due now."""
    with writing(store.engine) as connection:
        due = update(JOBS).where(JOBS.c.callback_due <= now() + by)
        connection.execute(due.values(callback_due=now() - timedelta(seconds=1)))


def test_a_job_is_told_of_when_it_has_ended_and_not_before(store: Store) -> None:
    job = submitted(store)
    submitted(store, callback=None)
    assert take_due(store, 10) == []
    store.finish(claimed(store), State.FAILED)
    store.finish(claimed(store), State.SUCCEEDED)
    (due,) = take_due(store, 10)
    assert (due.job.id, due.job.state, due.url, due.attempt) == (job.id, State.FAILED, URL, 1)
    assert take_due(store, 10) == [], "somebody is telling it"
    assert not settle(store, due, told=True)
    later(store, timedelta(days=10))
    assert take_due(store, 10) == []


def test_a_job_that_was_cancelled_is_told_of_and_one_that_was_deleted_is_not(store: Store) -> None:
    cancelled, deleted = submitted(store), submitted(store)
    for each in (cancelled, deleted):
        store.cancel(each)
    store.delete(deleted)
    assert [due.job.id for due in take_due(store, 10)] == [cancelled.id]


def test_an_attempt_of_a_process_that_was_killed_is_made_again(store: Store) -> None:
    store.cancel(submitted(store))
    assert [due.attempt for due in take_due(store, 10)] == [1]
    later(store, TELLING - timedelta(seconds=5))
    assert take_due(store, 10) == []
    later(store, TELLING + timedelta(seconds=5))
    assert [due.attempt for due in take_due(store, 10)] == [2]


def test_what_nobody_takes_is_told_later_and_later_and_given_up_after_three_days(store: Store) -> None:
    store.cancel(submitted(store))
    for number, pause in enumerate(PAUSES, start=1):
        (due,) = take_due(store, 10)
        assert due.attempt == number
        assert settle(store, due, told=False)
        later(store, pause - timedelta(seconds=4))
        assert take_due(store, 10) == []
        later(store, pause + timedelta(seconds=1))
    (last,) = take_due(store, 10)
    assert not settle(store, last, told=False)
    later(store, timedelta(days=10))
    assert take_due(store, 10) == []
    assert timedelta(days=3) < sum(PAUSES, timedelta(0)) < timedelta(days=4)


def test_several_nodes_tell_each_once(stores: list[Store]) -> None:
    for _ in range(5):
        stores[0].cancel(submitted(stores[0]))
    taken = [due.job.id for store in stores for due in take_due(store, 2)]
    assert len(taken) == len(set(taken)) == 5


def test_tenants_with_many_on_the_way_are_passed_over(store: Store) -> None:
    for tenant in ("slow", "slow", "other"):
        job = small_job(tenant=tenant, callback=URL)
        store.submit(job)
        store.cancel(job)
    assert [due.job.tenant for due in take_due(store, 10, ["slow", "third"])] == ["other"]
    assert [due.job.tenant for due in take_due(store, 10)] == ["slow", "slow"]
