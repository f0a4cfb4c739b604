"""The supervisor, with children that follow a script instead of loading torch; acceptance tests have real ones."""

import errno
import signal
import sqlite3
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from service.jobs.job import MAX_ATTEMPTS, Job, Question, State, new_id, now
from service.jobs.store import LEASE, Store
from service.problems import problem_of
from service.settings import Settings
from service.tracing.tracer import Attempt
from service.worker import results
from service.worker import supervisor as module
from service.worker.children import Child, ForkServer
from service.worker.endings import BUG, LOST, NO_ROOM, UNREADABLE
from service.worker.protocol import Assignment
from service.worker.results import LARGEST_REPORT
from tests.service.worker.bench import INPUTS, SECONDS, Bench, child_of, lives, process, wait_until
from tests.service.worker.scripted_child import GO, REFUSAL

AFTER_LEASE = LEASE + timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _scripted(scripted_children: None) -> None:
    """No child loads torch."""


# ------------------------------------------------------------------ ends


def test_a_job_is_claimed_its_progress_noted_and_its_report_stored(bench: Bench) -> None:
    with bench.serving() as supervisor:
        job = bench.submit("report_when_told")
        running = bench.until_probe(job)
        assert (running.state, running.owner, running.attempt) == (State.RUNNING, supervisor.owner, 1)
        assert (running.stage, running.fraction) == ("probe", 0.25)
        assert bench.work() == [f"{job.id}.1"]
        bench.tell(job)
        ended = bench.until_end(job)
        wait_until(lambda: bench.work() == [])
    assert (ended.state, ended.fraction, ended.error) == (State.SUCCEEDED, 1.0, None)
    assert supervisor.objects.get(ended.report_sha256 or "") == f"report of {job.id}.1".encode()


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_report_answers_again_unless_its_budget_cut_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, is_whole: bool
) -> None:
    monkeypatch.setattr(results, "read_report", lambda _: results.Said({}, is_whole=is_whole))
    with bench.serving():
        first = bench.until_end(bench.submit("report"))
    again = replace(first, id=new_id(), state=State.QUEUED)
    answer = bench.store.answer(again, timedelta(hours=1))
    assert (None if answer is None else answer.report_sha256) == (first.report_sha256 if is_whole else None)


