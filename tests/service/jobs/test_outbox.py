"""What a broker is told, once, and again where it may have been lost."""

import dataclasses
from datetime import timedelta

import pytest
from sqlalchemy import update

from service.database import writing
from service.jobs.job import Job
from service.jobs.outbox import LOST_AFTER, note_published, unpublished
from service.jobs.store import Store
from service.jobs.tables import JOBS
from tests.service.jobs.small_jobs import claimed, small_job

SECOND = timedelta(seconds=1)


def taken(store: Store, *, lost_too: bool = False) -> set[str]:
    """Published, and noted as such."""
    with unpublished(store, lost_too=lost_too) as jobs:
        note_published(store, jobs)
    return {job.job_id for job in jobs}


def test_what_waits_is_taken_once_and_what_was_not_noted_again(store: Store) -> None:
    jobs = [small_job(number) for number in range(3)]
    for job in jobs:
        store.submit(job)
    with unpublished(store, lost_too=False) as waiting:
        note_published(store, [each for each in waiting if each.job_id != jobs[1].id])
    assert {each.job_id for each in waiting} == {job.id for job in jobs}
    assert taken(store) == {jobs[1].id}, "its publisher died before it was sent, or just after"
    assert taken(store) == set()


def test_a_job_that_was_claimed_and_waits_again_while_it_was_published_is_published_again(store: Store) -> None:
    store.submit(small_job())
    with unpublished(store, lost_too=False) as waiting:
        store.release(claimed(store))
        note_published(store, waiting)
    assert taken(store) == {waiting[0].job_id}, "the first message may have been taken by then"


def test_nothing_but_what_waits_is_taken(store: Store) -> None:
    jobs = [small_job(number) for number in range(3)]
    for job in jobs:
        store.submit(job)
    claimed(store)
    store.cancel(jobs[1])
    assert taken(store) == {jobs[2].id}


@pytest.mark.parametrize("how", ["release", "retry", "reap"])
def test_a_job_that_waits_again_is_published_again(store: Store, how: str) -> None:
    store.submit(small_job())
    first = taken(store)
    job = claimed(store)
    {
        "release": lambda: store.release(job),
        "retry": lambda: store.retry(job, {}),
        "reap": lambda: store.reap(None, {}, owner="worker"),
    }[how]()
    assert taken(store) == first == {job.id}


def test_a_message_that_was_lost_is_sent_again_after_a_while(store: Store) -> None:
    old, new = small_job(0), small_job(1)
    for job in (old, new):
        store.submit(job)
    taken(store)
    publish(store, old, LOST_AFTER + SECOND)
    publish(store, new, LOST_AFTER - 30 * SECOND)
    assert taken(store) == set()
    assert taken(store, lost_too=True) == {old.id}
    assert taken(store, lost_too=True) == set()


def publish(store: Store, job: Job, ago: timedelta) -> None:
    with writing(store.engine) as connection:
        connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(published=store.time() - ago))


def test_nodes_that_publish_together_take_each_id_once(stores: list[Store]) -> None:
    first, second = stores[:2]
    first.submit(small_job())
    keeps_apart = first.engine.dialect.name == "postgresql"
    with unpublished(first, lost_too=False) as mine:
        with unpublished(second, lost_too=False) as others:
            assert (len(mine), len(others)) == (1, 0 if keeps_apart else 1)
        note_published(first, mine)
    assert taken(second) == set()
    first.submit(small_job(1))
    assert len(taken(second)) == 1, "whoever is done lets the others"


def with_options(number: int, options: str) -> Job:
    job = small_job(number)
    return dataclasses.replace(job, question=dataclasses.replace(job.question, options=options))


def test_jobs_for_a_gpu_are_told_apart_and_claimed_by_who_has_one(store: Store) -> None:
    gpu = with_options(0, '{"effort":"quick","device":"cuda"}')
    tricky = with_options(1, '{"freeze":["\\"device\\":\\"cuda\\""],"device":"cpu"}')
    plain = with_options(2, "{}")
    for job in (gpu, tricky, plain):
        store.submit(job)
    with unpublished(store, lost_too=False) as waiting:
        told = {each.job_id: each.gpu for each in waiting}
    assert told == {gpu.id: True, tricky.id: False, plain.id: False}
    for device, expected in (("cpu", tricky), ("gpu", gpu), ("gpu", None), ("any", plain)):
        claim = store.claim("worker", device=device)
        assert (claim and claim.id) == (expected and expected.id)


def test_a_job_is_claimed_by_its_id_while_it_waits(store: Store) -> None:
    first, second = small_job(0), small_job(1)
    for job in (first, second):
        store.submit(job)
    claim = store.claim("worker", job_id=second.id)
    assert claim is not None
    assert claim.id == second.id
    assert store.claim("worker", job_id=second.id) is None
    assert store.claim("worker", job_id="unheard of") is None
