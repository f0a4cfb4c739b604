"""Two tenants against each other, and whoever has no key, an old one, or somebody else's, on every route."""

import asyncio
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter

from analysis.report import Report
from service.access.key import Scope, issue
from service.api.context import tenant_of
from service.app import create_app
from service.jobs.job import Job, now
from service.settings import Settings
from tests.service.access.issuing import AUDIENCE, ISSUER, KeyServer, claims, key_server, token
from tests.service.application import FILES, WITHOUT_WAITING, Service, job_of, problem_in

OPEN = {"/healthz", "/readyz"}
OF_A_JOB = [
    ("GET", "/v1/analyses/{job}"),
    ("DELETE", "/v1/analyses/{job}"),
    ("POST", "/v1/analyses/{job}/cancel"),
    ("GET", "/v1/analyses/{job}/events"),
    ("GET", "/v1/analyses/{job}/report"),
    ("GET", "/v1/analyses/{job}/report?wait=1"),
    ("GET", "/v1/analyses/{job}/report.{suffix}"),
    ("GET", "/v1/analyses/{job}/variants/{variant}"),
    ("GET", "/v1/analyses/{job}/variants/{variant}/model.onnx"),
]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Service]:
    app = create_app(Settings(data_dir=tmp_path, default_wait_seconds=0.0, auth="keys"))
    yield Service(app)
    app.state.parts.store.close()


def key_for(service: Service, tenant: str, *scopes: Scope, lifetime: timedelta | None = None) -> str:
    key, token = issue(tenant, scopes or (Scope.READ, Scope.WRITE), now(), lifetime)
    service.parts.keys.add(key)
    return token


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def submitted(service: Service, token: str, query: str = "", **headers: str) -> httpx.Response:
    return service.ask("POST", f"/v1/analyses{query}", files=FILES, headers=WITHOUT_WAITING | bearing(token) | headers)


def routes_of(service: Service) -> list[tuple[str, str]]:
    paths = service.app.openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def filled(path: str) -> str:
    return re.sub(r"\{\w+\}", "x", path)


def refused(response: httpx.Response, challenge: str = "") -> None:
    problem = problem_in(response, HTTPStatus.UNAUTHORIZED, "unauthenticated")
    assert "GRADIENT_HEALTH_API_KEY" in problem.hint
    assert response.headers["www-authenticate"] == f'Bearer realm="gradient-health"{challenge}'


# ------------------------------------------------------------------ no key, or none that counts


def test_every_route_but_the_probes_needs_a_key(guarded: Service) -> None:
    routes = routes_of(guarded)
    assert len(routes) > 15
    for method, path in routes:
        response = guarded.ask(method, filled(path))
        if path in OPEN:
            assert response.status_code in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}, path
        else:
            refused(response)
            refused(guarded.ask(method, filled(path) + "?wait=no&limit=no"))
            head = guarded.ask("HEAD", filled(path)) if method == "GET" else response
            assert head.status_code == HTTPStatus.UNAUTHORIZED, path


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"X-Api-Key": ""},
     {"Authorization": "Basic Z2g6Z2g="}],
    ids=str,
)  # fmt: skip
def test_a_request_without_a_key_is_told_how_to_send_one(guarded: Service, headers: dict[str, str]) -> None:
    refused(guarded.ask("GET", "/v1/limits", headers=headers))


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
def test_a_key_comes_in_either_header(guarded: Service, header: str) -> None:
    token = key_for(guarded, "alice")
    value = token if header == "X-Api-Key" else f"bearer {token}"
    assert guarded.ask("GET", "/v1/limits", headers={header: value}).status_code == HTTPStatus.OK


def test_a_wrong_key_is_none_whatever_is_wrong_with_it(guarded: Service) -> None:
    token = key_for(guarded, "alice")
    stored = guarded.parts.keys.all()[0]
    flipped = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    for wrong in (flipped, token[:-1], token.upper(), issue("alice", [Scope.READ], now())[1], stored.id, stored.sha256):
        response = guarded.ask("GET", "/v1/limits", headers=bearing(wrong))
        refused(response, ', error="invalid_token"')
        assert response.json()["detail"] == "there is no such API key"