class Told:
    """A tracer that keeps what it is told."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def request(self, method: str, headers: Mapping[str, str]) -> NoReturn:
        raise AssertionError(f"a supervisor answers no {method} with {headers}")

    def attempt(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def close(self) -> None:
        """Nothing."""


def test_every_attempt_is_told_with_its_stages_and_how_it_ended(bench: Bench) -> None:
    before = now()
    with bench.serving() as supervisor:
        supervisor.tracer = told = Told()
        for script in ("report", "refuse", "die_once"):
            bench.until_end(bench.submit(script))
        job = bench.submit("hang")
        bench.until_probe(job)
        bench.store.cancel(job)
        wait_until(lambda: len(told.attempts) == 5)
        bench.until_probe(bench.submit("hang"))
    found = [(attempt.number, attempt.outcome) for attempt in told.attempts]
    expected = [(1, "succeeded"), (1, "failed"), (1, "retried"), (2, "succeeded"), (1, "cancelled"), (1, "released")]
    assert found == expected
    for attempt in told.attempts:
        assert before <= attempt.submitted <= attempt.claimed <= now()
        assert [stage for stage, _ in attempt.stages] == ["probe"]


def test_what_a_child_says_after_its_end_changes_nothing(bench: Bench) -> None:
    with bench.serving():
        ended = bench.until_end(bench.submit("report_and_go_on"))
        assert bench.until_end(bench.submit("report")).state is State.SUCCEEDED
        assert bench.find(ended) == ended
    assert (ended.state, ended.error) == (State.SUCCEEDED, None)
    assert bench.stored() == [b"report"]


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        ("SIGKILL", "signal SIGKILL"),
        ("SIGSEGV", "signal SIGSEGV"),
        ("SIGXCPU", "signal SIGXCPU"),
        ("exit_silently", "exit code 3"),
        ("die_in_mid_message", "signal SIGKILL"),
    ],
)
def test_a_child_that_dies_fails_its_job_with_the_cause_named_and_no_other(
    bench: Bench, script: str, cause: str
) -> None:
    with bench.serving():
        failed = bench.until_end(bench.submit(script))
        assert bench.until_end(bench.submit("report")).state is State.SUCCEEDED
    assert failed.state is State.FAILED
    assert failed.error is not None
    status = 500 if script == "exit_silently" else 422
    assert (failed.error["code"], failed.error["status"]) == ("worker-crashed", status)
    assert cause in failed.error["detail"]
    assert "stage 'probe'" in failed.error["detail"]
    assert failed.error["hint"]
    assert (bench.work(), bench.stored()) == ([], [b"report"])


def test_who_dies_of_a_signal_once_is_tried_again_and_who_does_not_is_not(bench: Bench) -> None:
    with bench.serving():
        once, twice = bench.until_end(bench.submit("die_once")), bench.until_end(bench.submit("SIGSEGV"))
        tired, silent = bench.until_end(bench.submit("SIGXCPU")), bench.until_end(bench.submit("exit_silently"))
    assert (once.state, once.attempt, once.error) == (State.SUCCEEDED, 2, None)
    assert (twice.state, twice.attempt) == (State.FAILED, 2)
    assert twice.error is not None
    assert twice.error["detail"].count("signal SIGSEGV") == 2
    assert (tired.attempt, silent.attempt) == (1, 1)


def test_a_refused_model_ends_with_the_problem_of_the_library(bench: Bench) -> None:
    with bench.serving():
        failed = bench.until_end(bench.submit("refuse"))
    assert (failed.state, failed.error) == (State.FAILED, problem_of(REFUSAL).model_dump())
    assert bench.work() == []


@pytest.mark.parametrize(
    "script",
    ["send_half_a_frame", "send_a_huge_frame", "send_a_pickle", "talk_without_end", "close_and_live_on",
     "leave_a_link", "leave_a_pipe", "leave_nothing"],
)  # fmt: skip
def test_a_child_that_belongs_to_somebody_else_harms_its_own_job_alone(bench: Bench, script: str) -> None:
    with bench.serving(job_slots=2, max_job_seconds=8) as supervisor:
        hostile = bench.submit(script)
        honest = [bench.until_end(bench.submit("report")) for _ in range(3)]
        failed = bench.until_end(hostile)
        assert bench.until_end(bench.submit("report")).state is State.SUCCEEDED
        wait_until(lambda: supervisor.running == [])
    assert [job.state for job in honest] == [State.SUCCEEDED] * 3
    waits = script in {"send_half_a_frame", "talk_without_end"}
    assert failed.state is (State.EXPIRED if waits else State.FAILED)
    dies = script in {"leave_a_link", "leave_a_pipe"}  # where Landlock lets nobody make them
    assert waits or failed.error == BUG or (dies and failed.error["code"] == "worker-crashed")
    assert bench.stored() == [b"report"]


def test_a_job_whose_files_are_gone_fails_and_the_next_one_runs(bench: Bench) -> None:
    job, nothing = bench.submit("report"), Question("f" * 64, "model.onnx", None, "report", "d" * 64)
    gone = Job(id=new_id(), question=nothing, created=job.created - timedelta(seconds=1))
    bench.store.submit(gone)
    with bench.serving():
        assert bench.until_end(job).state is State.SUCCEEDED
    failed = bench.find(gone)
    assert (failed.state, failed.error) == (State.FAILED, UNREADABLE)


def test_a_job_whose_files_cannot_be_opened_now_waits_until_they_can(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
    attempts = []

    def stalled(*_: object) -> None:
        attempts.append(1)
        if len(attempts) < 5:
            raise OSError(116, "Stale file handle")

    with bench.serving() as supervisor:
        monkeypatch.setattr(supervisor.objects, "check", lambda: None)
        start = supervisor._start
        monkeypatch.setattr(supervisor, "_start", lambda job: stalled() or start(job))
        ended = bench.until_end(bench.submit("report"))
    assert (ended.state, ended.attempt, len(attempts)) == (State.SUCCEEDED, 1, 5)
    assert "Stale file handle" in caplog.text


def test_a_job_whose_fork_server_is_killed_at_its_start_is_started_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, failures = ForkServer._run, [BrokenPipeError(), EOFError(), FileNotFoundError("its socket")]

    def run(server: ForkServer, assignment: Assignment | None) -> Any:
        if assignment is not None and failures:
            raise failures.pop()
        return start(server, assignment)

    monkeypatch.setattr(ForkServer, "_run", run)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
    with bench.serving():
        ended = bench.until_end(bench.submit("report"))
    assert (ended.state, ended.attempt, failures) == (State.SUCCEEDED, 1, [])
    assert bench.work() == []


def test_results_that_find_no_room_are_kept_until_there_is(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    store, full = module.store_results, [OSError(errno.ENOSPC, "no space left")] * 2
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
    with bench.serving() as supervisor:

        def store_if_there_is_room(*where: Any) -> Any:
            supervisor.running[0].deadline = module.LONG_AGO  # it was computed in time
            if full:
                raise full.pop()
            return store(*where)

        monkeypatch.setattr(module, "store_results", store_if_there_is_room)
        ended = bench.until_end(bench.submit("report"))
    assert (ended.state, ended.attempt, full) == (State.SUCCEEDED, 1, [])


def test_a_child_that_finds_no_room_starts_again_when_there_is_some(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench.serving() as supervisor:
        looks, has_reserve = list[bool](), threading.Event()

        def look(settings: Settings, _: int = 0) -> bool:
            looks.append(has_reserve.is_set())
            return looks[-1]

        monkeypatch.setattr(Settings, "has_reserve", look)
        waits, other = bench.submit("find_no_room_once"), bench.submit("report")
        wait_until(lambda: len(looks) > 2)
        assert [bench.find(each).state for each in (waits, other)] == [State.QUEUED] * 2
        assert supervisor.ready
        has_reserve.set()
        ended = [bench.until_end(each) for each in (waits, other)]
    assert [(each.state, each.attempt) for each in ended] == [(State.SUCCEEDED, 2), (State.SUCCEEDED, 1)]


def test_a_job_that_never_finds_room_ends(bench: Bench) -> None:
    """It may be the one that fills the disk."""
    with bench.serving():
        ended = bench.until_end(bench.submit("find_no_room"))
    assert (ended.state, ended.attempt, ended.error) == (State.FAILED, MAX_ATTEMPTS, NO_ROOM)


def test_a_job_table_that_is_away_while_results_are_kept_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, away = Store.hold, [OperationalError("hold", None, Exception("the connection is closed"))] * 2

    def hold_if_it_answers(*what: Any) -> None:
        if away:
            raise away.pop()
        hold(*what)

    monkeypatch.setattr(Store, "hold", hold_if_it_answers)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
    with bench.serving():
        ended = bench.until_end(bench.submit("report"))
    assert (ended.state, ended.attempt, away) == (State.SUCCEEDED, 1, [])


def test_a_bug_ends_its_job_without_telling_clients_which(bench: Bench) -> None:
    with bench.serving():
        failed = bench.until_end(bench.submit("hit_a_bug"))
    assert (failed.state, failed.error) == (State.FAILED, BUG)
    assert "ZeroDivisionError" not in str(failed.error)


@pytest.mark.parametrize("script", ["hang", "hang_for_good"])
def test_a_job_over_its_deadline_expires_and_its_child_dies(bench: Bench, script: str) -> None:
    with bench.serving(max_job_seconds=4.5) as supervisor:
        job = bench.submit(script)
        wait_until(lambda: len(supervisor.running) == 1)
        pid = supervisor.running[0].child.process.pid
        expired = bench.until_end(job)
        assert bench.until_end(bench.submit("report")).state is State.SUCCEEDED
        assert not lives(pid)
    assert expired.state is State.EXPIRED
    assert expired.error is not None
    assert (expired.error["code"], expired.error["status"]) == ("job-expired", 422)
    assert "4.5 s" in expired.error["detail"]
    assert expired.error["hint"]
    assert bench.work() == []


# ------------------------------------------------------------------ fences and leases


def test_a_result_with_a_stale_fence_is_dropped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", timedelta(hours=1))  # it will not ask whether it is still its
    with bench.serving() as supervisor:
        job = bench.until_probe(bench.submit("report_when_told"))
        other = taken_over(bench)
        (bench.folder / "work" / f"{job.id}.1" / GO).touch()
        wait_until(lambda: bench.work() == [] and supervisor.running == [])
        assert bench.find(job) == other
    assert (other.state, other.owner, other.fence, other.report_sha256) == (State.RUNNING, "other", 2, None)
    assert bench.store.finish(other, State.SUCCEEDED, now(), report="f" * 64)
    assert f"the result of job {job.id} came too late" in caplog.messages


def test_a_child_whose_job_was_taken_over_is_stopped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with bench.serving() as supervisor:
        job = bench.until_probe(bench.submit("hang"))
        pid = supervisor.running[0].child.process.pid
        other = taken_over(bench)
        monkeypatch.setattr(module, "HEARTBEAT", timedelta(0))
        wait_until(lambda: bench.work() == [] and supervisor.running == [])
        assert not lives(pid)
        assert bench.find(job) == other
    assert f"job {job.id} was cancelled or taken over" in caplog.messages


def taken_over(bench: Bench) -> Job:
    """The running job, reaped and claimed by another worker."""
    assert bench.store.reap(now() + AFTER_LEASE, LOST) == 1
    claim = bench.store.claim("other", now())
    assert claim is not None
    return claim


def test_a_running_job_is_kept_without_news_of_progress(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", timedelta(0))
    with bench.serving():
        running = bench.until_probe(bench.submit("hang"))
        bench.until(running, lambda row: bool(running.lease_until and row.lease_until > running.lease_until))


def test_a_restarted_supervisor_takes_its_jobs_up_again_at_once(bench: Bench) -> None:
    job = bench.submit("report")
    supervisor = bench.supervisor()
    bench.store.claim(supervisor.owner, now())  # and was killed
    (bench.folder / "work" / f"{job.id}.1").mkdir()
    supervisor.store.close()
    with bench.serving():
        ended = bench.until_end(job)
    assert (ended.state, ended.attempt, ended.fence) == (State.SUCCEEDED, 2, 2)
    assert bench.work() == []


def test_the_job_of_a_worker_that_vanished_elsewhere_is_taken_up_when_its_lease_is_over(bench: Bench) -> None:
    lost, kept = bench.submit("report"), bench.submit("report")
    bench.store.claim("other", now() - AFTER_LEASE)
    bench.store.claim("another", now())
    with bench.serving():
        assert bench.until_end(lost).attempt == 2
    assert (bench.find(kept).state, bench.find(kept).owner) == (State.RUNNING, "another")


def test_a_job_that_lost_its_worker_at_every_attempt_fails(bench: Bench) -> None:
    job = bench.submit("report")
    supervisor = bench.supervisor()
    for _ in range(MAX_ATTEMPTS - 1):
        bench.store.claim(supervisor.owner, now())
        bench.store.reap(now(), LOST, owner=supervisor.owner)
    bench.store.claim(supervisor.owner, now())
    supervisor.store.close()
    with bench.serving():
        failed = bench.until_end(job)
    assert (failed.state, failed.attempt, failed.error) == (State.FAILED, MAX_ATTEMPTS, LOST)
    assert LOST["code"] == "worker-lost"
    assert LOST["hint"]


# ------------------------------------------------------------------ slots


def test_two_slots_run_the_two_oldest_jobs_side_by_side(bench: Bench) -> None:
    with bench.serving(job_slots=2) as supervisor:
        first, second, third = (bench.submit("report_when_told") for _ in range(3))
        bench.until_probe(first)
        bench.until_probe(second)
        pids = {run.child.process.pid for run in supervisor.running}
        assert len(pids) == 2
        assert all(map(lives, pids))
        assert [bench.find(job).state for job in (first, second, third)] == ["running", "running", "queued"]
        bench.tell(second)
        assert bench.until_end(second).state is State.SUCCEEDED
        bench.until_probe(third)
        assert bench.find(first).state is State.RUNNING
        for job in (first, third):
            bench.tell(job)
            assert bench.until_end(job).state is State.SUCCEEDED


def test_what_rings_for_new_jobs_is_heard_where_one_could_start_and_nowhere_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bell that nobody hushes goes on ringing: a supervisor that listened with all slots taken never slept."""
    wait, listened = module.wait_for_news, set()

    def note(children: list[Child], seconds: float, others: list[Any]) -> None:
        listened.add((len([*children]), "bell" in others))
        wait(children, seconds, [ear for ear in others if ear != "bell"])

    with bench.serving() as supervisor:
        monkeypatch.setattr(module, "wait_for_news", note)
        monkeypatch.setattr(supervisor.source, "ears", lambda: ["bell"])
        wait_until(lambda: listened == {(0, True)})
        job = bench.submit("report_when_told")
        bench.until_probe(job)
        wait_until(lambda: (1, False) in listened)
        bench.tell(job)
        bench.until_end(job)
    assert (1, True) not in listened


