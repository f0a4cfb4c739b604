"""A database of before has counted nothing."""

from pathlib import Path

import pytest

from service.access.rates import Rate, take
from service.database import open_engine, upgrade_tables
from tests.service.migrations.earlier import database_of


def test_counting_begins_with_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/jobs.sqlite")
    database_of(engine, "0008", monkeypatch)
    upgrade_tables(engine)
    (found,) = take(engine, "one", [(Rate("submissions", 2, 60), 1)], 0.0)
    assert (found.left, found.granted) == (1, True)
    engine.dispose()
