"""A data folder with a supervisor at work in it, in a thread or in a process, and its children that follow scripts."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.jobs.job import Job, Question, new_id, now
from service.jobs.store import Store
from service.objects.folder import ObjectFolder
from service.settings import Settings
from service.worker.supervisor import Supervisor
from tests.service.worker.scripted_child import GO

SECONDS = 60.0
"""Patience with a busy machine."""
SECRET = {"GRADIENT_HEALTH_DEMO": "postgresql://user:password@host/db"}
INPUTS = (b"a model", b"a batch", b"its weights")


@dataclass(frozen=True)
class Bench:
    """A data folder, and the client's view of its table."""

    folder: Path
    store: Store

    def supervisor(self, **settings: Any) -> Supervisor:
        return Supervisor(Settings(data_dir=self.folder, **{"job_slots": 1} | settings))

    @contextmanager
    def serving(self, **settings: Any) -> Iterator[Supervisor]:
        """A supervisor at work, stopped at the end."""
        supervisor = self.supervisor(**settings)
        thread = threading.Thread(target=supervisor.serve)
        thread.start()
        try:
            yield supervisor
        finally:
            supervisor.stopping.set()
            thread.join(SECONDS)
            supervisor.store.close()
        assert not thread.is_alive()

    def submit(self, script: str) -> Job:
        objects = ObjectFolder(self.folder / "objects")
        model, batch, data = (objects.put(content).sha256 for content in INPUTS)
        question = Question(model, "model.onnx", batch, script, "d" * 64, {"weights.bin": data})
        job = Job(id=new_id(), question=question, created=now())
        self.store.submit(job)
        return job

    def find(self, job: Job) -> Job:
        row = self.store.get(job.id)
        assert row is not None
        return row

    def until(self, job: Job, is_so: Callable[[Job], bool]) -> Job:
        wait_until(lambda: is_so(self.find(job)))
        return self.find(job)

    def until_end(self, job: Job) -> Job:
        return self.until(job, lambda row: row.state.is_end)

    def until_probe(self, job: Job, attempt: int = 1) -> Job:
        """The job, once its child has begun."""
        return self.until(job, lambda row: (row.stage, row.attempt) == ("probe", attempt))

    def work(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "work").iterdir())

    def stored(self) -> list[bytes]:
        """All but what was sent."""
        found = [path.read_bytes() for path in (self.folder / "objects").rglob("*") if path.is_file()]
        return [content for content in found if content not in INPUTS]

    def tell(self, job: Job) -> None:
        """A waiting child goes on."""
        (self.folder / "work" / f"{job.id}.{self.find(job).fence}" / GO).touch()


MAIN = """
from multiprocessing.context import ForkServerContext
import service.worker.children
import service.worker.results
from service.worker.__main__ import main
from tests.service.worker.scripted_child import run_child
service.worker.children.run_child = run_child
service.worker.results.read_report = lambda _: service.worker.results.Said({}, is_whole=True)
ForkServerContext.set_forkserver_preload = lambda *_: None
main()
"""


@contextmanager
def process(bench: Bench) -> Iterator["subprocess.Popen[bytes]"]:
    """`python -m service.worker` with scripted children, killed at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADIENT_HEALTH_")}
    environment |= {
        "GRADIENT_HEALTH_DATA_DIR": str(bench.folder),
        "GRADIENT_HEALTH_JOB_SLOTS": "1",
        **SECRET,
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    with subprocess.Popen([sys.executable, "-c", MAIN], stdin=subprocess.PIPE, env=environment) as started:
        try:
            yield started
        finally:
            started.kill()


def child_of(bench: Bench, job: Job) -> int:
    """The process that works in the folder of a running job."""
    folder = bench.folder.resolve() / "work" / f"{job.id}.{job.fence}"
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder:
                return int(entry.name)
        except OSError:  # gone, or somebody else's
            continue
    raise AssertionError(f"nobody works in {folder}")


def wait_until(is_so: Callable[[], bool], seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def lives(pid: int | None) -> bool:
    """A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
