"""The HTTP contract, without a server and without a worker: jobs are finished by hand."""

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Coroutine
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from analysis.interventions import BY_TOKEN
from analysis.options import parse_options
from analysis.render.html import content_security_policy, render_html
from analysis.report import LeftOut, ModelFile, Report, Verdict
from analysis.rules import RULES
from analysis.version import VERSION
from service.app import create_app
from service.jobs.job import State, now
from service.problems import Problem, problem
from service.settings import Settings
from tests.service.application import (
    BATCH,
    FILES,
    MODEL,
    UNSUPPORTED,
    WITHOUT_WAITING,
    Service,
    job_of,
    problem_in,
    stored_files,
)

# ------------------------------------------------------------------ submission


def test_a_submission_is_accepted_with_the_way_to_its_result(service: Service) -> None:
    response = service.submit()
    assert response.status_code == HTTPStatus.ACCEPTED
    job = response.json()
    path = f"/v1/analyses/{job['id']}"
    assert response.headers["location"] == path
    assert response.headers["link"] == f'<{path}>; rel="monitor"'
    assert 0 < int(response.headers["retry-after"]) < 60
    assert job["links"] == {"self": path, "report": f"{path}/report"}
    assert (job["state"], job["progress"]) == ("queued", {"stage": "queued", "fraction": 0.0})
    assert (job["started"], job["finished"], job["error"], job["labels"]) == (None, None, None, {})
    assert set(job) == {"id", "state", "progress", "created", "started", "finished", "labels", "error", "links"}


def test_what_was_uploaded_is_what_the_worker_finds(service: Service) -> None:
    service.submit(data={"options": '{"seed": 7}'})
    question = service.claim().question
    assert service.parts.objects.get(question.model_sha256) == MODEL
    assert service.parts.objects.get(question.batch_sha256 or "") == BATCH
    assert question.model_name == "network.onnx"
    assert parse_options(question.options) == parse_options({"seed": 7})


def test_a_model_without_a_batch_and_a_name_is_accepted(service: Service) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n' + MODEL + b"\r\n--x--\r\n"
    headers = WITHOUT_WAITING | {"Content-Type": "multipart/form-data; boundary=x"}
    assert service.ask("POST", "/v1/analyses", content=body, headers=headers).status_code == HTTPStatus.ACCEPTED
    question = service.claim().question
    assert (question.batch_sha256, question.model_name) == (None, "model.onnx")


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
    assert response.content == healthy.to_json()


def test_nobody_is_kept_waiting_by_a_server_that_stops(service: Service) -> None:
    service.parts.stopping.set()
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


def test_by_default_a_submission_waits_and_answers_with_exactly_the_stored_report(
    tmp_path: Path, healthy: Report
) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    service = Service(app)
    with service.worker(healthy):
        response = service.submit(headers={})
    assert response.status_code == HTTPStatus.OK
    assert response.content == healthy.to_json()
    assert response.headers["content-type"] == "application/json"
    assert response.headers["gradient-health-verdict"] == "healthy"
    assert "preference-applied" not in response.headers
    assert service.get(response.headers["location"] + "/report").content == response.content
    app.state.parts.store.close()


def test_an_unknown_preference_is_ignored(service: Service) -> None:
    response = service.submit(headers={"Prefer": "return=minimal"})
    assert response.status_code == HTTPStatus.ACCEPTED
    assert "preference-applied" not in response.headers


def test_the_same_submission_twice_is_two_jobs(service: Service) -> None:
    assert job_of(service.submit()) != job_of(service.submit())
    assert stored_files(service) == 2


