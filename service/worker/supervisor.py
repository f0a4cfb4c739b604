"""Claims jobs, starts a child for each, watches it, and writes the one result that counts.

One per data folder (`lock`), run as `python -m service.worker`. The row is the truth: what a child says is written with
the fence of its claim, and thrown away where the job has been claimed again meanwhile.

    claim -> starting (a hand) -> listened to -> ended -> storing (a hand) -> its end written -> put away (a hand)

One thread asks and tells the table and keeps the leases; what waits for a disk or a new process is done by `hands`, so
that a disk that is slow, or a bucket, holds up the job that needs it and no other.
"""

import logging
import os
import shutil
import socket
import threading
import time
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from service.database import AWAY, brief
from service.jobs.job import MAX_ATTEMPTS, Job, State
from service.jobs.store import Store
from service.logs import about
from service.objects.blob import Objects
from service.objects.place import objects_of
from service.settings import Settings
from service.tracing.tracer import Attempt, Tracer
from service.worker.checkup import note_states
from service.worker.children import Child, ForkServer, end, listen, wait_for_news
from service.worker.endings import LOST, UNREADABLE, StoredProblem, failure, overdue
from service.worker.hands import Hands
from service.worker.protocol import Assignment, Broken, Died, Done, Ending, NoRoom, OpenFile, Reached
from service.worker.results import LARGEST_REPORT, BadResultError, Results, store_results
from service.worker.sandbox import Confinement
from service.worker.sources import source_of
from service.worker.sweeper import Sweeper

NEWS: Final = timedelta(seconds=0.2)
"""Progress of a job is written no more often, however much its child has to say."""
HEARTBEAT: Final = timedelta(seconds=5)
REAP: Final = timedelta(seconds=2)
"""How often one looks for jobs of workers that are gone."""
ALIVE: Final = "alive"
"""A file in the data folder that is touched at every heartbeat, for whoever watches a worker."""
LOOK: Final = timedelta(seconds=1)
"""A job that was cancelled goes on for no longer than this, and what its child takes to leave."""
AGAIN_SECONDS: Final = 1.0
STORE_SECONDS: Final = 5.0
"""So long a supervisor that stops waits for results that are on their way."""
LONG_AGO: Final = timedelta(days=-1)
log = logging.getLogger(__name__)


def elapsed() -> timedelta:
    """Since the machine was started: between two moments here lies the same time whatever becomes of its clock."""
    return timedelta(seconds=time.monotonic())


@dataclass(slots=True)
class Running:
    """A job and the child that works on it."""

    job: Job
    child: Child
    deadline: timedelta
    reported: Reached | None = None
    renewed: timedelta = field(default_factory=elapsed)
    looked: timedelta = field(default_factory=elapsed)
    ending: Ending | None = None
    """How the child ended, until that is written."""
    storing: "Future[Results] | None" = None
    """What it left, on its way to a place."""
    again: timedelta = LONG_AGO
    """It is not written before."""


