"""How SQLite is opened and who waits for whom, seen through the job table."""

import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from service.jobs.store import Store
from tests.service.jobs.small_jobs import claimed, found, small_job


def test_sqlite_keeps_a_log_and_flushes_it_on_every_connection(sqlite: Store, tmp_path: Path) -> None:
    sqlite.submit(small_job())
    with sqlite.engine.connect() as first, sqlite.engine.connect().execution_options(reading=True) as second:
        for connection in (first, second):
            pragmas = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")]
            assert pragmas == ["wal", 2]  # 2 is FULL, https://sqlite.org/pragma.html#pragma_synchronous
    assert (tmp_path / "jobs.sqlite-wal").exists()


def test_a_store_waits_for_whoever_else_is_opening_the_database(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")  # SQLite answers "locked" at once to who would change the mode meanwhile
        release = threading.Timer(0.2, other.execute, ("COMMIT",))
        release.start()
        with closing(Store(f"sqlite:///{path}")) as store:
            store.submit(given := small_job())
            assert found(store, given) == given
        release.join()


def test_a_job_survives_kill_9_right_after_it_was_submitted(sqlite: Store) -> None:
    script = (
        "import os, signal; from tests.service.jobs.small_jobs import Store, small_job; given = small_job();"
        f"Store({str(sqlite.engine.url)!r}).submit(given);"
        "print(given.id, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    died = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    assert died.returncode == -signal.SIGKILL
    assert claimed(sqlite).id == died.stdout.strip()


def test_readers_do_not_wait_for_a_writer(sqlite: Store) -> None:
    given = small_job()
    sqlite.submit(given)
    with sqlite.engine.begin() as writing:
        writing.execute(text("UPDATE jobs SET stage = 'unseen'"))
        assert found(sqlite, given).stage == "queued"
    assert found(sqlite, given).stage == "unseen"
