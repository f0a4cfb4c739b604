"""What is answered where a request goes wrong."""

import asyncio
import errno
import sqlite3
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError

from analysis import errors
from service.app import create_app
from service.problems import URN, Problem, ProblemError, problem
from service.settings import Settings


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    """The application, and routes that go wrong."""
    made = create_app(Settings(data_dir=tmp_path))

    @made.get("/bug")
    async def bug() -> None:
        raise RuntimeError("a secret of the house")

    @made.get("/unsupported")
    async def unsupported() -> None:
        raise errors.UnsupportedOp("Det has no conversion", where="node 'det'", hint="leave it out")

    @made.get("/refused")
    async def refused() -> None:
        raise ProblemError(problem("too-much", HTTPStatus.TOO_MANY_REQUESTS, "wait"), {"Retry-After": "7"})

    @made.get("/validated")
    async def validated(size: int, ratio: float) -> float:
        return size * ratio

    @made.get("/locked")
    async def locked() -> None:
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("database is locked"))

    @made.get("/full")
    async def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    @made.get("/lost")
    async def lost() -> None:
        raise FileNotFoundError(errno.ENOENT, "a secret of the house")

    yield made
    made.state.parts.store.close()


def ask(app: FastAPI, method: str, path: str) -> httpx.Response:
    async def exchange() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path)

    return asyncio.run(exchange())


def problem_in(response: httpx.Response) -> Problem:
    """RFC 9457: the media type, and a status that repeats the response's."""
    assert response.headers["content-type"] == "application/problem+json"
    body = Problem.model_validate(response.json())
    assert body.status == response.status_code
    assert body.type == URN + body.code
    assert body.title
    return body


def test_a_refusal_of_the_library_is_answered_with_its_parts(app: FastAPI) -> None:
    body = problem_in(ask(app, "GET", "/unsupported?secret=1"))
    assert body == Problem(
        type="urn:gradient-health:problem:unsupported-operator",
        title="The model uses operators that have no conversion yet.",
        status=422,
        detail="Det has no conversion",
        code="unsupported-operator",
        where="node 'det'",
        hint="leave it out",
        instance="/unsupported",
    )


def test_a_refusal_of_the_service_keeps_its_headers(app: FastAPI) -> None:
    response = ask(app, "GET", "/refused")
    assert problem_in(response).code == "too-much"
    assert response.headers["retry-after"] == "7"
    assert response.status_code == HTTPStatus.TOO_MANY_REQUESTS


def test_a_database_that_is_locked_is_no_bug_and_worth_another_try(app: FastAPI) -> None:
    response = ask(app, "GET", "/locked")
    body = problem_in(response)
    assert (body.status, body.code, body.instance) == (503, "database-unavailable", "/locked")
    assert int(response.headers["retry-after"]) > 0
    assert "INSERT" not in response.text


def test_a_disk_that_is_full_is_told_and_another_fault_of_files_is_a_bug(app: FastAPI) -> None:
    assert problem_in(ask(app, "GET", "/full")).code == "disk-full"
    body = problem_in(ask(app, "GET", "/lost"))
    assert (body.status, body.code) == (500, "internal-error")


def test_a_bug_shows_no_traceback_and_no_secret(app: FastAPI) -> None:
    response = ask(app, "GET", "/bug")
    assert problem_in(response).code == "internal-error"
    assert response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    for word in ("secret", "Traceback", "RuntimeError", ".py"):
        assert word not in response.text


@pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/%2e%2e/etc/passwd", "/v1/schema/unknown"])
def test_an_unknown_path_is_a_problem_too(app: FastAPI, path: str) -> None:
    body = problem_in(ask(app, "GET", path))
    assert (body.status, body.code) == (404, "not-found")
    assert "/openapi.json" in body.hint


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/healthz", "GET, HEAD, OPTIONS"),
        ("DELETE", "/v1/comparisons", "POST, OPTIONS"),
        ("POST", "/v1/schema/report", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_a_problem_that_names_the_right_one(
    app: FastAPI, method: str, path: str, allowed: str
) -> None:
    response = ask(app, method, path)
    body = problem_in(response)
    assert (body.status, body.code, body.instance) == (405, "method-not-allowed", path)
    assert response.headers["allow"] == allowed
    assert method in body.detail


def test_values_that_do_not_parse_are_all_named_at_once(app: FastAPI) -> None:
    body = problem_in(ask(app, "GET", "/validated?size=many"))
    assert (body.status, body.code) == (400, "bad-request")
    assert body.where == "size, ratio"
    assert "integer" in body.detail
    assert "required" in body.detail


@pytest.mark.parametrize("query", ["wait=soon", "wait=-1", "wait=nan"])
def test_a_bad_query_of_the_api_names_the_parameter(app: FastAPI, query: str) -> None:
    body = problem_in(ask(app, "GET", f"/v1/analyses/some-id/report?{query}"))
    assert (body.status, body.where) == (400, "wait")