def test_a_failure_while_waiting_is_answered_with_its_problem(service: Service) -> None:
    accepted = service.submit()
    service.fail()
    response = service.submit(headers={"Idempotency-Key": "none"})
    assert response.status_code == HTTPStatus.ACCEPTED
    service.fail()
    again = service.submit(headers={"Idempotency-Key": "none"})
    stored = service.get(accepted.headers["location"] + "/report")
    for each in (again, stored):
        body = problem_in(each, HTTPStatus.UNPROCESSABLE_ENTITY, "unsupported-operator")
        assert (body.detail, body.where) == ("Det", "node 'det'")


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("options", "place", "words"),
    [
        ('{"learning_rat": 1}', "options.learning_rat", ["learning_rat", "unknown", "learning_rate"]),
        ('{"seed": -1}', "options.seed", ["seed", "greater than or equal to 0", "-1"]),
        ('{"effort": "all"}', "options.effort", ["'quick'", "'standard'", "'thorough'"]),
        ("{", "options", ["not JSON"]),
        ("[]", "options", ["object"]),
    ],
)
def test_bad_options_are_refused_by_field_and_nothing_is_kept(
    service: Service, options: str, place: str, words: list[str]
) -> None:
    body = problem_in(service.submit(data={"options": options}), HTTPStatus.BAD_REQUEST, "bad-options")
    assert body.where == place
    for word in words:
        assert word in body.detail + body.hint
    assert stored_files(service) == 0


def test_a_bad_gate_is_refused_before_anything_is_read(service: Service) -> None:
    for response in (service.submit("?fail_on=critical"), service.get("/v1/analyses/any/report?fail_on=critical")):
        body = problem_in(response, HTTPStatus.BAD_REQUEST, "bad-options")
        assert body.where == "fail_on"
        assert "info, warning or error" in body.hint
    assert stored_files(service) == 0


def test_json_instead_of_a_form_is_refused(service: Service) -> None:
    response = service.ask("POST", "/v1/analyses", json={"model": "x"})
    problem_in(response, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type")


def test_a_form_over_the_limit_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path, max_upload_bytes=10))
    problem_in(Service(app).submit(), HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "upload-too-large")
    assert stored_files(Service(app)) == 0
    app.state.parts.store.close()


def test_a_wait_that_is_no_number_is_refused(service: Service) -> None:
    for query in ("?wait=soon", "?wait=-1", "?wait=nan"):
        assert problem_in(service.submit(query), HTTPStatus.BAD_REQUEST, "bad-request").where == "wait"


# ------------------------------------------------------------------ gate


def test_a_gate_answers_503_until_there_is_a_verdict_and_rejoins_the_same_job(
    service: Service, healthy: Report
) -> None:
    first, second = service.submit("?fail_on=error"), service.submit("?fail_on=error")
    for response in (first, second):
        problem_in(response, HTTPStatus.SERVICE_UNAVAILABLE, "not-finished")
        assert int(response.headers["retry-after"]) > 0
    assert job_of(first) == job_of(second)
    service.succeed(healthy)
    passed = service.submit("?fail_on=error")
    assert (passed.status_code, passed.content) == (HTTPStatus.OK, healthy.to_json())
    assert job_of(passed) == job_of(first)
    assert service.parts.store.claim("worker", now()) is None


def test_a_report_that_fails_the_gate_is_422_with_the_report_itself(service: Service, sick: Report) -> None:
    service.submit()
    job = service.succeed(sick)
    for response in (service.submit("?fail_on=error"), service.get(f"/v1/analyses/{job.id}/report?fail_on=error")):
        assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        assert response.headers["content-type"] == "application/json"
        assert response.headers["gradient-health-verdict"] == "unhealthy"
        assert response.content == sick.to_json()


def test_without_a_gate_an_unhealthy_report_is_a_success(service: Service, sick: Report) -> None:
    service.submit()
    response = service.get(f"/v1/analyses/{service.succeed(sick).id}/report")
    assert response.status_code == HTTPStatus.OK
    assert response.headers["gradient-health-verdict"] == "unhealthy"


def test_too_little_evidence_fails_a_gate_that_asks_for_it(service: Service, healthy: Report) -> None:
    service.submit()
    job = service.succeed(healthy.model_copy(update={"verdict": Verdict.INCONCLUSIVE}))
    path = f"/v1/analyses/{job.id}/report"
    assert service.get(f"{path}?fail_on=error").status_code == HTTPStatus.OK
    assert service.get(f"{path}?fail_on=error,inconclusive").status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_a_gate_does_not_rejoin_other_options_or_another_model(service: Service) -> None:
    first = service.submit("?fail_on=error")
    other_seed = service.submit("?fail_on=error", data={"options": '{"seed": 1}'})
    other_model = service.submit("?fail_on=error", files={"model": MODEL + b"!", "batch": BATCH})
    no_batch = service.submit("?fail_on=error", files={"model": MODEL})
    same = service.submit("?fail_on=warning", data={"options": '{"seed": 0, "effort": "standard"}'})
    assert len({job_of(each) for each in (first, other_seed, other_model, no_batch)}) == 4
    assert job_of(same) == job_of(first)


