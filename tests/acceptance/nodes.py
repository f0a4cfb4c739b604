"""Nodes on one database: APIs and workers, each with a data folder of its own, killed and started again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from service.jobs.job import Job
from service.jobs.store import Store

SECONDS = 240.0
"""Patience with a busy machine."""
LEASE = 5.0


@dataclass
class Node:
    """One machine, as it were: a process group and its folder."""

    folder: Path
    command: str
    settings: dict[str, Any]
    process: "subprocess.Popen[str] | None" = None
    url: str = ""

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADIENT_HEALTH_")}
        given = {"data_dir": self.folder / "data", "lease_seconds": LEASE, "cache_seconds": 0} | self.settings
        environment |= {f"GRADIENT_HEALTH_{name.upper()}": str(value) for name, value in given.items()}
        command = [sys.executable, "-m", "service", self.command, *(["--port", "0"] if self.command == "serve" else [])]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self.command == "serve" else log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        if self.command == "serve":
            assert self.process.stdout is not None
            with self.process.stdout as said:
                self.url = said.readline().removeprefix("listening on ").strip()
            assert self.url, self.log

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """As when the power goes. Its children end by themselves: nobody else is told to kill them."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(SECONDS)

    def works_on(self) -> list[str]:
        """Jobs in its working folder."""
        work = self.folder / "data" / "work"
        return [path.name.partition(".")[0] for path in work.iterdir()] if work.exists() else []


@dataclass
class Nodes:
    """An installation."""

    folder: Path
    settings: dict[str, Any]
    store: Store
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=SECONDS))
    apis: list[Node] = field(default_factory=list)
    workers: list[Node] = field(default_factory=list)

    def start(self, apis: int, workers: int) -> None:
        for number in range(apis):
            self.apis.append(self._started(f"api{number}", "serve"))
        for number in range(workers):
            self.workers.append(self._started(f"worker{number}", "worker"))
        wait_until(lambda: sum(self.store.workers().values()) >= workers, "workers are ready")

    def _started(self, name: str, command: str) -> Node:
        node = Node(self.folder / name, command, self.settings)
        node.start()
        return node

    def submit(self, api: int = 0, **parts: Any) -> str:
        files = {name: (name, content) for name, content in parts.items() if isinstance(content, bytes)}
        fields = {name: content for name, content in parts.items() if isinstance(content, str)}
        url = f"{self.apis[api].url}/v1/analyses"
        answer = self.http.post(url, files=files, data=fields, headers={"Prefer": "respond-async"})
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return str(answer.json()["id"])

    def get(self, path: str, api: int = 0, **how: Any) -> httpx.Response:
        return self.http.get(self.apis[api].url + path, **how)

    def row(self, job_id: str) -> Job:
        job = self.store.get(job_id)
        assert job is not None
        return job

    def at_work(self, job_id: str) -> Node:
        """The worker whose child has begun with a job."""
        wait_until(lambda: self.row(job_id).stage not in {"queued", "starting", "files"}, f"job {job_id} at work")
        return next(node for node in self.workers if job_id in node.works_on())

    def until_end(self, job_id: str, seconds: float = SECONDS) -> Job:
        try:
            wait_until(lambda: self.row(job_id).state.is_end, f"the end of {job_id}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.row(job_id)}") from error
        return self.row(job_id)


@contextmanager
def installation(folder: Path, url: str, **settings: Any) -> Iterator[Nodes]:
    """Nobody runs yet; nobody is left afterwards."""
    with ExitStack() as closing:
        store = Store(url, lease_seconds=LEASE)
        closing.callback(store.close)
        nodes = Nodes(folder, {"database_url": url} | settings, store)
        closing.callback(nodes.http.close)
        try:
            yield nodes
        finally:
            for node in [*nodes.workers, *nodes.apis]:
                node.kill()


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not in {seconds:g} s: {what}"
        time.sleep(0.05)
