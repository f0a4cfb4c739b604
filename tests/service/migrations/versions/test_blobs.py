"""A database of before has jobs, and no blobs that were sent ahead."""

from pathlib import Path

import pytest

from service.database import open_engine
from service.jobs.blobs import blobs_of, keep_blob
from service.jobs.store import Store
from tests.service.migrations.earlier import database_of


def test_blobs_may_be_sent_to_a_database_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    engine = open_engine(url)
    old = database_of(engine, "0005", monkeypatch)
    engine.dispose()
    store, name = Store(url), "a" * 64
    assert blobs_of(store, "default", [name]) == {}
    assert keep_blob(store, "default", name, {name: 1}.get, 60.0)
    assert store.get(old) is not None
    store.close()
