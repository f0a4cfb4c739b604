"""Jobs of before have no place in a trace, and a node of before may submit to the changed table."""

from pathlib import Path

import pytest

from service.database import open_engine, upgrade_tables
from service.jobs.store import Store
from tests.service.migrations.earlier import database_of


def test_jobs_of_before_have_no_place_in_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    engine = open_engine(url)
    old = database_of(engine, "0009", monkeypatch, trace_id="t" * 32)
    upgrade_tables(engine)
    engine.dispose()
    store = Store(url)
    job = store.get(old)
    store.close()
    assert job is not None
    assert (job.trace_id, job.traceparent) == ("t" * 32, None)