def test_the_jobs_of_a_tenant_with_enough_running_wait_for_a_slot_that_is_free(bench: Bench) -> None:
    first, second = (bench.submit("report_when_told") for _ in range(2))
    other = replace(second, id=new_id(), tenant="other", created=now())
    bench.store.submit(other)
    with bench.serving(job_slots=2, max_running_jobs_per_tenant=1):
        bench.until_probe(first)
        wait_until(lambda: running(bench, other))
        assert bench.find(second).state is State.QUEUED
        bench.tell(first)
        bench.until_probe(second)


def running(bench: Bench, job: Job) -> bool:
    row = bench.store.get(job.id, job.tenant)
    return row is not None and row.state is State.RUNNING


def test_one_crash_leaves_the_neighbour_alone(bench: Bench) -> None:
    with bench.serving(job_slots=2):
        neighbour = bench.until_probe(bench.submit("report_when_told"))
        assert bench.until_end(bench.submit("SIGKILL")).state is State.FAILED
        bench.tell(neighbour)
        ended = bench.until_end(neighbour)
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1)


# ------------------------------------------------------------------ start and stop


def test_a_stop_gives_running_jobs_back_as_if_never_claimed(bench: Bench) -> None:
    with bench.serving(job_slots=2) as supervisor:
        jobs = [bench.until_probe(bench.submit("hang")) for _ in range(2)]
        pids = [run.child.process.pid for run in supervisor.running]
    for job in jobs:
        released = bench.find(job)
        assert (released.state, released.attempt, released.fence) == (State.QUEUED, 0, 1)
        assert (released.owner, released.lease_until, released.stage) == (None, None, "queued")
    assert not any(map(lives, pids))
    assert bench.work() == []


