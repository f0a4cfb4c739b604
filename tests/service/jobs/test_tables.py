"""What a row keeps of a job, on SQLite always and on PostgreSQL where one answers (mark `server`)."""

import dataclasses
from datetime import timedelta, timezone

from service.jobs.job import Job, Question, State, new_id
from service.jobs.store import LEASE, Store
from tests.service.jobs.small_jobs import NOW, SECOND, claimed, found, small_job


def test_a_submitted_job_reads_back_as_it_was(store: Store) -> None:
    data_files = {"größe.bin": "e" * 64, "b": "f" * 64}
    question = Question("a" * 64, 'modèle "模型".onnx', None, '{"freeze":["é*"]}', "d" * 64, data_files)
    given = Job(new_id(), question, NOW, idempotency_key="k" * 255, labels={"größe": "ünï", "empty": ""})
    store.submit(given)
    assert store.get(given.id) == given


def test_times_are_aware_and_the_same_instants_whatever_zone_they_came_in(store: Store) -> None:
    far_east = timezone(timedelta(hours=9))
    given = dataclasses.replace(small_job(), created=NOW.astimezone(far_east))
    store.submit(given)
    running = claimed(store, (NOW + SECOND).astimezone(far_east))
    store.finish(running, State.SUCCEEDED, (NOW + 2 * SECOND).astimezone(far_east))
    ended = found(store, given)
    assert (ended.created, ended.started, ended.finished) == (NOW, NOW + SECOND, NOW + 2 * SECOND)
    assert running.lease_until == NOW + SECOND + LEASE
    assert all(time.utcoffset() == timedelta(0) for time in (ended.created, ended.started, ended.finished) if time)


def test_a_worker_of_a_deep_folder_has_room_for_its_name(store: Store) -> None:
    owner = "host:/" + "deep/" * 100
    store.submit(small_job())
    store.seen(owner, NOW, ready=True)
    assert store.workers(NOW) == {owner: True}
    assert claimed(store, owner=owner).owner == owner
