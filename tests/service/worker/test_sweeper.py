"""What is removed, and above all what is not."""

import hashlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from service.jobs.blobs import blobs_of, keep_blob
from service.jobs.holding import VanishedError, inputs_of, removed
from service.jobs.job import Job, State
from service.jobs.store import Store
from service.objects.blob import Found
from service.objects.folder import ObjectFolder
from tests.service.jobs.small_jobs import NOW, SECOND, claimed
from tests.service.worker.sweeps import HOUR, Sweeps

DAY = 24 * 3600


@pytest.fixture
def folder(tmp_path: Path) -> ObjectFolder:
    (tmp_path / "objects").mkdir()
    return ObjectFolder(tmp_path / "objects")


@pytest.fixture
def sweeps(sqlite: Store, folder: ObjectFolder) -> Sweeps:
    return Sweeps(sqlite, folder)


def ended(sweeps: Sweeps, content: bytes, second: int) -> Job:
    """A job that failed at NOW + second."""
    sweeps.submit(content, number=second)
    job = claimed(sweeps.store)
    sweeps.store.finish(job, State.FAILED, NOW + second * SECOND)
    return job


def test_the_files_of_a_deleted_analysis_go_after_an_hour_and_no_others(sweeps: Sweeps) -> None:
    deleted, kept = sweeps.submit(b"model", b"shared"), sweeps.submit(b"other", b"shared")
    sweeps.rounds(3)
    assert sweeps.names() == inputs_of(deleted) | inputs_of(kept)
    sweeps.store.delete(deleted)
    sweeps.rounds(2, hours=0.4)
    sweeps.round()
    assert sweeps.names() == inputs_of(deleted) | inputs_of(kept)
    sweeps.seconds += 0.2 * HOUR
    sweeps.round()
    assert sweeps.names() == inputs_of(kept)
    assert removed(sweeps.store.engine) == {"objects": (1, len(b"model"))}


def test_what_is_stored_anew_has_its_time_again(sweeps: Sweeps) -> None:
    sweeps.objects.put(b"content")
    sweeps.rounds(1)
    again = sweeps.objects.put(b"content")
    sweeps.rounds(1)
    assert sweeps.names() == {again.sha256}
    sweeps.rounds(1)
    assert sweeps.names() == set()


def test_what_was_sent_ahead_goes_when_no_analysis_was_about_it(sweeps: Sweeps) -> None:
    used, unused = (sweeps.objects.put(content).sha256 for content in (b"used", b"unused"))
    for name in (used, unused):
        keep_blob(sweeps.store, "default", name, sweeps.objects.size, -1.0)  # its time is over at once
    job = sweeps.submit(b"used")
    sweeps.rounds(3)
    assert sweeps.names() == {used}
    assert set(blobs_of(sweeps.store, "default", [used, unused])) == {used}
    sweeps.store.delete(job)
    sweeps.rounds(3)
    assert sweeps.names() == {used}  # its tenant has it for an hour still


