"""A real service over a data folder of its own, which may be killed and started again on the same port."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.jobs.job import Job
from service.jobs.store import Store
from service.settings import Settings
from tests.servers import postgres_schema

SECONDS = float(os.environ.get("GRADIENT_HEALTH_TEST_PATIENCE", "60"))
"""Patience with a busy machine."""
MARK = "SERVICE_UNDER_TEST"
"""How the processes of one service are told from all others: in the environment of all of them, as no setting is."""


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"not in {SECONDS:g} s: {what}"
        time.sleep(0.04)


def new_client() -> httpx.Client:
    """One for all requests, each on a connection of its own, as the service comes and goes."""
    return httpx.Client(timeout=2 * SECONDS, limits=httpx.Limits(max_keepalive_connections=0))


@dataclass
class Service:
    """`gradient-health serve`, with settings from the environment."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    port: int = 0
    api: "subprocess.Popen[str] | None" = None
    http: httpx.Client = field(default_factory=new_client)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    # -------------------------------------------------------------- its life

    def start(self) -> None:
        """Returns when analyses can run."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADIENT_HEALTH_")}
        environment |= {MARK: str(self.data), "GRADIENT_HEALTH_DATA_DIR": str(self.data)}
        environment |= {"GRADIENT_HEALTH_PORT": str(self.port), "GRADIENT_HEALTH_CACHE_SECONDS": "0"}  # all is computed
        environment |= {f"GRADIENT_HEALTH_{name.upper()}": str(value) for name, value in self.settings.items()}
        command = [sys.executable, "-m", "service", "serve"]
        with (self.folder / "log").open("ab") as log:
            self.api = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.api.stdout is not None
        with self.api.stdout as said:
            line = said.readline()
        assert line.startswith("listening on http://127.0.0.1:"), self.log
        self.port = int(line.rpartition(":")[2])
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.get("/readyz").is_success, "ready")

    def end(self, number: signal.Signals) -> int:
        """Signal the API process, and wait until nothing of the service is left; its exit code."""
        assert self.api is not None
        self.api.send_signal(number)
        code = self.api.wait(SECONDS)
        self.api = None
        wait_until(lambda: not self.processes(), f"no process left after {number.name}")
        return code

    def kill_everything(self) -> None:
        """As when the power goes."""
        while pids := self.processes():
            for pid in pids:
                kill(pid)
            if self.api is not None:
                self.api.wait(SECONDS)
                self.api = None

    def processes(self, word: str = "") -> list[int]:
        """Living processes of this service whose command line has the word."""
        marked = f"{MARK}={self.data}\0".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if marked in (entry / "environ").read_bytes() and word.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:  # ended, or somebody else's
                continue
        return found

    def supervisor(self) -> int:
        (pid,) = self.processes("-m\0service.worker\0")
        return pid

    def child(self, job_id: str) -> int | None:
        """The process that works in the folder of a job."""
        for pid in self.processes():
            try:
                folder = Path(f"/proc/{pid}/cwd").readlink()
            except OSError:
                continue
            if folder.parent == self.data.resolve() / "work" and folder.name.startswith(job_id):
                return pid
        return None

    # -------------------------------------------------------------- what it knows

    def get(self, path: str, **how: Any) -> httpx.Response:
        return self.http.get(self.url + path, **how)

    def post(
        self, query: str = "", *, prefer: str = "wait=60", key: str | None = None, **parts: bytes | str
    ) -> httpx.Response:
        """Bytes are files, the rest is fields; always multipart."""
        files = {name: (name if isinstance(content, bytes) else None, content) for name, content in parts.items()}
        headers = {"Prefer": prefer} | ({} if key is None else {"Idempotency-Key": key})
        address = f"{self.url}/v1/analyses{query}"
        return self.http.post(address, files=files, headers=headers)

    def submit(self, **parts: bytes | str) -> str:
        """The id of a new job."""
        response = self.post(prefer="respond-async", **parts)
        assert response.status_code == HTTPStatus.ACCEPTED, response.text
        return str(response.json()["id"])

    def submitted(self, key: str) -> str:
        """The id of the job of an idempotency key, as soon as there is one."""
        with self.table() as table:
            wait_until(lambda: table.by_key(key) is not None, f"a job with key {key}")
            job = table.by_key(key)
        assert job is not None
        return job.id

    def view(self, job_id: str) -> dict[str, Any]:
        view: dict[str, Any] = self.get(f"/v1/analyses/{job_id}").json()
        return view

    def until_at_work(self, job_id: str) -> int:
        """The process of a job that has begun to compute."""

        def begun() -> bool:
            view = self.view(job_id)
            assert view["state"] in {"queued", "running"}, f"too fast to be interrupted: {view}"
            return view["progress"]["stage"] in {"probe", "experiment", "prove"} and self.child(job_id) is not None

        wait_until(begun, "a job at work")
        child = self.child(job_id)
        assert child is not None
        return child

    def until_end(self, job_id: str) -> dict[str, Any]:
        wait_until(lambda: self.view(job_id)["finished"] is not None, f"the end of job {job_id}")
        return self.view(job_id)

    def row(self, job_id: str) -> Job:
        """What the table says of a job."""
        with self.table() as table:
            job = table.get(job_id)
        assert job is not None
        return job

    def table(self) -> "closing[Store]":
        return closing(Store(Settings(data_dir=self.data).database))

    def objects(self) -> dict[str, bytes]:
        """Everything stored, by name."""
        return {path.name: path.read_bytes() for path in (self.data / "objects").rglob("*") if path.is_file()}

    def work(self) -> list[str]:
        return [path.name for path in (self.data / "work").iterdir()]


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Service]:
    """A service that has started; nothing of it is left afterwards."""
    service = Service(folder, settings)
    try:
        with service.http:
            service.start()
            yield service
    finally:
        service.kill_everything()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all who leave it as they found it."""
    with serving(tmp_path_factory.mktemp("service"), job_slots=2) as service:
        yield service


@pytest.fixture
def service(running: Service) -> Service:
    """The same, started again where a test has ended it."""
    if running.api is None or running.api.poll() is not None:
        running.kill_everything()
        running.start()
    running.wait_until_ready()
    return running


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A schema of its own, dropped afterwards."""
    with postgres_schema() as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One for a file: its driver keeps an event loop running, which other tests want for themselves."""
    from tests.acceptance.browsing import chromium  # noqa: PLC0415 - which needs what is in here

    with chromium() as opened:
        yield opened
