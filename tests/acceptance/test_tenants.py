"""Two tenants who know of each other all that leaks elsewhere, ids and bytes among it, and get nothing out of it."""

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from http import HTTPStatus

import httpx
import pytest

from tests.acceptance.conftest import Service, serving
from tests.gallery import mlp, vectors, xavier

pytestmark = pytest.mark.server
MODEL, BATCH = mlp(3, "Relu", xavier(), width=16), vectors()
ROUTES = (
    ("GET", ""), ("GET", "/report"), ("GET", "/report?fail_on=error"), ("GET", "/report.html"), ("GET", "/events"),
    ("GET", "/variants/baseline/model.onnx"), ("GET", "/variants/he/model.onnx"), ("POST", "/cancel"), ("DELETE", ""),
)  # fmt: skip
STEPS = 60
SEED = 20261128


class Tenant:
    """Somebody with a key."""

    def __init__(self, service: Service, name: str) -> None:
        command = [sys.executable, "-m", "service", "keys", "create", "--tenant", name]
        told = subprocess.run(
            [*command, "--data-dir", str(service.data)], capture_output=True, text=True, check=True
        ).stdout
        self.http = httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {told.strip()}"}, timeout=120)
        self.jobs: list[str] = []

    def submit(self, seed: int, key: str, *, gate: bool) -> httpx.Response:
        options = json.dumps({"effort": "quick", "seed": seed})
        headers = {"Idempotency-Key": key, "Prefer": "wait=60"}
        address = "/v1/analyses?fail_on=error" if gate else "/v1/analyses"
        answer = self.http.post(
            address, files={"model": MODEL, "batch": BATCH}, data={"options": options}, headers=headers
        )
        self.jobs.append(answer.headers["location"].rpartition("/")[2])
        return answer

    def listed(self) -> set[str]:
        return {job["id"] for job in self.http.get("/v1/analyses", params={"limit": 200}).json()["analyses"]}


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tenant, Tenant]]:
    with serving(tmp_path_factory.mktemp("tenants"), auth="keys", job_slots=2) as service:
        one, other = Tenant(service, "one"), Tenant(service, "other")
        with one.http, other.http:
            yield one, other


def anonymous(answer: httpx.Response, job_id: str) -> tuple[int, str, list[str]]:
    """An answer without the id that was asked for, and without what differs between any two requests."""
    names = sorted(name for name in answer.headers if name not in {"date", "x-request-id"})
    return answer.status_code, answer.text.replace(job_id, "ID"), names


def test_the_job_of_another_is_no_job_by_any_route(tenants: tuple[Tenant, Tenant]) -> None:
    one, other = tenants
    one.submit(0, "first", gate=False)
    theirs, nobodys = one.jobs[0], re.sub("[0-9]", "7", one.jobs[0])
    for method, route in ROUTES:
        foreign, missing = (
            anonymous(other.http.request(method, f"/v1/analyses/{job_id}{route}"), job_id)
            for job_id in (theirs, nobodys)
        )
        assert foreign == missing, (method, route)
        assert foreign[0] == HTTPStatus.NOT_FOUND, (method, route)
    answer = other.http.post("/v1/comparisons", json={"old": theirs, "new": theirs})
    assert answer.status_code == HTTPStatus.NOT_FOUND, answer.text
    assert one.http.get(f"/v1/analyses/{theirs}").json()["state"] == "succeeded"


def test_what_both_ask_at_random_never_meets(tenants: tuple[Tenant, Tenant]) -> None:
    """The same bytes, options and Idempotency-Keys; gates rejoin jobs, but only one's own."""
    chance = random.Random(SEED)
    for _ in range(STEPS):
        who, whose = chance.sample(tenants, 2)
        act = chance.randrange(4)
        if act == 0:
            seed = chance.randrange(3)
            who.submit(seed, f"key {seed}", gate=chance.random() < 0.5)
            assert who.jobs[-1] not in whose.jobs
        elif act == 1:
            assert not who.listed() & set(whose.jobs)
            assert not whose.listed() & set(who.jobs)
        elif whose.jobs:
            method, route = chance.choice(ROUTES)
            answer = who.http.request(method, f"/v1/analyses/{chance.choice(whose.jobs)}{route}")
            assert answer.status_code == HTTPStatus.NOT_FOUND
    for tenant in tenants:
        assert tenant.listed() == set(tenant.jobs)


def test_no_page_of_one_names_the_other(tenants: tuple[Tenant, Tenant]) -> None:
    one, other = tenants
    for address in ("/metrics", "/v1/limits", "/readyz", "/openapi.json"):
        text = other.http.get(address).text
        assert not any(job in text for job in one.jobs)
        assert 'tenant="one"' not in text
