"""kill -9 at random moments, of any part of an installation: what was accepted ends once, and nobody is left behind.

Four kills in each of four, seeded; `GRADIENT_HEALTH_TEST_KILLS=100 python -m pytest -m server --log-cli-level=INFO
tests/acceptance/test_chaos.py` for more, and for the figures.
"""

import json
import logging
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from tests.acceptance.conftest import MARK, Service, kill, serving, wait_until
from tests.gallery import mlp, vectors, xavier
from tests.servers import BROKERS, broker

pytestmark = [pytest.mark.server, pytest.mark.xdist_group(BROKERS)]
KINDS = ("embedded on SQLite", "embedded on PostgreSQL", "polling", "Celery")
KILLS = int(os.environ.get("GRADIENT_HEALTH_TEST_KILLS", "16"))
"""In all of them together."""
SEED = int(os.environ.get("GRADIENT_HEALTH_TEST_SEED", "20261128"))
JOBS_PER_KILL = 3
LONGEST_PAUSE = 1.5
GONE_SECONDS = 1.0
log = logging.getLogger(__name__)
MODEL, BATCH = mlp(3, "Relu", xavier(), width=16), vectors()


@dataclass
class Installation:
    """A service, and the worker that computes for it where it does not do so by itself."""

    service: Service
    worker: "subprocess.Popen[bytes] | None" = None
    has_worker: bool = False
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    """By what was killed: seconds until a job is computed again."""

    @property
    def work(self) -> list[Path]:
        """Working folders of jobs."""
        return list((self.service.folder / ("worker" if self.has_worker else "data") / "work").iterdir())

    def keep_worker(self) -> None:
        """Whoever runs it starts it again where it has died."""
        if not self.has_worker or (self.worker is not None and self.worker.poll() is None):
            return
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADIENT_HEALTH_")}
        given = self.service.settings | {"data_dir": self.service.folder / "worker"}
        environment |= {f"GRADIENT_HEALTH_{name.upper()}": str(value) for name, value in given.items()}
        environment[MARK] = str(self.service.data)  # its processes are found among those of the service
        with (self.service.folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "service", "worker"]
            self.worker = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self) -> None:
        if self.worker is not None:
            self.worker.kill()
            self.worker.wait()


@pytest.fixture
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """Of the kind that is asked for, at work."""
    kind = request.param
    settings = {"job_slots": 2, "lease_seconds": 5}
    if kind != "embedded on SQLite":
        settings["database_url"] = request.getfixturevalue("postgres_url")
    if kind in {"polling", "Celery"}:
        settings |= {"objects_url": f"file://{tmp_path}/objects", "runner": "poll"}
    if kind == "Celery":
        settings |= {"runner": "celery", "broker_url": broker("rabbitmq")}
    with ExitStack() as closing_all:
        service = closing_all.enter_context(serving(tmp_path, **settings))
        made = Installation(service, has_worker=kind in {"polling", "Celery"})
        closing_all.callback(made.stop)
        made.keep_worker()
        yield made


@dataclass
class Client:
    """Submits until it is told that a job was accepted, and remembers each."""

    service: Service
    accepted: dict[str, str] = field(default_factory=dict)
    """Key -> id of the job."""
    asked: int = 0

    def submit(self) -> None:
        key, options = f"key {self.asked}", json.dumps({"effort": "quick", "seed": self.asked})
        self.asked += 1
        while key not in self.accepted:
            try:
                answer = self.service.post(prefer="respond-async", key=key, model=MODEL, batch=BATCH, options=options)
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
                time.sleep(float(answer.headers["retry-after"]))
                continue
            assert answer.status_code in {HTTPStatus.ACCEPTED, HTTPStatus.OK}, answer.text
            self.accepted[key] = answer.headers["location"].rpartition("/")[2]

    def going_on(self) -> bool:
        """Whether a job waits or runs."""
        asked = {"state": ["queued", "running"], "limit": 1}
        return bool(self.service.get("/v1/analyses", params=asked).json()["analyses"])

    def listed(self) -> set[str]:
        """All jobs that the service knows."""
        found: set[str] = set()
        page = {"next": ""}
        while page["next"] is not None:
            asked = {"limit": 100} | ({"cursor": page["next"]} if page["next"] else {})
            page = self.service.get("/v1/analyses", params=asked).json()
            found |= {job["id"] for job in page["analyses"]}
        return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def strike(service: Service, part: str) -> bool:
    """Kill one process; False: there is none of this kind at the moment."""
    try:
        victims = victims_of(service, part)
    except (OSError, ValueError):  # they come and go
        return False
    if not victims:
        return False
    kill(victims[0])
    return True


