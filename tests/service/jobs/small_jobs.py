"""Jobs that ask for nothing in particular, and the table they lie in."""

from datetime import UTC, datetime, timedelta
from typing import Any

from service.jobs.job import Job, Question, new_id
from service.jobs.store import Store

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def small_job(number: int = 0, **fields: Any) -> Job:
    """Submitted `number` seconds after NOW."""
    question = Question("a" * 64, "model.onnx", "b" * 64, '{"seed":0}', fields.pop("digest", "d" * 64))
    return Job(id=new_id(), question=question, created=NOW + number * SECOND, **fields)


def claimed(store: Store, at: datetime = NOW, owner: str = "worker") -> Job:
    claim = store.claim(owner, at)
    assert claim is not None
    return claim


def found(store: Store, which: Job) -> Job:
    row = store.get(which.id, which.tenant)
    assert row is not None
    return row
