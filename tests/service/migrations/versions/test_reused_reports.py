"""Reports of before answer nobody again, as nobody noted whether a budget had cut them."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from service.database import open_engine, upgrade_tables, writing
from service.jobs.job import State
from service.jobs.store import Store
from service.jobs.tables import row_of
from service.migrations import upgrade
from tests.service.jobs.small_jobs import small_job


def test_a_report_of_before_answers_nobody_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    engine = open_engine(url)
    row = row_of(small_job()) | {"state": State.SUCCEEDED.value, "report_sha256": "e" * 64}
    row |= {"created": "2026-11-23 12:00:00.000000", "finished": "2026-11-23 12:00:01.000000"}
    with monkeypatch.context() as before:
        before.setattr(upgrade, "HEAD", "0004")
        upgrade_tables(engine)
        with writing(engine) as connection:
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({values})"), row)
    engine.dispose()
    store = Store(url)
    assert store.rejoinable("d" * 64) is not None
    assert store.answer(small_job(1), timedelta(days=10_000)) is None
    store.close()