class Supervisor:
    """One per data folder."""

    def __init__(self, settings: Settings, tracer: Tracer | None = None) -> None:
        """Nothing runs yet. `tracer`: takes what became of each attempt."""
        self.settings = settings.prepare()
        self.tracer = tracer
        self.owner = f"{socket.gethostname()}:{settings.data_dir.resolve()}"
        self.store = Store(settings.database, lease_seconds=settings.lease_seconds)
        self.objects: Objects = objects_of(self.store.engine, settings)
        self.source = source_of(self.store, self.owner, settings)
        self.fork_server = ForkServer()
        self.hands = Hands(2 * settings.job_slots)
        self.starting: dict[Future[Child], Job] = {}
        self.running: list[Running] = []
        self.stopping = threading.Event()
        self._seen = self._reaped = LONG_AGO
        self.ready = False
        self._is_full = False
        """Whether a job found no room on the disk, which has not got its reserve again since."""

    def serve(self) -> None:
        """Until told to stop; running jobs are given back then."""
        self._clear()
        self.store.seen(self.owner, ready=False)
        self.fork_server.warm_up()
        self.ready = True
        threading.Thread(target=note_states, args=(self.settings.data_dir,), daemon=True).start()
        sweeper = Sweeper(self.store, self.objects, self.settings)
        sweeping = threading.Thread(target=sweeper.run, args=(self.stopping,), daemon=True)
        sweeping.start()
        while not self.stopping.is_set():
            try:
                self._turn()
            except AWAY as error:  # the row is the truth: without it there is nothing to do but to wait
                log.warning("the job table does not answer: %s", brief(error))
                self.source.hand_on()
                self.stopping.wait(AGAIN_SECONDS)
        self.source.close()
        self._give_back()
        sweeping.join(AGAIN_SECONDS)

    def _give_back(self) -> None:
        """Jobs that have not ended, as if they had not been claimed."""
        for future, job in self.starting.items():
            if future.exception() is None:
                self.hands.take(end, future.result())
            self.store.release(job)
        for run in list(self.running):
            if run.storing is not None:
                with suppress(TimeoutError):
                    run.storing.exception(STORE_SECONDS)
                    self._store(run, run.storing)
        for run in list(self.running):
            self._drop(run, "released")
            self.store.release(run.job)
        self.hands.close()

    def _turn(self) -> None:
        """Running jobs first: where nobody could write for long, their leases are renewed before any is reaped."""
        self.hands.hush()
        for run in list(self.running):
            with _about(run.job):
                self._watch(run)
        self._beat()
        for future in [future for future in self.starting if future.done()]:
            with _about(self.starting[future]):
                self._begin(self.starting[future], future)
            del self.starting[future]
        if not self._claim():
            self._rest()

    def _clear(self) -> None:
        """Take up what a predecessor left: its jobs, working folders and half-written blobs."""
        self.store.reap(None, LOST, owner=self.owner)
        shutil.rmtree(self.settings.work_dir, ignore_errors=True)
        self.settings.work_dir.mkdir(parents=True, exist_ok=True)
        self.objects.sweep()

    def _beat(self) -> None:
        if elapsed() - self._seen > self._heartbeat:
            self._seen = elapsed()
            self.store.seen(self.owner, ready=self.ready)
            (self.settings.data_dir / ALIVE).touch()
            for job in self.starting.values():
                self.store.keep(job, None, "files", 0.0)
        if elapsed() - self._reaped > REAP:
            self._reaped = elapsed()
            self.store.reap(None, LOST)

    @property
    def _heartbeat(self) -> timedelta:
        return min(HEARTBEAT, self.store.lease / 3)

    def _rest(self) -> None:
        """Wait for a message, a hand, or a job that could start, but never long."""
        talking = [run.child for run in self.running if run.ending is None]
        ears = self.source.ears() if self._has_room() else []  # nobody takes note of what rings there: it rings on
        wait_for_news(talking, self.source.patience(), [self.hands.ear, *ears])

    # -------------------------------------------------------------- starts

    def _claim(self) -> bool:
        """Start the next job if there is one and room for it."""
        self._is_full = self._is_full and not self.settings.has_reserve()
        job = self.source.claim() if self._has_room() else None
        if job is None:
            return False
        self.starting[self.hands.take(self._start, job)] = job
        return True

    def _has_room(self) -> bool:
        """On the disk, and in a slot; a job whose results are stored leaves its slot."""
        computing = len(self.starting) + sum(run.ending is None for run in self.running)
        slots = self.settings.job_slots
        return not self._is_full and computing < slots and len(self.starting) + len(self.running) < 2 * slots

    def _begin(self, job: Job, started: "Future[Child]") -> None:
        try:
            child = started.result()
        except FileNotFoundError:
            log.exception("the files of job %s are gone", job.id)
            self.store.finish(job, State.FAILED, error=UNREADABLE)
            self.source.ended(job)
        except OSError as error:  # a disk or bucket that does not answer, a fork server that was killed just now
            log.warning("job %s cannot be started: %s", job.id, error)
            self.store.release(job)
            self.source.ended(job)
            self.stopping.wait(AGAIN_SECONDS)
        else:
            self.running.append(Running(job, child, elapsed() + timedelta(seconds=self.settings.max_job_seconds)))

    def _start(self, job: Job) -> Child:
        """By a hand."""
        folder = self.settings.work_dir / f"{job.id}.{job.fence}"
        with ExitStack() as files:
            return self.fork_server.start(self._assignment(job, folder, files))

    def _assignment(self, job: Job, folder: Path, files: ExitStack) -> Assignment:
        """What a child is told; its files are open here until `files` is closed, there as long as it lives."""
        question, settings = job.question, self.settings
        batch = question.batch_sha256
        return Assignment(
            model=self._open(question.model_sha256, files),
            model_name=question.model_name,
            batch=None if batch is None else self._open(batch, files),
            data_files={name: self._open(sha256, files) for name, sha256 in question.data_files.items()},
            options=question.options,
            models_bytes=settings.max_models_bytes,
            threads=settings.job_threads,
            confinement=Confinement(
                folder=folder,
                memory_bytes=settings.max_job_memory_bytes,
                cpu_seconds=int(settings.max_job_seconds) * settings.job_threads + 60,
                file_bytes=LARGEST_REPORT + settings.max_models_bytes,
                required=settings.require_sandbox,
            ),
        )

    def _open(self, sha256: str, files: ExitStack) -> OpenFile:
        descriptor = os.open(files.enter_context(self.objects.local(sha256)), os.O_RDONLY | os.O_CLOEXEC)
        files.callback(os.close, descriptor)
        return OpenFile(descriptor)

    # -------------------------------------------------------------- ends

    def _watch(self, run: Running) -> None:
        run.ending = run.ending or listen(run.child)
        if run.storing is not None:
            self._renew(run)
            if run.storing.done():
                self._store(run, run.storing)
        elif run.ending is not None and elapsed() >= run.again:
            self._conclude(run, run.ending)
        elif run.ending is None and elapsed() > run.deadline:
            self._finish(run, State.EXPIRED, error=overdue(self.settings.max_job_seconds))
        elif not (self._renew(run) and self._holds(run)):
            log.warning("job %s was cancelled or taken over", run.job.id)
            self._drop(run, "cancelled")

    def _holds(self, run: Running) -> bool:
        """Whether the job is still ours, asked once in a while."""
        if elapsed() - run.looked < LOOK:
            return True
        run.looked = elapsed()
        return self.store.holds(run.job)

    def _renew(self, run: Running) -> bool:
        """Keep the lease and write progress where it changed; False: the job is no longer ours."""
        reached, since = run.child.reached, elapsed() - run.renewed
        if since < (self._heartbeat if reached is run.reported else NEWS):
            return True
        run.reported, run.renewed = reached, elapsed()
        return self.store.keep(run.job, None, reached.stage, reached.fraction)

    def _conclude(self, run: Running, ending: Ending) -> None:
        """Have what the child left stored, or say how the job ended without it."""
        if isinstance(ending, Done):
            run.storing = self.hands.take(self._keep, run.job, run.child.folder)
            return
        told = failure(ending, run.child.reached.stage, before=run.job.error)
        self._is_full = self._is_full or isinstance(ending, NoRoom)
        if _may_try_again(run.job, ending):
            log.warning("job %s: %s; it is tried again", run.job.id, told["detail"])
            self.store.retry(run.job, told)
            self._drop(run, "retried")
        else:
            self._finish(run, State.FAILED, error=told)

    def _keep(self, job: Job, folder: Path) -> Results:
        """By a hand; a place that does not answer makes it wait."""
        results = store_results(folder, self.objects, self.settings.max_models_bytes)
        self.store.hold(job, results.names, self.objects.size)
        return results

    def _store(self, run: Running, storing: "Future[Results]") -> None:
        """Say where the results are, or try again to store them."""
        try:
            stored = storing.result()
        except (OSError, *AWAY) as error:  # what was computed is kept until there is a place for it
            log.warning("the results of job %s cannot be stored: %s", run.job.id, brief(error))
            run.storing, run.again = None, elapsed() + timedelta(seconds=AGAIN_SECONDS)
        except BadResultError as error:
            log.exception("job %s left no results", run.job.id)
            run.storing, run.ending = None, Broken(type(error).__name__)
        else:
            self._finish(run, State.SUCCEEDED, report=stored.report.sha256, answers_again=stored.is_whole)

    def _finish(
        self,
        run: Running,
        state: State,
        *,
        report: str | None = None,
        error: StoredProblem | None = None,
        answers_again: bool = False,
    ) -> None:
        ended = self.store.finish(run.job, state, report=report, error=error, answers_again=answers_again)
        if not ended:
            log.warning("the result of job %s came too late", run.job.id)
        self._drop(run, state.value if ended else "cancelled")

    def _drop(self, run: Running, outcome: str) -> None:
        if self.tracer is not None:
            self.tracer.attempt(_attempt(run, self.store.lease, outcome))
        self.hands.take(end, run.child)
        self.running.remove(run)
        self.source.ended(run.job)


def _about(job: Job) -> AbstractContextManager[None]:
    return about(job_id=job.id, trace_id=job.trace_id)


def _attempt(run: Running, lease: timedelta, outcome: str) -> Attempt:
    """What there is to tell of it; a job was claimed a lease before the end of its first one."""
    job, stages = run.job, [(reached.stage, reached.at) for reached in run.child.stages]
    claimed = job.created if job.lease_until is None else job.lease_until - lease
    return Attempt(job.id, job.attempt, job.traceparent, job.created, claimed, stages, outcome)


def _may_try_again(job: Job, ending: Ending) -> bool:
    """Once where the analysis may have provoked it, and as often as with a lost worker where it did not."""
    match ending:
        case NoRoom():
            return job.attempt < MAX_ATTEMPTS
        case Died():
            return job.attempt < MAX_ATTEMPTS if ending.was_lost else ending.may_live_again and job.error is None
    return False
