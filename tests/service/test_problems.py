import asyncio
import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from analysis import errors
from service.app import create_app
from service.problems import MEDIA_TYPE, STATUS, URN, Problem, ProblemError, problem, problem_of, refusal, status_of
from service.settings import Settings

EXPECTED = {
    errors.BadInput: HTTPStatus.BAD_REQUEST,
    errors.LimitExceeded: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.Unsupported: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ConversionMismatch: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.BadReport: HTTPStatus.UNPROCESSABLE_ENTITY,
}


def below(kind: type[errors.AnalysisError]) -> list[type[errors.AnalysisError]]:
    return [each for child in kind.__subclasses__() for each in (child, *below(child))]


KINDS = [kind for kind in below(errors.AnalysisError) if kind.__module__ == "analysis.errors"]


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

    yield made
    made.state.context.store.close()


def ask(app: FastAPI, method: str, path: str) -> httpx.Response:
    async def exchange() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
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


# ------------------------------------------------------------------ the table


@pytest.mark.parametrize("kind", KINDS)
def test_every_refusal_of_the_library_has_a_status(kind: type[errors.AnalysisError]) -> None:
    expected = {status for ancestor, status in EXPECTED.items() if issubclass(kind, ancestor)}
    assert {status_of(kind)} == expected


def test_the_table_and_the_error_tree_name_the_same_branches() -> None:
    assert dict(STATUS) == EXPECTED
    assert set(STATUS) == set(errors.AnalysisError.__subclasses__())
    assert len(KINDS) >= 14


def test_a_new_refusal_has_the_status_of_its_branch() -> None:
    class Brandnew(errors.BadBatch):
        """Not known to the table."""

    assert status_of(Brandnew) == HTTPStatus.BAD_REQUEST


def test_an_error_outside_of_all_branches_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        status_of(errors.AnalysisError)


@pytest.mark.parametrize("kind", KINDS)
def test_a_problem_says_what_where_and_the_way_out(kind: type[errors.AnalysisError]) -> None:
    told = problem_of(kind("the detail", where="the place", hint="the way out"))
    assert (told.detail, told.where, told.hint) == ("the detail", "the place", "the way out")
    assert told.type == f"urn:gradient-health:problem:{kind.code}"
    assert told.title == (kind.__doc__ or "").strip()
    assert told.status == status_of(kind)
    assert "\n" not in told.title


def test_codes_are_distinct() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)


def test_a_refusal_without_words_speaks_for_its_kind() -> None:
    assert problem_of(errors.NotOnnx()).detail == "The file is not an ONNX model."


def test_a_problem_survives_being_stored() -> None:
    given = problem_of(errors.BadBatch("expected [N, 32]", where="x")).model_copy(update={"instance": "/v1/analyses/1"})
    assert Problem.model_validate(json.loads(json.dumps(given.model_dump()))) == given


def test_the_example_of_the_schema_is_a_problem() -> None:
    schema = Problem.model_json_schema()
    assert Problem.model_validate(schema["example"]).code == "bad-batch"


def test_a_raised_problem_reads_like_its_detail() -> None:
    assert str(refusal("gone", HTTPStatus.GONE, "it was deleted")) == "it was deleted"


# ------------------------------------------------------------------ answers


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


def test_a_bug_shows_no_traceback_and_no_secret(app: FastAPI) -> None:
    response = ask(app, "GET", "/bug")
    assert problem_in(response).code == "internal-error"
    assert response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR
    for word in ("secret", "Traceback", "RuntimeError", ".py"):
        assert word not in response.text


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/%2e%2e/etc/passwd", "/v1/schema/unknown"])
def test_an_unknown_path_is_a_problem_too(app: FastAPI, path: str) -> None:
    body = problem_in(ask(app, "GET", path))
    assert (body.status, body.code) == (404, "not-found")
    assert "/openapi.json" in body.hint


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("PUT", "/healthz", "GET"), ("DELETE", "/v1/analyses", "POST"), ("POST", "/v1/schema/report", "GET")],
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


def test_the_media_type_is_that_of_rfc_9457() -> None:
    assert MEDIA_TYPE == "application/problem+json"