def test_a_gate_tries_again_after_a_failure(service: Service) -> None:
    first = service.submit("?fail_on=error")
    service.fail()
    second = service.submit("?fail_on=error")
    problem_in(second, HTTPStatus.SERVICE_UNAVAILABLE, "not-finished")
    assert job_of(first) != job_of(second)


def test_a_gate_waits_as_long_as_it_is_told(service: Service, sick: Report) -> None:
    with service.worker(sick):
        response = service.submit("?fail_on=error&wait=60", headers={})
    assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert response.content == sick.to_json()


# ------------------------------------------------------------------ a job and its report


def test_a_job_tells_how_far_it_is(service: Service) -> None:
    path = service.submit().headers["location"]
    service.parts.store.keep(service.claim(), now(), "probe", 0.34567)
    job = service.get(path).json()
    assert (job["state"], job["progress"]) == ("running", {"stage": "probe", "fraction": 0.346})
    assert job["created"] <= job["started"]
    assert job["finished"] is None


def test_a_job_that_failed_shows_its_problem(service: Service) -> None:
    path = service.submit().headers["location"]
    service.fail()
    job = service.get(path).json()
    assert job["state"] == "failed"
    assert (job["error"]["code"], job["error"]["where"]) == ("unsupported-operator", "node 'det'")
    assert job["finished"] is not None


def test_the_report_of_an_unfinished_job_is_409_and_with_a_gate_503(service: Service) -> None:
    path = service.submit().headers["location"]
    for query, status in (("", HTTPStatus.CONFLICT), ("?fail_on=error", HTTPStatus.SERVICE_UNAVAILABLE)):
        response = service.get(f"{path}/report{query}")
        assert "queued" in problem_in(response, status, "not-finished").detail
        assert response.headers["location"] == path
        assert int(response.headers["retry-after"]) > 0


def test_the_report_of_a_finished_job_is_the_stored_bytes(service: Service, healthy: Report) -> None:
    path = service.submit().headers["location"]
    service.succeed(healthy)
    response = service.get(f"{path}/report")
    assert (response.status_code, response.content) == (HTTPStatus.OK, healthy.to_json())
    assert response.headers["content-type"] == "application/json"
    assert response.headers["gradient-health-verdict"] == "healthy"
    assert service.get(path).json()["state"] == "succeeded"


def with_model(report: Report, content: bytes, variant: str = "relu+he", sha256: str | None = None) -> Report:
    """The report, in which one variant and its clipped twin have a model, and another none for lack of room."""
    file = ModelFile(href=f"variants/{variant}/model.onnx", sha256=sha256 or hashlib.sha256(content).hexdigest())
    twins = {variant, f"{variant}+clip"}
    variants = [each.model_copy(update={"model": file if each.id in twins else None}) for each in report.variants]
    left_out = (LeftOut(what="model of xavier", why="100 bytes, and there is room for 7 more"),)
    return report.model_copy(update={"variants": tuple(variants), "left_out": left_out})


def test_a_repaired_model_is_downloaded_under_the_link_of_the_report(service: Service, sick: Report) -> None:
    job_id, content = job_of(service.submit()), b"an ONNX model"
    service.parts.objects.put(content)
    report = with_model(sick, content)
    service.succeed(report)
    for name in ("relu+he", "relu+he+clip"):
        href = next(each.model.href for each in report.variants if each.id == name and each.model is not None)
        response = service.get(f"/v1/analyses/{job_id}/{href}")
        assert (response.status_code, response.content) == (HTTPStatus.OK, content)
        assert response.headers["content-type"] == "application/onnx"
        assert "network.relu%2Bhe.onnx" in response.headers["content-disposition"]
    known = {"If-None-Match": response.headers["etag"]}
    again = service.ask("GET", f"/v1/analyses/{job_id}/{href}", headers=known)
    assert (again.status_code, again.content) == (HTTPStatus.NOT_MODIFIED, b"")


