"""Blobs over HTTP: sent ahead, named by forms, and nobody's business but their tenant's."""

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.access.key import Scope, issue
from service.app import create_app
from service.jobs.job import now
from service.settings import Settings
from tests.service.application import BATCH, MODEL, WITHOUT_WAITING, Service, problem_in, stored_files


def name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(service: Service, content: bytes, **how: Any) -> httpx.Response:
    return service.ask("PUT", f"/v1/blobs/{name_of(content)}", content=content, **how)


def named(service: Service, headers: dict[str, str] | None = None, **blobs: Any) -> httpx.Response:
    sent = WITHOUT_WAITING | (headers or {})
    return service.ask("POST", "/v1/analyses", files={"blobs": (None, json.dumps(blobs))}, headers=sent)


def test_a_blob_is_created_once_and_can_be_asked_for(service: Service) -> None:
    path = f"/v1/blobs/{name_of(MODEL)}"
    problem_in(service.get(path), HTTPStatus.NOT_FOUND, "no-such-blob")
    assert service.ask("HEAD", path).status_code == HTTPStatus.NOT_FOUND
    created, again = put(service, MODEL), put(service, MODEL)
    assert (created.status_code, again.status_code) == (HTTPStatus.CREATED, HTTPStatus.OK)
    for answer in (created, again, service.get(path)):
        assert (answer.json()["sha256"], answer.json()["size"]) == (name_of(MODEL), len(MODEL))
        assert datetime.fromisoformat(answer.json()["kept_until"]) - now() > timedelta(minutes=59)
    assert (created.headers["location"], service.ask("HEAD", path).status_code) == (path, HTTPStatus.OK)
    assert service.parts.objects.get(name_of(MODEL)) == MODEL


def test_an_analysis_may_name_blobs_in_place_of_files(service: Service) -> None:
    for content in (MODEL, BATCH, b"weights"):
        put(service, content)
    data = {"weights.bin": name_of(b"weights")}
    answer = named(service, model=name_of(MODEL), model_name="n.onnx", batch=name_of(BATCH), external_data=data)
    assert answer.status_code == HTTPStatus.ACCEPTED
    question = service.claim().question
    assert (question.model_sha256, question.batch_sha256) == (name_of(MODEL), name_of(BATCH))
    assert (question.model_name, question.data_files) == ("n.onnx", data)


def test_the_same_bytes_are_the_same_question_however_they_came(service: Service) -> None:
    for content in (MODEL, BATCH):
        put(service, content)
    gate = {"Idempotency-Key": "the same"}
    first = named(service, gate, model=name_of(MODEL), batch=name_of(BATCH))
    second = service.submit(headers=WITHOUT_WAITING | gate)
    assert (first.status_code, first.json()) == (HTTPStatus.ACCEPTED, second.json())


def test_a_body_with_another_content_is_refused(service: Service) -> None:
    answer = service.ask("PUT", f"/v1/blobs/{name_of(MODEL)}", content=MODEL + b"!")
    told = problem_in(answer, HTTPStatus.BAD_REQUEST, "digest-mismatch")
    assert name_of(MODEL + b"!") in told.detail
    assert stored_files(service) == 0
    assert service.ask("HEAD", f"/v1/blobs/{name_of(MODEL)}").status_code == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize("name", ["a", "A" * 64, "a" * 65, "g" * 64, "a" * 63 + "%0A"])
def test_what_is_no_sha256_names_no_blob(service: Service, name: str) -> None:
    for method in ("PUT", "GET"):
        answer = service.ask(method, f"/v1/blobs/{name}", content=b"x" if method == "PUT" else None)
        problem_in(answer, HTTPStatus.BAD_REQUEST, "bad-request")


def test_what_other_tenants_have_is_answered_like_what_nobody_has(guarded: Service) -> None:
    one, two = (key_for(guarded, tenant) for tenant in ("one", "two"))
    assert put(guarded, MODEL, headers=one).status_code == HTTPStatus.CREATED
    theirs, nobodys = name_of(MODEL), name_of(b"nothing")

    def told(answer: httpx.Response, name: str) -> tuple[int, str]:
        return answer.status_code, answer.text.replace(name, "NAME")

    for method in ("GET", "HEAD"):
        answers = [guarded.ask(method, f"/v1/blobs/{name}", headers=two) for name in (theirs, nobodys)]
        assert told(answers[0], theirs) == told(answers[1], nobodys)
        assert answers[0].status_code == HTTPStatus.NOT_FOUND
    answers = [named(guarded, two, model=name) for name in (theirs, nobodys)]
    assert told(answers[0], theirs) == told(answers[1], nobodys)
    problem_in(answers[0], HTTPStatus.UNPROCESSABLE_ENTITY, "no-such-blob")
    file = guarded.folder / theirs[:2] / theirs
    before = file.stat().st_ino
    assert put(guarded, MODEL, headers=two).status_code == HTTPStatus.CREATED  # stored, as if nobody had it
    assert file.stat().st_ino != before
    assert named(guarded, one, model=theirs).status_code == HTTPStatus.ACCEPTED


def test_who_may_only_read_sends_nothing(guarded: Service) -> None:
    reading = key_for(guarded, "one", Scope.READ)
    problem_in(put(guarded, MODEL, headers=reading), HTTPStatus.FORBIDDEN, "forbidden")
    assert stored_files(guarded) == 0


def test_the_blobs_of_a_tenant_have_a_limit(tmp_path: Path) -> None:
    service = Service(create_app(Settings(data_dir=tmp_path, max_blob_bytes_per_tenant=10_000)))
    assert put(service, b"x" * 5000).status_code == HTTPStatus.CREATED
    answer = put(service, b"y" * 5000)
    problem_in(answer, HTTPStatus.TOO_MANY_REQUESTS, "quota-exceeded")
    assert int(answer.headers["retry-after"]) > 0
    assert put(service, b"y" * 500).status_code == HTTPStatus.CREATED
    service.parts.store.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Service]:
    app = create_app(Settings(data_dir=tmp_path, default_wait_seconds=0.0, auth="keys"))
    yield Service(app)
    app.state.parts.store.close()


def key_for(service: Service, tenant: str, *scopes: Scope) -> dict[str, str]:
    key, token = issue(tenant, scopes or (Scope.READ, Scope.WRITE), now(), None)
    service.parts.keys.add(key)
    return {"Authorization": f"Bearer {token}"}
