"""Rates over HTTP: what is told, what is refused, and what is not counted."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from service.access.key import Scope, issue
from service.app import create_app
from service.jobs.job import now
from service.settings import Settings
from tests.service.application import FILES, MODEL, WITHOUT_WAITING, Service, problem_in, stored_files


def service_of(tmp_path: Path, **settings: Any) -> Service:
    return Service(create_app(Settings(data_dir=tmp_path, default_wait_seconds=0.0, **settings)))


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Service]:
    service = service_of(tmp_path, max_submissions_per_minute_per_tenant=2)
    yield service
    service.parts.store.close()


def test_every_answer_tells_what_is_left_and_what_is_too_much_is_refused(limited: Service) -> None:
    first, second, third = (limited.submit() for _ in range(3))
    for answer, left in ((first, 1), (second, 0)):
        assert answer.status_code == HTTPStatus.ACCEPTED
        assert answer.headers["ratelimit-policy"] == '"submissions";q=2;w=60'
        assert answer.headers["ratelimit"].startswith(f'"submissions";r={left};t=')
    told = problem_in(third, HTTPStatus.TOO_MANY_REQUESTS, "rate-limited")
    assert "2 submissions in 60 s" in told.detail
    assert third.headers["ratelimit"].startswith('"submissions";r=0;t=')
    assert 0 < int(third.headers["retry-after"]) <= 60
    assert stored_files(limited) == 2


def test_comparisons_and_blobs_count_and_questions_do_not(limited: Service) -> None:
    for path in ("/v1/analyses", "/v1/limits", "/healthz"):
        assert "ratelimit" not in limited.get(path).headers
    refused = limited.ask("POST", "/v1/comparisons", json={"old": "x", "new": "y"})
    assert refused.headers["ratelimit"].startswith('"submissions";r=1;')
    limited.ask("PUT", f"/v1/blobs/{'a' * 64}", content=b"x")
    problem_in(limited.ask("PUT", f"/v1/blobs/{'a' * 64}", content=b"x"), HTTPStatus.TOO_MANY_REQUESTS, "rate-limited")


def test_a_comparison_on_a_page_counts_like_any_other_and_has_no_bytes(tmp_path: Path) -> None:
    service = service_of(tmp_path, max_submissions_per_minute_per_tenant=1, max_bytes_per_day_per_tenant=1)
    asked = [service.get("/compare?old=x&new=y").status_code for _ in range(2)]
    assert asked == [HTTPStatus.NOT_FOUND, HTTPStatus.TOO_MANY_REQUESTS]
    service.parts.store.close()


def test_bytes_of_a_day_are_counted_by_what_a_request_announces(tmp_path: Path) -> None:
    service = service_of(tmp_path, max_bytes_per_day_per_tenant=2000)
    answer = service.submit(files={"model": MODEL})
    assert answer.status_code == HTTPStatus.ACCEPTED
    assert answer.headers["ratelimit-policy"] == '"bytes";q=2000;w=86400;qu="content-bytes"'
    left = int(answer.headers["ratelimit"].split("r=")[1].split(";")[0])
    assert left == 2000 - int(answer.request.headers["content-length"])
    refused = service.submit(files={"model": MODEL * 1000})
    problem_in(refused, HTTPStatus.TOO_MANY_REQUESTS, "rate-limited")

    async def chunks() -> Any:
        yield b"x"

    silent = service.ask("PUT", f"/v1/blobs/{'a' * 64}", content=chunks())
    assert problem_in(silent, HTTPStatus.LENGTH_REQUIRED, "length-required").where == "Content-Length"
    service.parts.store.close()


def test_tenants_have_rates_of_their_own_and_who_is_not_let_in_has_none(tmp_path: Path) -> None:
    service = service_of(tmp_path, auth="keys", max_submissions_per_minute_per_tenant=1)

    def submit(headers: dict[str, str]) -> int:
        return service.ask("POST", "/v1/analyses", files=FILES, headers=WITHOUT_WAITING | headers).status_code

    for tenant in ("one", "two"):
        key, token = issue(tenant, [Scope.WRITE], now(), None)
        service.parts.keys.add(key)
        bearer = {"Authorization": f"Bearer {token}"}
        assert (submit({}), submit(bearer), submit(bearer)) == (401, 202, 429)
    service.parts.store.close()


def test_by_default_nothing_is_counted(service: Service) -> None:
    assert "ratelimit" not in service.submit().headers