@pytest.mark.parametrize(
    ("variant", "code", "reason"),
    [
        ("magic", "not-found", "there is no such variant"),
        ("clip", "no-model", "a gradient step does not live in a graph"),
        ("xavier", "no-model", "room for 7 more"),
    ],
)
def test_a_model_that_is_not_there_says_why(
    service: Service, sick: Report, variant: str, code: str, reason: str
) -> None:
    job_id = job_of(service.submit())
    service.succeed(with_model(sick, b"x"))
    told = problem_in(service.get(f"/v1/analyses/{job_id}/variants/{variant}/model.onnx"), HTTPStatus.NOT_FOUND, code)
    assert reason in told.detail
    assert "relu+he" in told.hint or code != "not-found"


def test_a_model_before_the_end_is_409_and_of_a_failed_analysis_its_problem(service: Service) -> None:
    job_id = job_of(service.submit())
    link = f"/v1/analyses/{job_id}/variants/he/model.onnx"
    problem_in(service.get(link), HTTPStatus.CONFLICT, "not-finished")
    service.fail()
    problem_in(service.get(link), HTTPStatus.UNPROCESSABLE_ENTITY, UNSUPPORTED["code"])
    problem_in(service.get("/v1/analyses/nobody/variants/he/model.onnx"), HTTPStatus.NOT_FOUND, "not-found")


def test_a_report_that_points_elsewhere_leads_nowhere(service: Service, sick: Report) -> None:
    job_id = job_of(service.submit())
    service.succeed(with_model(sick, b"x", sha256="../../jobs.sqlite"))
    response = service.get(f"/v1/analyses/{job_id}/variants/relu+he/model.onnx")
    problem_in(response, HTTPStatus.NOT_FOUND, "no-model")


def test_asking_for_a_report_can_wait_for_it(service: Service, healthy: Report) -> None:
    path = service.submit().headers["location"]
    with service.worker(healthy):
        response = service.get(f"{path}/report?wait=60")
    assert (response.status_code, response.content) == (HTTPStatus.OK, healthy.to_json())


@pytest.mark.parametrize(
    ("state", "error", "status", "code"),
    [
        (State.FAILED, UNSUPPORTED, HTTPStatus.UNPROCESSABLE_ENTITY, "unsupported-operator"),
        (
            State.EXPIRED,
            problem("job-expired", HTTPStatus.UNPROCESSABLE_ENTITY, "took longer than 1 s").model_dump(),
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "job-expired",
        ),
        (State.CANCELLED, None, HTTPStatus.GONE, "job-cancelled"),
    ],
)
@pytest.mark.parametrize("query", ["", "?fail_on=error", "?wait=1"])
def test_a_job_without_a_report_answers_with_its_problem(
    service: Service, state: State, error: dict[str, Any] | None, status: HTTPStatus, code: str, query: str
) -> None:
    path = service.submit().headers["location"]
    service.fail(state, error)
    body = problem_in(service.get(f"{path}/report{query}"), status, code)
    assert body.instance == f"{path}/report"
    assert service.get(path).json()["state"] == state.value


@pytest.mark.parametrize("job_id", ["0193a1c2-7e60-7c3e-9d55-2f6b1f0c8a11", "x", "%00", "..", "é" * 500])
def test_a_job_nobody_submitted_is_not_found(service: Service, job_id: str) -> None:
    for path in (f"/v1/analyses/{job_id}/report", f"/v1/analyses/{job_id}/report?wait=5&fail_on=error"):
        problem_in(service.get(path), HTTPStatus.NOT_FOUND, "not-found")


def test_a_job_nobody_submitted_has_no_state(service: Service) -> None:
    problem_in(service.get("/v1/analyses/0193a1c2-7e60-7c3e-9d55-2f6b1f0c8a11"), HTTPStatus.NOT_FOUND, "not-found")


def test_jobs_of_another_tenant_are_not_found(service: Service) -> None:
    path = service.submit().headers["location"]
    with service.parts.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET tenant = 'other'")
    problem_in(service.get(path), HTTPStatus.NOT_FOUND, "not-found")
    problem_in(service.get(f"{path}/report"), HTTPStatus.NOT_FOUND, "not-found")