def victims_of(service: Service, part: str) -> list[int]:
    if part == "api":
        return [] if service.api is None else [service.api.pid]
    supervisor = service.supervisor()
    if part == "supervisor":
        return [supervisor]
    forked = service.processes("multiprocessing.forkserver")
    servers = [pid for pid in forked if parent_of(pid) == supervisor]
    return servers if part == "fork server" else [pid for pid in forked if parent_of(pid) in servers]


def recover(made: Installation, part: str) -> None:
    """Whoever runs the API and the worker starts them again; everything else is their own business."""
    service = made.service
    if part == "api":
        assert service.api is not None
        assert service.api.wait() == -signal.SIGKILL
        service.api = None
        if not made.has_worker:
            time.sleep(GONE_SECONDS)
            wait_until(lambda: not service.processes(), "no process left")
        service.start()
    if part == "supervisor" and made.worker is not None:
        made.worker.wait()
    made.keep_worker()


def until_at_work(made: Installation, client: Client) -> None:
    """A child computes, or nothing is left to compute."""

    def at_work() -> bool:
        try:
            return bool(victims_of(made.service, "child")) or not client.going_on()
        except (OSError, ValueError, httpx.TransportError):  # they come and go
            return False

    wait_until(at_work, "a job is computed again")


@pytest.mark.parametrize("installation", KINDS, indirect=True)
def test_whatever_is_killed_every_accepted_job_ends_once(
    installation: Installation, request: pytest.FixtureRequest
) -> None:
    chance, struck = random.Random(f"{SEED} {request.node.name}"), Counter[str]()
    service, client = installation.service, Client(installation.service)
    while struck.total() < KILLS / len(KINDS):
        part = chance.choice(["api", "supervisor", "fork server", "child"])
        for _ in range(JOBS_PER_KILL):
            client.submit()
        time.sleep(chance.uniform(0, LONGEST_PAUSE))
        before = time.monotonic()
        if strike(service, part):
            struck[part] += 1
            recover(installation, part)
            until_at_work(installation, client)
            installation.recoveries.setdefault(part, []).append(time.monotonic() - before)
    service.wait_until_ready()
    ends = {job_id: service.until_end(job_id)["state"] for job_id in client.accepted.values()}
    assert len(ends) == client.asked, "two submissions are one job"
    assert client.listed() == set(ends), "a job that nobody submitted, or one too few"
    for job_id, state in ends.items():
        assert_one_end(service, job_id, state)
    wait_until(lambda: installation.work == [], "the working folders removed")
    assert not list(service.folder.rglob("*.part"))
    tell(request.node.name, installation, struck, client, Counter(ends.values()))


def tell(name: str, made: Installation, struck: Mapping[str, int], client: Client, ends: Mapping[str, int]) -> None:
    """The figures, for whoever runs it for them."""
    log.info("%s: %s killed; %d accepted, ended: %s", name, dict(struck), client.asked, dict(ends))
    for part, seconds in made.recoveries.items():
        log.info("%s: at work again after %.1f s, at most %.1f s", part, statistics.median(seconds), max(seconds))


def assert_one_end(service: Service, job_id: str, state: str) -> None:
    """A report that stays what it is, or the problem of a job that was killed too often."""
    first, again = (service.get(f"/v1/analyses/{job_id}/report") for _ in range(2))
    assert first.content == again.content
    if state == "succeeded":
        assert (first.status_code, first.json()["id"]) == (HTTPStatus.OK, job_id)
    else:
        assert (state, first.json()["code"]) in {("failed", "worker-crashed"), ("failed", "worker-lost")}


def test_a_job_table_that_somebody_holds_is_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path, job_slots=1) as service:
        with closing(sqlite3.connect(service.data / "jobs.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            refused = service.post(prefer="respond-async", model=MODEL, batch=BATCH)
            assert (refused.status_code, refused.headers["retry-after"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "5")
            other.execute("ROLLBACK")
        assert service.post(model=MODEL, batch=BATCH, options='{"effort": "quick"}').status_code == HTTPStatus.OK
