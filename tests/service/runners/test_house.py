"""Jobs of workers that are gone are queued again by a node that has none."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

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


def test_a_bug_in_a_chore_is_told_and_ends_no_house(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody else publishes what waits: a thread that had ended would have kept all jobs waiting."""
    faults, done = [KeyError("of a driver"), ConnectionError("of a socket")], list[bool]()

    def chore(_: Store) -> None:
        if faults:
            raise faults.pop()
        done.append(True)

    with keeping_house(Settings(data_dir=tmp_path).prepare(), chore, every=0.02):
        wait_until(lambda: done != [])
    told = [(record.levelname, record.exc_info is not None) for record in caplog.records]
    assert told == [("WARNING", False), ("ERROR", True)]
