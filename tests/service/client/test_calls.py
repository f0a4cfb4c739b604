"""What is asked of the service, request by request."""

import httpx
import pytest

from service.client import calls
from service.client.steps import Call, Done, Send, next_of


def request_of(call: Call[object]) -> Send:
    step = next_of(call)
    assert isinstance(step, Send)
    call.close()
    return step


def test_a_submission_says_what_it_is_once() -> None:
    first, second = (request_of(calls.submit(b"model", None, None)).how["headers"] for _ in range(2))
    assert first["Prefer"] == "respond-async"
    assert first["Idempotency-Key"] != second["Idempotency-Key"]
    own = request_of(calls.submit(b"model", None, {"seed": 1}, idempotency_key="k", labels={"commit": "c"}))
    assert own.how["headers"]["Idempotency-Key"] == "k"
    assert own.how["params"] == {"commit": "c"}
    assert own.how["data"] == {"options": '{"seed":1}'}


def test_a_submission_may_want_to_be_told_and_to_be_computed_anew() -> None:
    usual = request_of(calls.submit(b"model", None, None))
    assert (usual.how["params"], "Cache-Control" in usual.how["headers"]) == ({}, False)
    told = request_of(calls.submit(b"model", None, None, callback="https://ci.example/x", no_cache=True))
    assert told.how["params"] == {"callback": "https://ci.example/x"}
    assert told.how["headers"]["Cache-Control"] == "no-cache"


def test_an_analysis_says_all_that_a_submission_may_say() -> None:
    said = {"labels": {"commit": "c"}, "idempotency_key": "k", "callback": "https://ci.example/x", "no_cache": True}
    request = request_of(calls.analyze(b"model", None, None, **said, timeout=1.0))  # type: ignore[arg-type]
    assert request.how["params"] == {"commit": "c", "callback": "https://ci.example/x"}
    assert request.how["headers"] == {
        "Prefer": "respond-async", "Idempotency-Key": "k", "Cache-Control": "no-cache",
    }  # fmt: skip
    assert request_of(calls.analyze(b"model", None, None, blobs=True)).path.startswith("/v1/blobs/")


@pytest.mark.parametrize(
    ("call", "method", "path"),
    [
        (calls.job_of("j"), "GET", "/v1/analyses/j"),
        (calls.report_of("j"), "GET", "/v1/analyses/j/report"),
        (calls.report_as("j", "a/b"), "GET", "/v1/analyses/j/report.a%2Fb"),
        (calls.cancel("j"), "POST", "/v1/analyses/j/cancel"),
        (calls.delete("j"), "DELETE", "/v1/analyses/j"),
        (calls.page(["running"], None, "c"), "GET", "/v1/analyses"),
        (calls.compare("a", "b", "error"), "POST", "/v1/comparisons"),
        (calls.is_ready(), "GET", "/readyz"),
    ],
)  # fmt: skip
def test_every_call_knows_its_place(call: Call[object], method: str, path: str) -> None:
    step = request_of(call)
    assert (step.method, step.path) == (method, path)


def test_nobody_there_is_not_ready() -> None:
    call = calls.is_ready()
    next_of(call)
    assert next_of(call, error=httpx.ConnectError("no")) == Done(False)


@pytest.mark.parametrize(
    ("key", "sent"), [("k", {"Authorization": "Bearer k"}), ("", {}), (" k\n", {"Authorization": "Bearer k"})]
)
def test_a_connection_has_the_key_and_no_slash_at_its_end(key: str, sent: dict[str, str]) -> None:
    made = calls.connection("http://localhost/", key, 3.0)
    assert made == {"base_url": "http://localhost", "timeout": 3.0, "headers": sent}