def test_a_start_clears_what_a_killed_predecessor_left(bench: Bench) -> None:
    left = bench.folder / "work" / "job.1"
    left.mkdir()
    (left / "report.json").write_bytes(b'{"half')
    with bench.serving() as supervisor:
        wait_until(lambda: bench.store.workers(now()) == {supervisor.owner: True})
        assert bench.work() == []


def test_a_supervisor_is_ready_once_its_fork_server_is(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = bench.supervisor()
    supervisor.store.seen(supervisor.owner, now(), ready=True)  # by a predecessor
    noted: list[bool] = []
    monkeypatch.setattr(supervisor.store, "seen", lambda *_, ready: noted.append(ready))
    supervisor.stopping.set()
    supervisor.serve()
    supervisor._beat()
    supervisor.store.close()
    assert noted == [False, True]


def test_a_child_is_told_where_its_files_are_and_what_it_may_use(bench: Bench) -> None:
    supervisor = bench.supervisor(max_job_seconds=100, max_job_memory_bytes=3 << 30, max_models_bytes=5000)
    with ExitStack() as files:
        assignment = supervisor._assignment(bench.submit("script"), bench.folder, files)
        opened = [assignment.model, assignment.batch, assignment.data_files["weights.bin"]]
        assert tuple(each.path.read_bytes() for each in opened if each is not None) == INPUTS
    assert not any(each.path.exists() for each in opened if each is not None)
    supervisor.store.close()
    assert (assignment.model_name, assignment.options) == ("model.onnx", "script")
    limits = assignment.confinement
    assert (limits.folder, limits.memory_bytes) == (bench.folder, 3 << 30)
    assert (assignment.models_bytes, limits.file_bytes) == (5000, LARGEST_REPORT + 5000)
    assert limits.cpu_seconds > 100  # wall clock ends it first, with a better explanation


# ------------------------------------------------------------------ real processes


@pytest.mark.server
def test_kill_9_loses_nothing_and_the_next_supervisor_of_the_folder_waits_its_turn(bench: Bench) -> None:
    job = bench.submit("report_when_told")
    with process(bench) as first, process(bench) as second:
        running = bench.until_probe(job)
        child = child_of(bench, running)
        wait_until(lambda: waits_for_lock(first.pid) or waits_for_lock(second.pid))
        holder = second if waits_for_lock(first.pid) else first
        holder.kill()
        bench.until_probe(job, attempt=2)
        wait_until(lambda: not lives(child))
        bench.tell(job)
        ended = bench.until_end(job)
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 2)
    assert bench.stored() == [f"report of {job.id}.2".encode()]