# ------------------------------------------------------------------ JSON or a page

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def finished(service: Service, report: Report) -> str:
    """Where the report is."""
    service.submit()
    return f"/v1/analyses/{service.succeed(report).id}/report"


def test_a_browser_gets_the_page_and_everybody_else_the_json(service: Service, sick: Report) -> None:
    path = finished(service, sick)
    page = service.ask("GET", path, headers={"Accept": BROWSER})
    assert page.status_code == HTTPStatus.OK
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == render_html(sick, served=True)
    plain = service.get(path)
    assert (plain.headers["content-type"], plain.content) == ("application/json", sick.to_json())
    for response in (page, plain):
        assert response.headers["vary"] == "Accept"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["gradient-health-verdict"] == "unhealthy"


def test_a_page_may_apply_its_style_sheet_and_nothing_else(service: Service, healthy: Report) -> None:
    page = service.ask("GET", finished(service, healthy), headers={"Accept": "text/html"})
    assert page.headers["content-security-policy"] == content_security_policy()
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert page.headers["referrer-policy"] == "no-referrer"


def test_each_form_has_a_tag_of_its_own_and_is_not_sent_twice(service: Service, healthy: Report) -> None:
    path = finished(service, healthy)
    tags = {}
    for form in ("application/json", "text/html"):
        response = service.ask("GET", path, headers={"Accept": form})
        tags[form] = response.headers["etag"]
        for known in (tags[form], f'"other", W/{tags[form]}', "*"):
            again = service.ask("GET", path, headers={"Accept": form, "If-None-Match": known})
            assert (again.status_code, again.content) == (HTTPStatus.NOT_MODIFIED, b"")
            assert (again.headers["etag"], again.headers["vary"]) == (tags[form], "Accept")
    assert len(set(tags.values())) == 2
    crossed = service.ask("GET", path, headers={"Accept": "text/html", "If-None-Match": tags["application/json"]})
    assert crossed.status_code == HTTPStatus.OK


def test_a_gate_judges_a_page_as_it_judges_json(service: Service, sick: Report) -> None:
    path = f"{finished(service, sick)}?fail_on=error"
    page = service.ask("GET", path, headers={"Accept": "text/html", "If-None-Match": "*"})
    assert page.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == render_html(sick, served=True)


def test_what_is_neither_is_refused_and_errors_stay_problems(service: Service, healthy: Report) -> None:
    path = finished(service, healthy)
    refused = service.ask("GET", path, headers={"Accept": "image/png"})
    body = problem_in(refused, HTTPStatus.NOT_ACCEPTABLE, "not-acceptable")
    assert "application/json or text/html" in body.detail
    assert refused.headers["vary"] == "Accept"
    browser = {"Accept": BROWSER}
    problem_in(service.ask("GET", "/v1/analyses/x/report", headers=browser), HTTPStatus.NOT_FOUND, "not-found")
    waiting = service.submit().headers["location"] + "/report"
    problem_in(service.ask("GET", waiting, headers=browser), HTTPStatus.CONFLICT, "not-finished")


# ------------------------------------------------------------------ idempotency


def test_a_key_rejoins_the_job_it_was_first_used_for(service: Service, healthy: Report) -> None:
    headers = WITHOUT_WAITING | {"Idempotency-Key": "build-17"}
    first, second = service.submit(headers=headers), service.submit(headers=headers)
    assert first.json() == second.json()
    service.succeed(healthy)
    third = service.submit(headers=headers)
    assert (third.status_code, third.content) == (HTTPStatus.OK, healthy.to_json())
    assert job_of(third) == job_of(first)
    assert service.parts.store.claim("worker", now()) is None


