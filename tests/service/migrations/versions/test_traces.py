"""Jobs of before have no trace, and a node of before may submit to the changed table."""

from pathlib import Path

import pytest

from service.database import open_engine, upgrade_tables, writing
from service.jobs.store import Store
from tests.service.migrations.earlier import database_of, insert_job


def test_jobs_of_before_have_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    engine = open_engine(url)
    old = database_of(engine, "0007", monkeypatch)
    upgrade_tables(engine)
    with writing(engine) as connection:
        new = insert_job(connection, trace_id="t" * 32)
    engine.dispose()
    store = Store(url)
    traces = [job.trace_id for job in (store.get(old), store.get(new)) if job is not None]
    assert traces == [None, "t" * 32]
    store.close()
