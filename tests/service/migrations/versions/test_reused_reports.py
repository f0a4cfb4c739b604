"""Reports of before answer nobody again, as nobody noted whether a budget had cut them."""

from datetime import timedelta
from pathlib import Path

import pytest

from service.database import open_engine
from service.jobs.job import State
from service.jobs.store import Store
from tests.service.jobs.small_jobs import small_job
from tests.service.migrations.earlier import database_of


def test_a_report_of_before_answers_nobody_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    engine = open_engine(url)
    ended = {"state": State.SUCCEEDED.value, "report_sha256": "e" * 64, "finished": "2026-11-23 12:00:01.000000"}
    database_of(engine, "0004", monkeypatch, **ended)
    engine.dispose()
    store = Store(url)
    assert store.rejoinable("d" * 64) is not None
    assert store.answer(small_job(1), timedelta(days=10_000)) is None
    store.close()
