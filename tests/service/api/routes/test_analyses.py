"""Analyses over HTTP, without a server and without a worker: jobs are ended by hand."""

import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from analysis.options import parse_options
from analysis.report import Report, Verdict
from service.app import create_app
from service.jobs.job import State, now
from service.problems import problem
from service.settings import Settings
from tests.service.application import (
    BATCH,
    MODEL,
    UNSUPPORTED,
    WITHOUT_WAITING,
    Service,
    as_told,
    job_of,
    problem_in,
    stored_files,
)

# ------------------------------------------------------------------ submission


def test_a_report_has_the_id_of_its_analysis_wherever_it_is_told(service: Service, healthy: Report) -> None:
    with service.worker(healthy):
        waited = service.submit("?wait=30", headers={})
    job_id = job_of(waited)
    assert (waited.status_code, waited.json()["id"]) == (HTTPStatus.OK, job_id)
    assert service.get(f"/v1/analyses/{job_id}/report").json()["id"] == job_id
    page = service.ask("GET", f"/v1/analyses/{job_id}/report", headers={"Accept": "text/html"})
    assert healthy.id not in page.text
    again = service.submit("?wait=0&fail_on=error")
    assert (again.json()["id"], job_of(again)) == (job_id, job_id)


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


def test_by_default_a_submission_waits_and_answers_with_exactly_the_stored_report(
    tmp_path: Path, healthy: Report
) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    service = Service(app)
    with service.worker(healthy):
        response = service.submit(headers={})
    assert response.status_code == HTTPStatus.OK
    assert response.content == as_told(healthy, response)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["gradient-health-verdict"] == "healthy"
    assert "preference-applied" not in response.headers
    assert service.get(response.headers["location"] + "/report").content == response.content
    app.state.parts.store.close()


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


def test_options_that_name_no_rule_are_refused_before_a_job_is_made(service: Service) -> None:
    refused = service.submit(data={"options": '{"select": ["GH999"]}'})
    assert problem_in(refused, HTTPStatus.BAD_REQUEST, "bad-options").where == "options.select"
    assert service.parts.store.claim("worker", now()) is None


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
    assert (passed.status_code, passed.content) == (HTTPStatus.OK, as_told(healthy, passed))
    assert job_of(passed) == job_of(first)
    assert service.parts.store.claim("worker", now()) is None


def test_a_report_that_fails_the_gate_is_422_with_the_report_itself(service: Service, sick: Report) -> None:
    service.submit()
    job = service.succeed(sick)
    for response in (service.submit("?fail_on=error"), service.get(f"/v1/analyses/{job.id}/report?fail_on=error")):
        assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        assert response.headers["content-type"] == "application/json"
        assert response.headers["gradient-health-verdict"] == "unhealthy"
        assert response.content == as_told(sick, response)


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
    assert response.content == as_told(sick, response)


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
    assert (response.status_code, response.content) == (HTTPStatus.OK, as_told(healthy, response))
    assert response.headers["content-type"] == "application/json"
    assert response.headers["gradient-health-verdict"] == "healthy"
    assert service.get(path).json()["state"] == "succeeded"


def test_asking_for_a_report_can_wait_for_it(service: Service, healthy: Report) -> None:
    path = service.submit().headers["location"]
    with service.worker(healthy):
        response = service.get(f"{path}/report?wait=60")
    assert (response.status_code, response.content) == (HTTPStatus.OK, as_told(healthy, response))


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


# ------------------------------------------------------------------ idempotency


def test_a_key_rejoins_the_job_it_was_first_used_for(service: Service, healthy: Report) -> None:
    headers = WITHOUT_WAITING | {"Idempotency-Key": "build-17"}
    first, second = service.submit(headers=headers), service.submit(headers=headers)
    assert first.json() == second.json()
    service.succeed(healthy)
    third, waited = service.submit(headers=headers), service.submit(headers={"Idempotency-Key": "build-17"})
    assert (third.status_code, third.json()["state"]) == (HTTPStatus.ACCEPTED, "succeeded")  # only the job is wanted
    assert (waited.status_code, waited.content) == (HTTPStatus.OK, as_told(healthy, waited))
    assert job_of(third) == job_of(waited) == job_of(first)
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
