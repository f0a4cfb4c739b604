"""Ids of requests, and who did what."""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn

import pytest

from service.access.key import Scope, issue
from service.app import create_app
from service.jobs.job import now
from service.settings import Settings
from service.tracing.tracer import Attempt
from tests.service.application import FILES, WITHOUT_WAITING, Service, job_of

HEX = re.compile("[0-9a-f]{32}")
TRACE = "0af7651916cd43dd8448eb211c80319c"
"""Of the example in W3C Trace Context."""
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_every_answer_has_an_id_of_its_own_or_that_of_its_client(service: Service) -> None:
    first, second = (service.get(path).headers["x-request-id"] for path in ("/healthz", "/nothing"))
    assert HEX.fullmatch(first)
    assert first != second
    given = service.ask("GET", "/healthz", headers={"X-Request-Id": "build-17.2_a"})
    assert given.headers["x-request-id"] == "build-17.2_a"


@pytest.mark.parametrize("strange", ["", "a b", "a" * 65, "x;y", "\u00e9"])
def test_an_id_that_could_be_anything_else_is_replaced(service: Service, strange: str) -> None:
    answer = service.ask("GET", "/healthz", headers={"X-Request-Id": strange.encode()})
    assert HEX.fullmatch(answer.headers["x-request-id"])


def test_a_job_has_the_trace_of_its_request(service: Service) -> None:
    service.submit(headers=WITHOUT_WAITING | {"traceparent": PARENT})
    job = service.claim()
    assert (job.trace_id, job.traceparent) == (TRACE, PARENT)
    service.submit(headers=WITHOUT_WAITING | {"traceparent": f"cc{PARENT[2:]}-of the future"})
    assert service.claim().traceparent == PARENT


@dataclass
class Span:
    """Of a request; keeps how it ended."""

    asked: tuple[str, str | None]
    trace_id: str = "1" * 32
    traceparent: str = f"00-{'1' * 32}-{'2' * 16}-01"
    ended: tuple[str, int] | None = None

    def answered(self, route: str, status: int) -> None:
        assert self.ended is None
        self.ended = (route, status)


class Spans:
    """A tracer that keeps them."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def request(self, method: str, headers: Mapping[str, str]) -> Span:
        self.spans.append(Span((method, headers.get("traceparent"))))
        return self.spans[-1]

    def attempt(self, attempt: Attempt) -> NoReturn:
        raise AssertionError(f"an API node computes nothing, and not {attempt}")

    def close(self) -> None:
        """Nothing."""


def test_where_spans_are_sent_each_request_is_one_and_its_job_part_of_it(tmp_path: Path) -> None:
    tracer = Spans()
    service = Service(create_app(Settings(data_dir=tmp_path, default_wait_seconds=0.0), tracer=tracer))
    service.submit(headers=WITHOUT_WAITING | {"traceparent": PARENT})
    job = service.claim()
    for path in ("/healthz", "/readyz", "/metrics", f"/v1/analyses/{job.id}?secret=1", "/nowhere"):
        service.get(path)
    service.ask("HEAD", "/v1/limits")
    service.parts.store.close()
    submission, view, nowhere, head = tracer.spans
    assert (submission.asked, submission.ended) == (("POST", PARENT), ("/v1/analyses", 202))
    assert (job.trace_id, job.traceparent) == (submission.trace_id, submission.traceparent)
    assert (view.asked, view.ended) == (("GET", None), ("/v1/analyses/{job_id}", 200))
    assert nowhere.ended == ("none", 404)
    assert (head.asked[0], head.ended) == ("HEAD", ("/v1/limits", 200))


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT.replace(TRACE, "0" * 32),
        f"{PARENT}x",
        PARENT.replace("b7ad6b7169203331", "0" * 16),
    ],
)
def test_without_a_trace_the_request_is_one(service: Service, parent: str) -> None:
    answer = service.submit(headers=WITHOUT_WAITING | {"traceparent": parent})
    assert service.claim().trace_id == answer.headers["x-request-id"]
    service.submit(headers=WITHOUT_WAITING | {"X-Request-Id": "mine"})
    job = service.claim()
    assert HEX.fullmatch(job.trace_id or "")
    assert job.traceparent is None


# ------------------------------------------------------------------ who did what


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Service]:
    app = create_app(Settings(data_dir=tmp_path, default_wait_seconds=0.0, auth="keys"))
    yield Service(app)
    app.state.parts.store.close()


def audited(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.__dict__["fields"] for record in caplog.records if record.name == "service.audit"]


def test_whoever_changes_something_is_written_down_and_who_asks_is_not(
    guarded: Service, caplog: pytest.LogCaptureFixture
) -> None:
    key, token = issue("vision", [Scope.READ, Scope.WRITE], now(), None)
    guarded.parts.keys.add(key)
    bearer = {"Authorization": f"Bearer {token}"}
    with caplog.at_level(logging.INFO):
        created = guarded.ask("POST", "/v1/analyses?commit=secret", files=FILES, headers=WITHOUT_WAITING | bearer)
        path = f"/v1/analyses/{job_of(created)}"
        guarded.ask("GET", path, headers=bearer)
        guarded.ask("DELETE", path, headers=bearer)
    submitted, deleted = audited(caplog)
    assert submitted == {
        "who": key.id, "tenant": "vision", "action": "analyze", "method": "POST", "path": "/v1/analyses", "status": 202,
    }  # fmt: skip
    assert (deleted["action"], deleted["path"], deleted["status"]) == ("delete_analysis", path, 204)
    assert token not in caplog.text
    assert "secret" not in str(audited(caplog))


def test_who_is_not_let_in_is_written_down_whatever_was_asked(
    guarded: Service, caplog: pytest.LogCaptureFixture
) -> None:
    key, token = issue("vision", [Scope.READ], now(), None)
    guarded.parts.keys.add(key)
    with caplog.at_level(logging.INFO):
        guarded.get("/v1/analyses")
        guarded.ask("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
        guarded.get("/healthz")
    assert [(line["who"], line["status"]) for line in audited(caplog)] == [
        ("anybody", HTTPStatus.UNAUTHORIZED), ("anybody", HTTPStatus.FORBIDDEN),
    ]  # fmt: skip


def test_requests_are_told_where_that_is_asked_for_and_probes_never(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(create_app(Settings(data_dir=tmp_path, log_format="json")))
    with caplog.at_level(logging.INFO):
        for path in ("/healthz", "/v1/analyses/x?token=secret"):
            service.get(path)
    (told,) = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "request"]
    assert (told["method"], told["route"], told["status"]) == ("GET", "/v1/analyses/{job_id}", 404)
    assert 0 <= told["seconds"] < 60
    service.parts.store.close()
