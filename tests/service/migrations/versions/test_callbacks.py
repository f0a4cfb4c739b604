"""Nobody is told of the jobs of before, and a node of before may submit to the changed table."""

from pathlib import Path

import pytest

from service.database import open_engine, upgrade_tables, writing
from service.jobs.callbacks import take_due
from service.jobs.job import State
from service.jobs.store import Store
from tests.service.migrations.earlier import database_of, insert_job


def test_nobody_is_told_of_jobs_of_before_nor_of_those_that_nodes_of_before_submit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    engine, ended = open_engine(url), State.SUCCEEDED.value
    old = database_of(engine, "0006", monkeypatch, state=ended)
    upgrade_tables(engine)
    with writing(engine) as connection:
        new = insert_job(connection, state=ended)
    engine.dispose()
    store = Store(url)
    assert take_due(store, 10) == []
    assert all(store.get(job_id) is not None for job_id in (old, new))
    store.close()
