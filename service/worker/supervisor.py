"""Claims jobs, starts a child for each, watches it, and writes the one result that counts.

Run as `python -m service.worker.supervisor`; one per data folder (a lock says so). It stops when its standard input
closes: whoever started it holds the other end, so it never outlives the service. Children come from a fork server that
has torch loaded, and die with the supervisor.
"""

import fcntl
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from service.jobs.job import Job, State, now
from service.jobs.store import Store
from service.objects.blob import Objects
from service.objects.folder import ObjectFolder
from service.problems import problem, problem_of
from service.settings import Settings
from service.worker.protocol import Assignment, Broken, Done, Message, Progress, Refused, run_child
from service.worker.sandbox import Confinement

POLL_SECONDS: Final = 0.05
HEARTBEAT: Final = timedelta(seconds=5)
LARGEST_REPORT: Final = 1 << 30
GRACE_SECONDS: Final = 5.0
PRELOADED: Final = ["service.worker.child", "service.worker.supervisor"]
"""The second because a child imports the main module of its parent: half a second each, were it not there already."""
log = logging.getLogger(__name__)

LOST: Final = problem(
    "worker-lost",
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "the worker vanished during every attempt",
    hint="the model may exceed the machine; see /readyz and the logs",
).model_dump()
BUG: Final = problem(
    "internal-error", HTTPStatus.INTERNAL_SERVER_ERROR, "an unexpected error ended the analysis; it was logged"
).model_dump()


@dataclass(slots=True)
class Running:
    """A child at work."""

    job: Job
    process: ForkServerProcess
    pipe: Connection
    folder: Path
    paths: ExitStack
    deadline: datetime
    progress: Progress = field(default_factory=lambda: Progress("starting", 0.0))
    reported: Progress | None = None
    renewed: datetime = field(default_factory=now)


