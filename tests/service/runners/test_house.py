"""Jobs of workers that are gone are queued again by a node that has none."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

from service.jobs.job import State, now
from service.jobs.store import Store
from service.runners.house import keeping_house
from service.settings import Settings
from tests.service.jobs.small_jobs import claimed, found, small_job
from tests.service.worker.bench import wait_until


def test_a_job_whose_lease_is_over_waits_again_and_chores_are_done_until_the_end(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path).prepare()
    seen: list[int] = []
    with closing(Store(settings.database)) as store:
        store.submit(small_job())
        lost = claimed(store, now() - timedelta(minutes=5))
        with keeping_house(settings, lambda theirs: seen.append(theirs.queued()), every=0.02):
            wait_until(lambda: found(store, lost).state is State.QUEUED)
            wait_until(lambda: 1 in seen)
        done = len(seen)
        assert len(seen) == done
