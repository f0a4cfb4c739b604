from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from service.jobs.job import State, now
from service.jobs.store import Store
from service.runners import house
from service.runners.polling import polling
from service.settings import Settings
from tests.service.jobs.small_jobs import claimed, found, small_job
from tests.service.worker.bench import wait_until


def test_beside_an_api_leases_are_looked_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "REAP_SECONDS", 0.02)
    settings = Settings(data_dir=tmp_path, runner="poll").prepare()
    with closing(Store(settings.database)) as store:
        store.submit(small_job())
        lost = claimed(store, now() - timedelta(minutes=5))
        with polling(settings):
            wait_until(lambda: found(store, lost).state is State.QUEUED)