@pytest.mark.parametrize(
    "other",
    [
        {"files": {"model": MODEL + b"!", "batch": BATCH}},
        {"files": {"model": MODEL}},
        {"data": {"options": '{"seed": 1}'}},
    ],
    ids=["model", "batch", "options"],
)
def test_a_key_used_for_another_question_is_refused(service: Service, other: dict[str, Any]) -> None:
    headers = WITHOUT_WAITING | {"Idempotency-Key": "build-17"}
    first = service.submit(headers=headers)
    refused = service.submit(headers=headers, **other)
    body = problem_in(refused, HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reuse")
    assert body.where == "Idempotency-Key"
    assert service.submit(headers=headers).json() == first.json()


def test_an_overlong_key_is_refused(service: Service) -> None:
    response = service.submit(headers={"Idempotency-Key": "k" * 256})
    problem_in(response, HTTPStatus.BAD_REQUEST, "bad-request")
    assert service.submit(headers={"Idempotency-Key": "k" * 255}).status_code == HTTPStatus.ACCEPTED


@pytest.mark.parametrize("same", [True, False], ids=["same body", "other bodies"])
def test_submissions_with_one_key_at_the_same_time_make_one_job(service: Service, same: bool) -> None:
    headers = WITHOUT_WAITING | {"Idempotency-Key": "build-17"}

    async def together() -> list[httpx.Response]:
        bodies = [MODEL if same else MODEL + bytes([number]) for number in range(12)]
        return await asyncio.gather(
            *(service.exchange("POST", "/v1/analyses", files={"model": body}, headers=headers) for body in bodies)
        )

    responses = asyncio.run(together())
    accepted = [each for each in responses if each.status_code == HTTPStatus.ACCEPTED]
    assert len({job_of(each) for each in accepted}) == 1
    assert len(accepted) == (len(responses) if same else 1)
    for each in responses:
        if each not in accepted:
            problem_in(each, HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-key-reuse")


# ------------------------------------------------------------------ health and schemas


def test_the_process_answers(service: Service) -> None:
    response = service.get("/healthz")
    assert (response.status_code, response.json()) == (HTTPStatus.OK, {"status": "ok", "version": VERSION})


def test_readiness_names_what_is_missing(service: Service) -> None:
    store = service.parts.store

    def readiness() -> tuple[int, str, dict[str, str]]:
        response = service.get("/readyz")
        return response.status_code, response.json()["status"], response.json()["checks"]

    fine = {"storage": "ok", "database": "ok"}
    assert readiness() == (503, "unavailable", fine | {"workers": "none"})
    store.seen("worker", now(), ready=False)
    assert readiness() == (503, "unavailable", fine | {"workers": "starting"})
    store.seen("worker", now(), ready=True)
    assert readiness() == (200, "ok", fine | {"workers": "ok"})


def test_a_lost_database_is_unready_not_dead(service: Service) -> None:
    with service.parts.store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE workers")
    response = service.get("/readyz")
    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert response.json()["checks"]["database"] != "ok"
    assert service.get("/healthz").status_code == HTTPStatus.OK


def test_lost_storage_is_unready(service: Service) -> None:
    service.parts.store.seen("worker", now(), ready=True)
    service.folder.rmdir()
    response = service.get("/readyz")
    assert response.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert response.json()["checks"]["storage"] == "not writable"


def test_reports_obey_the_published_schema(service: Service, healthy: Report, sick: Report) -> None:
    schema = service.get("/v1/schema/report").json()
    jsonschema.Draft202012Validator.check_schema(schema)
    for report in (healthy, sick):
        jsonschema.validate(json.loads(report.to_json()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"verdict": "fine"}, schema)


def test_options_obey_the_published_schema(service: Service) -> None:
    schema = service.get("/v1/schema/options").json()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"seed": 7, "effort": "quick", "freeze": ["b*"]}, schema)
    for wrong in ({"sed": 7}, {"seed": -1}, {"effort": "all"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    assert all(field.get("description") for field in schema["properties"].values())


def test_every_rule_has_a_page_and_thresholds_that_options_can_change(service: Service) -> None:
    rules = service.get("/v1/rules").json()
    assert [each["id"] for each in rules] == [rule.id for rule in RULES]
    one = service.get("/v1/rules/vanishing-gradient").json()
    assert one == next(each for each in rules if each["id"] == "GH101")
    page = service.ask("GET", "/v1/rules/gh101", headers={"Accept": "text/markdown"})
    assert page.headers["content-type"].startswith("text/markdown")
    assert page.text == one["page"]
    problem_in(service.get("/v1/rules/GH999"), HTTPStatus.NOT_FOUND, "no-such-rule")


def test_every_treatment_has_a_page_and_the_token_that_options_name_it_by(service: Service) -> None:
    treatments = service.get("/v1/interventions").json()
    assert [each["token"] for each in treatments] == list(BY_TOKEN)
    one = service.get("/v1/interventions/lsuv").json()
    assert one == next(each for each in treatments if each["token"] == "lsuv")
    assert (one["factor"], one["page"].startswith(one["title"])) == ("initialization", True)
    page = service.ask("GET", "/v1/interventions/lsuv", headers={"Accept": "text/markdown"})
    assert page.headers["content-type"].startswith("text/markdown")
    assert page.text == one["page"]
    problem_in(service.get("/v1/interventions/magic"), HTTPStatus.NOT_FOUND, "no-such-treatment")


def test_options_that_name_no_rule_are_refused_before_a_job_is_made(service: Service) -> None:
    refused = service.submit(data={"options": '{"select": ["GH999"]}'})
    assert problem_in(refused, HTTPStatus.BAD_REQUEST, "bad-options").where == "options.select"
    assert service.parts.store.claim("worker", now()) is None


# ------------------------------------------------------------------ OpenAPI


@pytest.fixture
def document(service: Service) -> dict[str, Any]:
    response = service.get("/openapi.json")
    assert response.status_code == HTTPStatus.OK
    return json.loads(response.content)


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_api_documents_every_operation_and_status(document: dict[str, Any]) -> None:
    documented = {name: set(operation["responses"]) for name, operation in operations(document).items()}
    assert documented == {
        "POST /v1/analyses": {"200", "202", "400", "408", "413", "415", "422", "503", "default"},
        "GET /v1/analyses/{job_id}": {"200", "404", "default"},
        "GET /v1/analyses/{job_id}/report": {"200", "304", "400", "404", "406", "409", "422", "503", "default"},
        "GET /v1/analyses/{job_id}/variants/{variant}/model.onnx": {"200", "304", "404", "409", "default"},
        "POST /v1/comparisons": {"200", "400", "404", "408", "409", "413", "415", "422", "503", "default"},
        "GET /v1/schema/report": {"200"},
        "GET /v1/schema/comparison": {"200"},
        "GET /v1/rules": {"200"},
        "GET /v1/rules/{rule}": {"200", "404", "default"},
        "GET /v1/interventions": {"200"},
        "GET /v1/interventions/{token}": {"200", "404", "default"},
        "GET /v1/schema/options": {"200"},
        "GET /healthz": {"200"},
        "GET /readyz": {"200", "503"},
    }


def test_every_documented_error_has_a_typed_problem_as_its_body(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        for status, response in operation["responses"].items():
            if status < "400" or "readyz" in name:
                continue
            schema = response["content"]["application/problem+json"]["schema"]
            assert set(Problem.model_fields) == set(schema["properties"]), (name, status)
            jsonschema.validate(schema["example"], schema)
            json_too = "application/json" in response["content"]
            assert json_too is (status == "422"), (name, status)


def test_every_operation_can_be_called_by_name_and_the_upload_has_an_example(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(names)) == len(names)
    form = operations(document)["POST /v1/analyses"]["requestBody"]["content"]["multipart/form-data"]
    assert set(form["example"]) == set(form["schema"]["properties"]) == {"model", "batch", "options"}
    parse_options(form["example"]["options"])
    schemas = document["components"]["schemas"]
    assert set(schemas["JobView"]["example"]) >= set(schemas["JobView"]["properties"]) - {"finished", "error"}


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    references = {piece.split('"')[0] for piece in text.split('"#/components/schemas/')[1:]}
    assert references <= set(schemas)
    assert "ValidationError" not in references
    assert document["openapi"].startswith("3.1")


def test_answers_are_as_documented(service: Service, document: dict[str, Any], healthy: Report) -> None:
    accepted = service.submit()
    schemas = document["components"]["schemas"]
    view = schemas["JobView"] | {"components": document["components"]}
    jsonschema.validate(accepted.json(), view)
    service.succeed(healthy)
    jsonschema.validate(service.get(accepted.headers["location"]).json(), view)


# ------------------------------------------------------------------ weight


@pytest.mark.parametrize("module", ["service.app", "service.worker.supervisor", "service.cli", "service.client"])
def test_only_children_load_the_laboratory(module: str) -> None:
    script = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE).stdout
    assert not {"torch", "onnxruntime", "safetensors"} & set(json.loads(output))
