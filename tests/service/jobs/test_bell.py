"""PostgreSQL rings at every node, and who cannot hear it does without."""

import time
from contextlib import closing
from multiprocessing import connection

import pytest
from sqlalchemy import text

from service.jobs.bell import Bell
from service.jobs.job import State
from service.jobs.store import Store
from tests.servers import postgres_schema
from tests.service.jobs.small_jobs import NOW, claimed, small_job


def rang(bell: Bell, seconds: float = 5.0) -> bool:
    heard = bool(connection.wait(bell.ears(), seconds))
    bell.hush()
    return heard


@pytest.mark.server
def test_every_node_hears_when_a_job_waits_and_nobody_when_it_ends(postgres: Store) -> None:
    with closing(Bell(postgres.engine)) as first, closing(Bell(postgres.engine)) as second:
        assert len(first.ears()) == len(second.ears()) == 1
        postgres.submit(small_job())
        assert rang(first)
        assert rang(second)
        job = claimed(postgres)
        postgres.release(job)
        assert rang(first)
        job = claimed(postgres)
        postgres.finish(job, State.SUCCEEDED)
        rang(second)
        assert not rang(first, 0.1)


@pytest.mark.server
def test_another_installation_in_the_same_database_rings_nobody_here(postgres: Store) -> None:
    with postgres_schema() as url, closing(Store(url)) as other, closing(Bell(postgres.engine)) as bell:
        bell.ears()
        other.submit(small_job())
        assert not rang(bell, 0.5)
        postgres.submit(small_job(1))
        assert rang(bell)


@pytest.mark.server
def test_a_job_whose_lease_is_over_rings(postgres: Store) -> None:
    postgres.submit(small_job())
    claimed(postgres, NOW)
    with closing(Bell(postgres.engine)) as bell:
        bell.ears()
        postgres.reap(None, {"code": "worker-lost"})
        assert rang(bell)


@pytest.mark.server
def test_a_bell_whose_connection_is_cut_is_hung_up_again(postgres: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Bell(postgres.engine)) as bell:
        bell.ears()
        with postgres.engine.begin() as killer:
            killer.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": bell._driver.info.backend_pid})
        assert rang(bell)
        deadline = time.monotonic() + 5
        while bell._driver is not None and time.monotonic() < deadline:
            bell.hush()
        assert bell.ears() == [], "not at once: the server may be away"
        monkeypatch.setattr("service.jobs.bell.AGAIN_SECONDS", 0.0)
        assert len(bell.ears()) == 1
        postgres.submit(small_job())
        assert rang(bell)


def test_sqlite_has_no_bell(sqlite: Store) -> None:
    bell = Bell(sqlite.engine)
    assert bell.ears() == []
    bell.hush()
    bell.close()
