"""How long a request waits, and who decides."""

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from analysis.report import Report
from service.api.waiting import find_job, not_yet, patience
from service.app import create_app
from service.problems import ProblemError
from service.settings import Settings
from tests.service.application import FILES, Service, as_told
from tests.service.jobs.small_jobs import small_job


def test_a_preference_to_be_answered_at_once_is_applied_and_said(service: Service) -> None:
    response = service.submit(headers={"Prefer": "respond-async"})
    assert response.status_code == HTTPStatus.ACCEPTED
    assert response.headers["preference-applied"] == "respond-async"


@pytest.mark.parametrize("prefer", ["wait=0", "wait = 0", "handling=lenient, wait=0", "handling=lenient; wait=0"])
def test_a_preference_to_wait_is_read_as_rfc_7240_writes_it(service: Service, prefer: str) -> None:
    assert service.submit(headers={"Prefer": prefer}).headers["preference-applied"] == "wait=0"


def test_a_preference_to_wait_is_applied_and_said(service: Service) -> None:
    waiting = service.exchange("POST", "/v1/analyses", files=FILES, headers={"Prefer": "wait=1"})
    response, seconds = asyncio.run(timed(waiting))
    assert response.status_code == HTTPStatus.ACCEPTED
    assert response.headers["preference-applied"] == "wait=1"
    assert 1.0 <= seconds < 10.0


async def timed(exchange: Coroutine[Any, Any, httpx.Response]) -> tuple[httpx.Response, float]:
    loop = asyncio.get_running_loop()
    start = loop.time()
    return await exchange, loop.time() - start


def test_a_preference_to_wait_ends_as_soon_as_the_report_is_there(service: Service, healthy: Report) -> None:
    with service.worker(healthy):
        response = service.submit(headers={"Prefer": "wait=60"})
    assert response.status_code == HTTPStatus.OK
    assert response.headers["preference-applied"] == "wait=60"
    assert response.content == as_told(healthy, response)


def test_nobody_is_kept_waiting_by_a_server_that_stops(service: Service) -> None:
    service.parts.drain.begin()
    for query, status in (
        ("?wait=60", HTTPStatus.ACCEPTED),
        ("?wait=60&fail_on=error", HTTPStatus.SERVICE_UNAVAILABLE),
    ):
        response, seconds = asyncio.run(timed(service.exchange("POST", f"/v1/analyses{query}", files=FILES)))
        assert (response.status_code, response.headers["retry-after"]) == (status, "2")
        assert seconds < 30.0


def test_nobody_waits_longer_than_the_operator_allows(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path, default_wait_seconds=0.0, max_wait_seconds=0.2))
    for how in ({"headers": {"Prefer": "wait=3000"}}, {"headers": {}, "params": {"wait": "inf"}}):
        response, seconds = asyncio.run(timed(Service(app).exchange("POST", "/v1/analyses", files=FILES, **how)))
        assert response.status_code == HTTPStatus.ACCEPTED
        assert seconds < 10
    app.state.parts.store.close()


def test_an_unknown_preference_is_ignored(service: Service) -> None:
    response = service.submit(headers={"Prefer": "return=minimal"})
    assert response.status_code == HTTPStatus.ACCEPTED
    assert "preference-applied" not in response.headers


@pytest.mark.parametrize(
    ("wait", "prefer", "seconds", "applied"),
    [
        (None, None, 30.0, None),
        (5.0, None, 5.0, None),
        (1000.0, None, 300.0, None),
        (5.0, "wait=7", 7.0, "wait=7"),
        (None, "wait=1000", 300.0, "wait=300"),
        (5.0, "respond-async, wait=7", 0.0, "respond-async"),
        (5.0, "return=minimal", 5.0, None),
        (5.0, "await=7", 5.0, None),
    ],
)
def test_a_preference_wins_over_the_query_and_the_operator_over_both(
    wait: float | None, prefer: str | None, seconds: float, applied: str | None
) -> None:
    assert patience(Settings(), wait, prefer) == (seconds, applied)


@pytest.mark.parametrize(("gated", "status"), [(False, 409), (True, 503)])
def test_who_comes_too_early_is_told_when_and_where_to_come_back(gated: bool, status: int) -> None:
    job = small_job()
    told = not_yet(job, gated=gated, where="old", headers={"Link": "there"})
    assert (told.problem.status, told.problem.code, told.problem.where) == (status, "not-finished", "old")
    assert told.headers == {"Link": "there", "Retry-After": "2", "Location": f"/v1/analyses/{job.id}"}


def test_a_job_is_found_by_its_tenant_only(service: Service) -> None:
    job = small_job(tenant="mine")
    service.parts.store.submit(job)
    assert find_job(service.parts.store, "mine", job.id) == job
    with pytest.raises(ProblemError) as refused:
        find_job(service.parts.store, "other", job.id, where="new")
    assert (refused.value.problem.status, refused.value.problem.where) == (404, "new")