def test_an_expired_key_is_refused_as_such(guarded: Service) -> None:
    token = key_for(guarded, "alice", lifetime=timedelta(0))
    response = guarded.ask("GET", "/v1/analyses", headers=bearing(token))
    refused(response, ', error="invalid_token"')
    assert "is expired" in response.json()["detail"]


def test_a_revoked_key_is_refused_from_the_next_request_on(guarded: Service) -> None:
    token = key_for(guarded, "alice")
    assert guarded.ask("GET", "/v1/analyses", headers=bearing(token)).status_code == HTTPStatus.OK
    assert guarded.parts.keys.revoke(guarded.parts.keys.all()[0].id, now())
    response = guarded.ask("GET", "/v1/analyses", headers=bearing(token))
    refused(response, ', error="invalid_token"')
    assert "is revoked" in response.json()["detail"]


def test_the_body_of_a_stranger_is_not_read(guarded: Service) -> None:
    async def body() -> Any:
        pytest.fail("the body was read")
        yield b""

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    refused(guarded.ask("POST", "/v1/analyses", content=body(), headers=kind))
    assert not [path for path in guarded.folder.rglob("*") if path.is_file()]


def test_nothing_of_a_secret_is_logged_or_told(guarded: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    right, wrong = key_for(guarded, "alice", Scope.READ), issue("bob", [Scope.READ], now())[1]
    answers = [guarded.ask("GET", "/v1/limits", headers=bearing(wrong)), submitted(guarded, right)]
    assert [answer.status_code for answer in answers] == [401, 403]
    told = caplog.text + "".join(answer.text + str(answer.headers) for answer in answers)
    for secret in (right, wrong):
        assert secret.split("_", 2)[2] not in told


def test_a_locked_table_of_keys_is_a_service_to_ask_again(guarded: Service) -> None:
    token = key_for(guarded, "alice")
    with guarded.parts.store.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE api_keys RENAME TO away")
    response = guarded.ask("GET", "/v1/limits", headers=bearing(token))
    problem_in(response, HTTPStatus.SERVICE_UNAVAILABLE, "database-unavailable")


# ------------------------------------------------------------------ scopes


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_opens_what_it_is_for_and_nothing_else(guarded: Service, scope: Scope) -> None:
    token = key_for(guarded, "alice", scope)
    for method, path in routes_of(guarded):
        needed = (
            Scope.ADMIN if path == "/metrics"
            else Scope.READ if method == "GET" or path == "/v1/comparisons"
            else Scope.WRITE
        )  # fmt: skip
        response = guarded.ask(method, filled(path), headers=bearing(token))
        if path in OPEN or needed is scope:
            assert response.status_code not in {401, 403}, (method, path)
        else:
            problem = problem_in(response, HTTPStatus.FORBIDDEN, "forbidden")
            assert f"the scope {needed}" in problem.detail
            challenge = f'Bearer realm="gradient-health", error="insufficient_scope", scope="{needed}"'
            assert response.headers["www-authenticate"] == challenge


def test_openapi_says_that_keys_are_needed_where_they_are(guarded: Service, service: Service) -> None:
    for path, methods in guarded.app.openapi()["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) is (path not in OPEN)
            assert ({"401", "403"} <= set(operation["responses"])) is (path not in OPEN)
    assert "securitySchemes" not in service.app.openapi().get("components", {})


# ------------------------------------------------------------------ tokens


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with key_server() as running:
        yield running


@pytest.fixture
def open_to_tokens(tmp_path: Path, server: KeyServer) -> Iterator[Service]:
    named = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_keys_url": server.url, "jwt_tenant_claim": "tenant"}
    app = create_app(Settings.model_validate({"data_dir": tmp_path, "default_wait_seconds": 0, "auth": "keys"} | named))
    yield Service(app)
    app.state.parts.store.close()


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
def test_a_token_opens_what_a_key_of_its_tenant_opens(open_to_tokens: Service, header: str) -> None:
    job = job_of(submitted(open_to_tokens, key_for(open_to_tokens, "vision")))
    value = token() if header == "X-Api-Key" else f"Bearer {token()}"
    path = f"/v1/analyses/{job}"
    assert open_to_tokens.ask("GET", path, headers={header: value}).status_code == HTTPStatus.OK
    other = token(claims(tenant="audio"))
    problem_in(open_to_tokens.ask("GET", path, headers=bearing(other)), HTTPStatus.NOT_FOUND, "not-found")


def test_a_token_is_held_to_its_scopes(open_to_tokens: Service) -> None:
    for scope, path, expected in (("read", "/v1/analyses", 200), ("write", "/v1/analyses", 403), ("", "/metrics", 403),
                                  ("admin", "/metrics", 200)):  # fmt: skip
        answer = open_to_tokens.ask("GET", path, headers=bearing(token(claims(scope=scope))))
        assert answer.status_code == expected, (scope, path)


def test_the_subject_of_a_token_is_in_the_audit_log(open_to_tokens: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    used = token(claims(sub="ci\nof vision"))
    assert submitted(open_to_tokens, used).status_code == HTTPStatus.ACCEPTED
    (line,) = [record.__dict__["fields"] for record in caplog.records if record.name == "service.audit"]
    assert (line["who"], line["tenant"]) == ("token:ci?of?vision", "vision")
    assert used.rpartition(".")[2] not in caplog.text


def test_a_bad_token_is_refused_and_not_repeated(open_to_tokens: Service) -> None:
    for bad in (token(claims(exp=1)), token()[:-3], token(algorithm="none"), "a.b.secret"):
        response = open_to_tokens.ask("GET", "/v1/limits", headers=bearing(bad))
        refused(response, ', error="invalid_token"')
        assert not [part for part in bad.split(".") if len(part) > 1 and part in response.text]


def test_where_nobody_issues_tokens_one_is_no_key(guarded: Service) -> None:
    response = guarded.ask("GET", "/v1/limits", headers=bearing(token()))
    assert response.json()["detail"] == "there is no such API key"


def test_a_key_server_that_is_away_is_a_service_to_ask_again(open_to_tokens: Service, server: KeyServer) -> None:
    server.status = 500
    response = open_to_tokens.ask("GET", "/v1/limits", headers=bearing(token()))
    problem_in(response, HTTPStatus.SERVICE_UNAVAILABLE, "keys-unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert str(server.port) not in response.text
    key = key_for(open_to_tokens, "vision")
    assert open_to_tokens.ask("GET", "/v1/limits", headers=bearing(key)).status_code == HTTPStatus.OK


def test_a_key_server_that_hangs_holds_up_nobody_else(open_to_tokens: Service, server: KeyServer) -> None:
    async def ask() -> list[int]:
        waiting = asyncio.create_task(open_to_tokens.exchange("GET", "/v1/limits", headers=bearing(token())))
        assert await asyncio.to_thread(server.came.wait, 5)
        others = [await open_to_tokens.exchange("GET", "/healthz") for _ in range(50)]
        late = await open_to_tokens.exchange("GET", "/v1/limits", headers=bearing(token()))
        assert not waiting.done(), "the key server has not answered yet"
        server.held.set()
        return [(await waiting).status_code, late.status_code, *{answer.status_code for answer in others}]

    server.held.clear()
    assert asyncio.run(ask()) == [200, 503, 200]


# ------------------------------------------------------------------ two tenants


def test_a_job_of_another_tenant_is_as_if_there_were_none(guarded: Service, sick: Report) -> None:
    alice, bob = key_for(guarded, "alice"), key_for(guarded, "bob")
    variant = next(each.id for each in sick.variants)
    succeeded = job_of(submitted(guarded, alice))
    guarded.succeed(sick)
    deleted = job_of(submitted(guarded, alice))
    assert guarded.ask("DELETE", f"/v1/analyses/{deleted}", headers=bearing(alice)).status_code == 204
    waiting = job_of(submitted(guarded, alice))
    nobodys = "0193a1c2-7e60-7c3e-9d55-2f6b1f0c8a11"
    described = {path.split("?")[0].replace("{job}", "{job_id}") for _, path in OF_A_JOB}
    assert described == {path for _, path in routes_of(guarded) if "{job_id}" in path}, "every route of a job"
    for method, path in OF_A_JOB:
        answers = set()
        for job in (succeeded, waiting, deleted, nobodys):
            asked = path.format(job=job, suffix="html", variant=variant)
            response = guarded.ask(method, asked, headers=bearing(bob))
            problem_in(response, HTTPStatus.NOT_FOUND, "not-found")
            length = response.headers.pop("content-length")
            assert response.headers.pop("x-request-id")
            answers.add((response.text.replace(job, "JOB"), length, str(response.headers)))
        assert len(answers) == 1, path
    for job in (succeeded, waiting):
        assert guarded.ask("GET", f"/v1/analyses/{job}", headers=bearing(alice)).status_code == HTTPStatus.OK


def test_a_comparison_names_only_analyses_of_its_own_tenant(guarded: Service, sick: Report) -> None:
    alice, bob = key_for(guarded, "alice"), key_for(guarded, "bob")
    theirs = job_of(submitted(guarded, alice))
    guarded.succeed(sick)
    for side, other in (("old", "new"), ("new", "old")):
        body = {side: theirs, other: sick.model_dump(mode="json")}
        response = guarded.ask("POST", "/v1/comparisons", json=body, headers=bearing(bob))
        problem_in(response, HTTPStatus.NOT_FOUND, "not-found")


def test_lists_and_their_pages_show_a_tenant_its_own(guarded: Service) -> None:
    alice, bob = key_for(guarded, "alice"), key_for(guarded, "bob")
    own = {name: {job_of(submitted(guarded, name, "?project=p")) for _ in range(2)} for name in (alice, bob)}
    cursor = max(own[alice] | own[bob])
    for name in (alice, bob):
        for query, expected in (
            ("", own[name]),
            ("?project=p", own[name]),
            (f"?cursor={cursor}", own[name] - {cursor}),
        ):
            listed = guarded.ask("GET", f"/v1/analyses{query}", headers=bearing(name)).json()["analyses"]
            assert {job["id"] for job in listed} == expected


def test_the_same_bytes_and_the_same_idempotency_key_are_two_jobs_of_two_tenants(
    guarded: Service, sick: Report
) -> None:
    alice, bob = key_for(guarded, "alice"), key_for(guarded, "bob")
    first = submitted(guarded, alice, **{"Idempotency-Key": "k"})
    guarded.succeed(sick)
    assert submitted(guarded, alice, **{"Idempotency-Key": "k"}).headers["location"] == first.headers["location"]
    assert submitted(guarded, bob, **{"Idempotency-Key": "k"}).headers["location"] != first.headers["location"]
    rejoining = submitted(guarded, bob, "?fail_on=error")
    assert rejoining.status_code == HTTPStatus.SERVICE_UNAVAILABLE, "the report is there, and it is alice's"
    assert rejoining.headers["location"] != first.headers["location"]


def test_a_tenant_that_fills_its_queue_leaves_the_others_theirs(tmp_path: Path, sick: Report) -> None:
    settings = Settings(
        data_dir=tmp_path, default_wait_seconds=0.0, auth="keys", max_queued_jobs=3, max_queued_jobs_per_tenant=2
    )
    guarded = Service(create_app(settings))
    alice, bob = key_for(guarded, "alice"), key_for(guarded, "bob")
    first = submitted(guarded, alice, **{"Idempotency-Key": "k"})
    assert submitted(guarded, alice).status_code == HTTPStatus.ACCEPTED
    response = submitted(guarded, alice)
    problem_in(response, HTTPStatus.TOO_MANY_REQUESTS, "quota-exceeded")
    assert int(response.headers["retry-after"]) > 0
    assert submitted(guarded, alice, **{"Idempotency-Key": "k"}).headers["location"] == first.headers["location"]
    assert submitted(guarded, bob).status_code == HTTPStatus.ACCEPTED
    problem_in(submitted(guarded, bob), HTTPStatus.SERVICE_UNAVAILABLE, "busy")
    guarded.succeed(sick)
    assert submitted(guarded, alice).status_code == HTTPStatus.ACCEPTED
    guarded.parts.store.close()


def test_two_keys_of_a_tenant_see_the_same_jobs(guarded: Service) -> None:
    job = job_of(submitted(guarded, key_for(guarded, "alice")))
    found: Job | None = guarded.parts.store.get(job, "alice")
    assert found is not None
    other = bearing(key_for(guarded, "alice"))
    assert guarded.ask("GET", f"/v1/analyses/{job}", headers=other).status_code == HTTPStatus.OK


def test_a_route_that_was_left_unguarded_shows_nothing(guarded: Service) -> None:
    unguarded = APIRouter()
    unguarded.add_api_route("/unguarded", tenant_of)
    guarded.app.include_router(unguarded)
    with pytest.raises(AttributeError):
        guarded.get("/unguarded")
