import dataclasses
import functools
import operator
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from service.jobs.job import MAX_ATTEMPTS, Job, Question, State, after_loss, new_id, now

ENDS = {State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED}


def job(**fields: object) -> Job:
    question = Question("a" * 64, "model.onnx", None, "{}", "d" * 64)
    return dataclasses.replace(Job(id=new_id(), question=question, created=datetime.now(UTC)), **fields)


@pytest.mark.parametrize("state", State)
def test_a_job_has_ended_when_it_neither_waits_nor_runs(state: State) -> None:
    assert state.is_end is (state in ENDS)


@pytest.mark.parametrize(
    ("attempt", "state"), [(1, State.QUEUED), (2, State.QUEUED), (3, State.FAILED), (4, State.FAILED)]
)
def test_a_lost_job_is_tried_three_times(attempt: int, state: State) -> None:
    assert MAX_ATTEMPTS == 3
    assert after_loss(job(state=State.RUNNING, attempt=attempt)) is state


def test_a_new_job_waits_unclaimed() -> None:
    fresh = job()
    assert (fresh.state, fresh.attempt, fresh.fence, fresh.owner, fresh.lease_until) == (State.QUEUED, 0, 0, None, None)


def test_a_job_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        job().state = State.FAILED  # type: ignore[misc]


def test_ids_are_uuids_of_version_7() -> None:
    before = time.time_ns() // 1_000_000
    parsed = uuid.UUID(new_id())
    after = time.time_ns() // 1_000_000
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert before <= parsed.int >> 80 <= after


def test_all_other_bits_of_an_id_are_random(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9562: 48 bits of time, 4 of version, 12 random, 2 of variant, 62 random; each is once 0 and once 1."""
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    ids = [uuid.UUID(new_id()).int for _ in range(200)]
    ever, always = functools.reduce(operator.or_, ids), functools.reduce(operator.and_, ids)
    assert ever == 0x0000_0000_0000_7FFF_BFFF_FFFF_FFFF_FFFF
    assert always == 0x0000_0000_0000_7000_8000_0000_0000_0000


def test_a_time_beyond_the_48_bits_of_an_id_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: ((1 << 48) + 5) * 1_000_000)
    assert uuid.UUID(new_id()).int >> 80 == 5


def test_the_time_is_aware_and_of_greenwich() -> None:
    assert now().utcoffset() == timedelta(0)
    assert abs(now().timestamp() - time.time()) < 60


def test_ids_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = []
    for milliseconds in (0, 1, 255, 256, 1_795_392_000_000, 1_795_392_000_001, (1 << 48) - 1):
        monkeypatch.setattr(time, "time_ns", lambda milliseconds=milliseconds: milliseconds * 1_000_000)
        ids.append(new_id())
    assert ids == sorted(ids)


def test_ids_of_the_same_millisecond_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_795_392_000_000_000_000)
    assert len({new_id() for _ in range(10_000)}) == 10_000