def test_what_becomes_a_job_between_two_looks_stays(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = sweeps.objects.put(b"content")
    sweeps.rounds(1)
    found = sweeps.objects.found

    def found_and_then_submitted(prefix: str) -> list[Found]:
        seen = list(found(prefix))
        if seen:
            sweeps.submit(b"content")
        return seen

    monkeypatch.setattr(sweeps.objects, "found", found_and_then_submitted)
    sweeps.round()
    assert sweeps.names() == {blob.sha256}


def test_results_are_held_with_their_job(sweeps: Sweeps) -> None:
    job = sweeps.submit(b"model")
    report = sweeps.objects.put(b"report")
    running = sweeps.store.claim("worker")
    assert running == sweeps.store.get(job.id)
    assert running is not None
    sweeps.store.hold(running, [report.sha256], sweeps.objects.size)
    assert sweeps.store.finish(running, State.SUCCEEDED, report=report.sha256)
    sweeps.rounds(3)
    assert report.sha256 in sweeps.names()


def test_analyses_that_ended_long_ago_are_deleted(sqlite: Store, folder: ObjectFolder) -> None:
    sweeps = Sweeps(sqlite, folder, keep_days=30)
    old, new = ended(sweeps, b"a", -31 * DAY), ended(sweeps, b"b", -29 * DAY)
    waiting = sweeps.submit(b"c", number=-90 * DAY)
    sqlite.time = lambda: NOW  # type: ignore[method-assign]
    sweeps.sweeper.turn()
    assert [sqlite.get(each.id) is None for each in (old, new, waiting)] == [True, False, False]
    assert sqlite.was_deleted(old.id)
    assert removed(sqlite.engine)["jobs"] == (1, 0)


def test_so_many_are_kept_as_were_asked_for_those_that_ended_last(sqlite: Store, folder: ObjectFolder) -> None:
    sweeps = Sweeps(sqlite, folder, keep_jobs=2)
    jobs = [ended(sweeps, b"%d" % number, second) for number, second in enumerate((3, 1, 2, 0))]
    waiting = sweeps.submit(b"c")
    sweeps.sweeper.turn()
    assert [sqlite.get(each.id) is None for each in (*jobs, waiting)] == [False, True, False, True, False]


def test_bytes_are_freed_by_what_ended_first_and_no_more_than_needed(sqlite: Store, folder: ObjectFolder) -> None:
    sweeps = Sweeps(sqlite, folder, keep_bytes=250)
    jobs = [ended(sweeps, letter * 100, second) for letter, second in ((b"a", 2), (b"b", 0), (b"c", 1))]
    sweeps.submit(b"c" * 100)  # waits, and shares
    sweeps.round()
    assert [sqlite.get(each.id) is None for each in jobs] == [False, True, False]
    sweeps = Sweeps(sqlite, folder, keep_bytes=1)
    sweeps.round()
    assert [sqlite.get(each.id) is None for each in jobs] == [True, True, True]
    assert sqlite.queued() == 1


def test_nothing_is_deleted_unless_asked_for(sweeps: Sweeps) -> None:
    job = ended(sweeps, b"a", -10000 * DAY)
    sweeps.rounds(3)
    assert sweeps.store.get(job.id) is not None


@pytest.mark.parametrize("error", [OSError("away"), KeyError("of a driver")])
def test_neither_a_database_that_is_away_nor_a_bug_ends_a_sweeper(
    error: Exception, sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping, turns = threading.Event(), list[int]()

    def broken() -> None:
        turns.append(1)
        if len(turns) == 3:
            stopping.set()
        raise error

    monkeypatch.setattr(sweeps.sweeper, "turn", broken)
    monkeypatch.setattr("service.worker.sweeper.PREFIXES", range(10**9))
    sweeps.sweeper.run(stopping)
    assert len(turns) == 3


def test_a_sweep_that_is_killed_leaves_nothing_half(sweeps: Sweeps) -> None:
    kept = sweeps.submit(b"kept")
    for number in range(3):
        sweeps.objects.put(b"%d" % number)
    script = """
import os, sys, pathlib
from service.jobs.store import Store
from service.objects.folder import ObjectFolder
from tests.service.worker.sweeps import Sweeps
unlink = pathlib.Path.unlink
def unlink_and_die(path):
    unlink(path)
    os.kill(os.getpid(), 9)
pathlib.Path.unlink = unlink_and_die
Sweeps(Store(sys.argv[1]), ObjectFolder(pathlib.Path(sys.argv[2]))).rounds(2)
"""
    command = [sys.executable, "-c", script, str(sweeps.store.engine.url), str(sweeps.objects.folder)]
    assert subprocess.run(command, check=False, env=os.environ | {"PYTHONPATH": str(Path.cwd())}).returncode == -9
    assert len(sweeps.names()) == 3
    sweeps.rounds(2)
    assert sweeps.names() == inputs_of(kept)


@pytest.mark.parametrize("attempt", range(3))
def test_uploads_against_a_sweep_without_patience_lose_nothing_that_was_accepted(
    url: str, folder: ObjectFolder, attempt: int
) -> None:
    accepted, over = list[Job](), threading.Event()

    def upload(number: int) -> None:
        with closing(Store(url)) as store:
            sweeps = Sweeps(store, folder)
            for turn in range(12):
                with suppress(VanishedError):
                    job = sweeps.submit(b"%d %d" % (attempt, turn % 3), tenant=f"{number}")
                    if turn % 2:
                        store.delete(job)
                    else:
                        accepted.append(job)

    def sweep() -> None:
        with closing(Store(url)) as store:
            eager = Sweeps(store, folder, orphan_seconds=1e-9)
            while not over.is_set():
                for prefix in {path.name[:2] for path in folder.folder.rglob("?" * 64)}:
                    eager.seconds += 1
                    eager.sweeper._sweep(prefix)

    with ThreadPoolExecutor(3) as pool:
        sweeping = pool.submit(sweep)
        for uploading in [pool.submit(upload, number) for number in range(2)]:
            uploading.result(60)
        over.set()
        sweeping.result(60)
    assert accepted
    assert all(folder.size(name) is not None for job in accepted for name in inputs_of(job))


class Keeping(RuleBasedStateMachine):
    """Uploads, submissions, results, deletions, sweeps and time, in any order: what a job holds is there."""

    @initialize(keep_jobs=st.sampled_from([0, 1]))
    def start(self, keep_jobs: int) -> None:
        self.place = TemporaryDirectory()
        self.sweeps = Sweeps(Store("sqlite://"), ObjectFolder(Path(self.place.name)), keep_jobs=keep_jobs)
        self.keep_jobs = keep_jobs
        self.held: dict[str, set[str]] = {}
        self.uploaded: set[str] = set()

    def teardown(self) -> None:
        if hasattr(self, "sweeps"):
            self.sweeps.store.close()
            self.place.cleanup()

    def there(self) -> list[str]:
        return sorted(self.held)

    @rule(content=st.sampled_from([b"a", b"b", b"c"]))
    def upload(self, content: bytes) -> None:
        self.uploaded.add(self.sweeps.objects.put(content).sha256)

    @rule(contents=st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=2, unique=True))
    def submit(self, contents: list[bytes]) -> None:
        job = self.sweeps.submit(*contents, number=len(self.held))
        self.held[job.id] = {hashlib.sha256(content).hexdigest() for content in contents}

    @rule(content=st.sampled_from([b"a", b"report"]))
    def succeed(self, content: bytes) -> None:
        job = self.sweeps.store.claim("worker")
        if job is not None:
            report = self.sweeps.objects.put(content)
            self.sweeps.store.hold(job, [report.sha256], self.sweeps.objects.size)
            assert self.sweeps.store.finish(job, State.SUCCEEDED, report=report.sha256)
            self.held[job.id].add(report.sha256)

    @rule(draw=st.data())
    def delete(self, draw: Any) -> None:
        if self.held:
            job = self.sweeps.store.get(draw.draw(st.sampled_from(self.there())))
            assert job is not None
            assert self.sweeps.store.delete(job)
            del self.held[job.id]

    @rule(hours=st.sampled_from([0.1, 1.0]))
    def sweep(self, hours: float) -> None:
        self.sweeps.rounds(1, hours)
        for job_id in self.there():
            if self.sweeps.store.get(job_id) is None:
                assert self.keep_jobs
                del self.held[job_id]

    @rule()
    def sweep_for_long(self) -> None:
        self.sweep(1.0)
        self.sweep(1.0)
        self.sweep(1.0)
        assert self.sweeps.names() == set().union(*self.held.values())

    @invariant()
    def what_is_held_is_there(self) -> None:
        if hasattr(self, "sweeps"):
            assert set().union(*self.held.values()) <= self.sweeps.names()


TestKeeping = Keeping.TestCase
TestKeeping.settings = settings(max_examples=6, stateful_step_count=10, deadline=None, derandomize=True)
