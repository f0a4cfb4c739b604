"""kill -9 at random moments, of any part of the service: what was accepted ends once, and nobody is left behind.

Ten kills, seeded; `GRADIENT_HEALTH_TEST_KILLS=100 python -m pytest -m server tests/acceptance/test_chaos.py` for more.
"""

import json
import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from tests.acceptance.conftest import Service, kill, serving, wait_until
from tests.gallery import mlp, vectors, xavier

pytestmark = pytest.mark.server
KILLS = int(os.environ.get("GRADIENT_HEALTH_TEST_KILLS", "10"))
SEED = int(os.environ.get("GRADIENT_HEALTH_TEST_SEED", "20261128"))
JOBS_PER_KILL = 3
LONGEST_PAUSE = 1.5
GONE_SECONDS = 1.0
MODEL, BATCH = mlp(3, "Relu", xavier(), width=16), vectors()


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


def recover(service: Service, part: str) -> None:
    """Whoever runs the API starts it again; everything else is the service's own business."""
    if part == "api":
        assert service.api is not None
        assert service.api.wait() == -signal.SIGKILL
        service.api = None
        time.sleep(GONE_SECONDS)
        wait_until(lambda: not service.processes(), "no process left")
        service.start()


def test_whatever_is_killed_every_accepted_job_ends_once(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    struck: dict[str, int] = {}
    with serving(tmp_path, job_slots=2) as service:
        client = Client(service)
        while sum(struck.values()) < KILLS:
            part = chance.choice(["api", "supervisor", "fork server", "child"])
            for _ in range(JOBS_PER_KILL):
                client.submit()
            time.sleep(chance.uniform(0, LONGEST_PAUSE))
            if strike(service, part):
                struck[part] = struck.get(part, 0) + 1
                recover(service, part)
        service.wait_until_ready()
        ends = {job_id: service.until_end(job_id) for job_id in client.accepted.values()}
        assert len(ends) == client.asked, "two submissions are one job"
        listed = service.get("/v1/analyses", params={"limit": 200}).json()["analyses"]
        assert client.asked > 200 or {job["id"] for job in listed} == set(ends)
        for job_id, view in ends.items():
            assert_one_end(service, job_id, view["state"])
        wait_until(lambda: service.work() == [], "the working folders removed")
        assert not list((service.data / "objects").glob("*.part"))


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