@pytest.mark.server
def test_no_child_is_started_with_the_settings_in_its_environment(bench: Bench) -> None:
    """/proc/self/environ is what a process was started with, whatever it deletes."""
    with process(bench):
        running = bench.until_probe(bench.submit("hang"))
        started_with = Path(f"/proc/{child_of(bench, running)}/environ").read_bytes()
    assert b"PYTHONPATH" in started_with
    assert b"GRADIENT_HEALTH" not in started_with


def waits_for_lock(pid: int) -> bool:
    """Whether a process is blocked in flock (man 5 proc_locks)."""
    waiting = (line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" in line)
    return any(str(pid) in words for words in waiting)


@pytest.mark.server
def test_a_job_whose_supervisor_is_killed_at_every_attempt_ends_as_lost(bench: Bench) -> None:
    job = bench.submit("hang")
    for attempt in range(1, MAX_ATTEMPTS + 1):
        with process(bench) as supervisor:
            bench.until_probe(job, attempt)
            supervisor.kill()
    with process(bench):
        failed = bench.until_end(job)
        healthy = bench.until_end(bench.submit("report"))
    assert (failed.state, failed.error) == (State.FAILED, LOST)
    assert healthy.state is State.SUCCEEDED


@pytest.mark.server
@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "its parent is gone"])
def test_a_supervisor_that_is_stopped_gives_its_job_back_and_leaves_no_process(bench: Bench, how: str) -> None:
    job = bench.submit("hang")
    with process(bench) as supervisor:
        running = bench.until_probe(job)
        child = child_of(bench, running)
        if how in signal.Signals.__members__:
            supervisor.send_signal(signal.Signals[how])
        else:
            assert supervisor.stdin is not None
            supervisor.stdin.close()
        assert supervisor.wait(SECONDS) == 0
    assert not lives(child)
    released = bench.find(job)
    assert (released.state, released.attempt, released.owner) == (State.QUEUED, 0, None)
    assert bench.work() == []


