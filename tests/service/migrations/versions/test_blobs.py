"""A database of before has jobs, and no blobs that were sent ahead."""

from pathlib import Path

import pytest
from sqlalchemy import text

from service.database import open_engine, upgrade_tables, writing
from service.jobs.blobs import blobs_of, keep_blob
from service.jobs.store import Store
from service.jobs.tables import row_of
from service.migrations import upgrade
from tests.service.jobs.small_jobs import small_job


def test_blobs_may_be_sent_to_a_database_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    engine, row = open_engine(url), row_of(small_job()) | {"created": "2026-11-23 12:00:00.000000"}
    with monkeypatch.context() as before:
        before.setattr(upgrade, "HEAD", "0005")
        upgrade_tables(engine)
        with writing(engine) as connection:
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({values})"), row)
    engine.dispose()
    store, name = Store(url), "a" * 64
    assert blobs_of(store, "default", [name]) == {}
    assert keep_blob(store, "default", name, {name: 1}.get, 60.0)
    assert store.get(row["id"]) is not None
    store.close()
