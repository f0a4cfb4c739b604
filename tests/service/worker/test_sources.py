"""The table as a source of jobs."""

from contextlib import closing
from pathlib import Path

import pytest

import service.worker.deliveries
from service.jobs.store import Store
from service.settings import Settings
from service.worker.sources import FALLBACK_SECONDS, TICK_SECONDS, TableSource, source_of
from tests.service.jobs.small_jobs import small_job


def test_the_table_is_asked_for_its_owner_and_within_the_limits(store: Store, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, max_running_jobs_per_tenant=1, computes="cpu")
    for number in range(2):
        store.submit(small_job(number))
    with closing(TableSource(store, "me", settings)) as source:
        first = source.claim()
        assert first is not None
        assert (first.owner, first.attempt) == ("me", 1)
        assert source.claim() is None
        source.ended(first)
        has_bell = store.engine.dialect.name == "postgresql"
        assert len(source.ears()) == int(has_bell)
        assert source.patience() == (FALLBACK_SECONDS if has_bell else TICK_SECONDS)


@pytest.mark.parametrize("runner", ["embedded", "poll", "celery"])
def test_the_runner_says_which_source(sqlite: Store, monkeypatch: pytest.MonkeyPatch, runner: str) -> None:
    monkeypatch.setattr(service.worker.deliveries, "BrokerSource", lambda *_: "broker")
    source = source_of(sqlite, "me", Settings(runner=runner))
    assert (source == "broker") is (runner == "celery")