# ------------------------------------------------------------------ cancelled, and a job table that is held


def test_a_job_that_is_cancelled_loses_its_child(bench: Bench) -> None:
    with bench.serving():
        job = bench.submit("report_when_told")
        pid = child_of(bench, bench.until_probe(job))
        assert bench.store.cancel(job, now())
        wait_until(lambda: not lives(pid), seconds=6.0)
        wait_until(lambda: bench.work() == [])
        assert bench.find(job).state is State.CANCELLED
        assert bench.until_end(bench.submit("report")).state is State.SUCCEEDED


def test_a_job_that_is_cancelled_while_it_waits_is_never_claimed(bench: Bench) -> None:
    job = bench.submit("report")
    assert bench.store.cancel(job, now())
    with bench.serving():
        assert bench.until_end(bench.submit("report")).state is State.SUCCEEDED
    assert (bench.find(job).state, bench.find(job).attempt) == (State.CANCELLED, 0)


def test_a_job_table_that_somebody_holds_is_waited_for_and_nothing_is_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.05)
    path = bench.folder / "jobs.sqlite"
    with bench.serving() as supervisor:
        event.listen(supervisor.store.engine, "checkout", impatient)
        job = bench.submit("report_when_told")
        bench.until_probe(job)
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            bench.tell(job)
            time.sleep(0.5)  # the child ends, and nobody can write that down
            holder.execute("ROLLBACK")
        ended = bench.until_end(job)
    assert (ended.state, ended.attempt) == (State.SUCCEEDED, 1)


def impatient(connection: sqlite3.Connection, *_: object) -> None:
    connection.execute("PRAGMA busy_timeout=10")