class Supervisor:
    """One per data folder."""

    def __init__(self, settings: Settings) -> None:
        """Nothing runs yet."""
        self.settings = settings.prepare()
        self.owner = f"{socket.gethostname()}:{settings.data_dir.resolve()}"
        self.store = Store(settings.database)
        self.objects: Objects = ObjectFolder(settings.objects_dir)
        self.context: ForkServerContext = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)
        self.running: list[Running] = []
        self.stopping = threading.Event()
        self._seen = datetime.min.replace(tzinfo=now().tzinfo)
        self._ready = False

    def serve(self) -> None:
        """Until told to stop; running jobs are given back then."""
        self.store.reap(now(), LOST, owner=self.owner)
        shutil.rmtree(self.settings.work_dir, ignore_errors=True)
        self.settings.work_dir.mkdir(parents=True)
        self.objects.sweep()
        self.store.seen(self.owner, now(), ready=False)
        self._warm_up()
        while not self.stopping.is_set():
            self._beat()
            for child in list(self.running):
                self._watch(child)
            if not self._claim():
                self._listen()
        for child in list(self.running):
            self._clean(child)
            self.store.release(child.job)

    def _warm_up(self) -> None:
        """Start the fork server before the first job has to wait for it."""
        receiver, sender = self.context.Pipe(duplex=False)
        process = self.context.Process(target=run_child, args=(None, sender))
        process.start()
        sender.close()
        receiver.recv()
        process.join()
        self._ready = True

    def _beat(self) -> None:
        if now() - self._seen > HEARTBEAT:
            self._seen = now()
            self.store.seen(self.owner, self._seen, ready=self._ready)
            self.store.reap(self._seen, LOST)

    def _claim(self) -> bool:
        """Start the next job if there is one and a slot for it."""
        if len(self.running) >= self.settings.job_slots:
            return False
        job = self.store.claim(self.owner, now())
        if job is not None:
            self.running.append(self._start(job))
        return job is not None

    def _start(self, job: Job) -> Running:
        folder = self.settings.work_dir / f"{job.id}.{job.fence}"
        folder.mkdir()
        paths = ExitStack()
        assignment = self._assignment(job, folder, paths)
        receiver, sender = self.context.Pipe(duplex=False)
        process = self.context.Process(target=run_child, args=(assignment, sender), daemon=True)
        process.start()
        sender.close()
        deadline = now() + timedelta(seconds=self.settings.max_job_seconds)
        return Running(job, process, receiver, folder, paths, deadline)

    def _assignment(self, job: Job, folder: Path, paths: ExitStack) -> Assignment:
        """What a child is told; its files can be read until `paths` is closed."""
        request, settings = job.request, self.settings
        batch = request.batch_sha256
        return Assignment(
            model=paths.enter_context(self.objects.local(request.model_sha256)),
            model_name=request.model_name,
            batch=None if batch is None else paths.enter_context(self.objects.local(batch)),
            options=request.options,
            models_bytes=settings.max_models_bytes,
            confinement=Confinement(
                folder=folder,
                memory_bytes=settings.max_job_memory_bytes,
                cpu_seconds=int(settings.max_job_seconds) + 60,
                file_bytes=LARGEST_REPORT + settings.max_models_bytes,
            ),
        )

    def _listen(self) -> None:
        """Wait for a message, but never long."""
        pipes = [child.pipe for child in self.running]
        if pipes:
            multiprocessing.connection.wait(pipes, POLL_SECONDS)
        else:
            self.stopping.wait(POLL_SECONDS)

    def _watch(self, child: Running) -> None:
        while child.pipe.poll():
            try:
                message = child.pipe.recv()
            except (EOFError, OSError):  # OSError: it died in the middle of a message
                self._end(child, State.FAILED, error=_death(child))
                return
            if self._hear(child, message):
                return
        if now() > child.deadline:
            self._end(child, State.EXPIRED, error=_expired(self.settings.max_job_seconds))
        elif not self._renew(child):
            log.warning("job %s was taken over", child.job.id)
            self._clean(child)

    def _hear(self, child: Running, message: Message) -> bool:
        """React to a message; True when the child has ended."""
        if isinstance(message, Progress):
            child.progress = message
            return False
        if isinstance(message, Done):
            for path in sorted(message.models.glob("*.onnx")):
                self.objects.take(path)
            self._end(child, State.SUCCEEDED, report=self.objects.take(message.report).sha256)
        elif isinstance(message, Refused):
            self._end(child, State.FAILED, error=problem_of(message.error).model_dump())
        elif isinstance(message, Broken):
            self._end(child, State.FAILED, error=BUG)
        return True

    def _renew(self, child: Running) -> bool:
        """Keep the lease and write progress where it changed; False: the job is no longer ours."""
        if child.progress is child.reported and now() - child.renewed < HEARTBEAT:
            return True
        child.reported, child.renewed = child.progress, now()
        return self.store.keep(child.job, child.renewed, child.progress.stage, child.progress.fraction)

    def _end(
        self, child: Running, state: State, *, report: str | None = None, error: dict[str, Any] | None = None
    ) -> None:
        if not self.store.finish(child.job, state, now(), report=report, error=error):
            log.warning("the result of job %s came too late", child.job.id)
        self._clean(child)

    def _clean(self, child: Running) -> None:
        self._kill(child)
        child.pipe.close()
        child.paths.close()
        shutil.rmtree(child.folder, ignore_errors=True)
        self.running.remove(child)

    def _kill(self, child: Running) -> None:
        child.process.join(timeout=0.2)
        if child.process.is_alive():
            child.process.terminate()
            child.process.join(timeout=GRACE_SECONDS)
        if child.process.is_alive():
            child.process.kill()
            child.process.join()


def _death(child: Running) -> dict[str, Any]:
    """A child that ended without a word."""
    child.process.join(timeout=GRACE_SECONDS)
    code = child.process.exitcode or 0
    cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    detail = f"the analysis died of {cause} in stage {child.progress.stage!r}"
    hint = "it may have run out of memory: send a smaller batch"
    return problem("worker-crashed", HTTPStatus.INTERNAL_SERVER_ERROR, detail, hint=hint).model_dump()


def _expired(seconds: float) -> dict[str, Any]:
    detail = f"the analysis took longer than {seconds:g} s"
    hint = "use options.effort=quick or a smaller batch"
    return problem("job-expired", HTTPStatus.UNPROCESSABLE_ENTITY, detail, hint=hint).model_dump()


class Lock:
    """One supervisor per data folder."""

    def __init__(self, folder: Path) -> None:
        """Not yet held."""
        self._descriptor = os.open(folder / "supervisor.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        """Wait for a predecessor that is still ending."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let go."""
        os.close(self._descriptor)


def main() -> None:
    """Serve until standard input closes or a signal comes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings().prepare()
    with Lock(settings.data_dir):
        supervisor = Supervisor(settings)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stopping.set())
        threading.Thread(target=_stop_with_parent, args=(supervisor,), daemon=True).start()
        supervisor.serve()


def _stop_with_parent(supervisor: Supervisor) -> None:
    """Not through sys.stdin, whose lock this thread would still hold when the interpreter ends."""
    while os.read(0, 1):
        pass
    supervisor.stopping.set()


if __name__ == "__main__":
    main()
