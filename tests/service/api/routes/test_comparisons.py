"""Comparisons over HTTP: reports by hand in the body, analyses that a test ends by hand."""

import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from analysis.comparison.compare import compare
from analysis.comparison.document import Comparison
from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.report import Report
from analysis.report.gate import Gate
from service.app import create_app
from service.jobs.job import State
from service.settings import Settings
from tests.analysis.comparison.small_reports import excerpt, found, small_report
from tests.gallery import he, mlp, vectors, xavier
from tests.service.application import UNSUPPORTED, Service, job_of, problem_in

HEALTHY, SICK = small_report(), small_report("unhealthy", found("GH101", "error", "layer-1", flow=1.0))
RISK = small_report("at_risk", found("GH303", "warning", spread=1.0))
RISKIER = small_report("at_risk", found("GH303", "warning", spread=2.0))
PATH = "/v1/comparisons"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    app = create_app(Settings(data_dir=tmp_path, default_wait_seconds=0.0, max_comparison_bytes=1 << 20))
    yield Service(app)
    app.state.parts.store.close()


@pytest.fixture(scope="module")
def reports() -> tuple[Report, Report]:
    quick = parse_options({"effort": "quick"})
    healthy, sick = mlp(3, "Relu", he(), width=16), mlp(12, "Sigmoid", xavier(), width=16)
    return analyze(healthy, vectors(), quick), analyze(sick, vectors(), quick)


def ask(service: Service, old: object, new: object, query: str = "") -> httpx.Response:
    return service.ask("POST", PATH + query, json={"old": old, "new": new})


def ended(service: Service, report: Report) -> str:
    """The id of an analysis with this report."""
    job_id = job_of(service.submit())
    service.succeed(report)
    return job_id


# ------------------------------------------------------------------ answers


def test_two_reports_in_the_body_are_compared(service: Service) -> None:
    response = ask(service, HEALTHY, SICK)
    assert response.status_code == HTTPStatus.OK
    assert response.headers["content-type"] == "application/json"
    assert response.headers["gradient-health-verdict"] == "unhealthy"
    told = Comparison.model_validate_json(response.content)
    assert (told.regression, told.fail_on) == (True, "error")
    assert [(each.change.value, each.rule) for each in told.findings] == [("gained", "GH101")]
    assert response.content == compare(excerpt(HEALTHY), excerpt(SICK)).to_json()


def test_analyses_are_compared_by_id_and_reports_with_analyses(
    service: Service, reports: tuple[Report, Report]
) -> None:
    old, new = (ended(service, report) for report in reports)
    reports = tuple(report.model_copy(update={"id": name}) for report, name in zip(reports, (old, new), strict=True))
    expected = compare(*reports).to_json()
    whole = [json.loads(report.to_json()) for report in reports]
    for pair in ((old, new), (whole[0], new), (old, whole[1]), tuple(whole)):
        response = ask(service, *pair)
        assert (response.status_code, response.content) == (HTTPStatus.OK, expected)


@pytest.mark.parametrize(
    ("old", "new", "query", "status"),
    [
        (HEALTHY, SICK, "", HTTPStatus.OK),
        (HEALTHY, SICK, "?fail_on=error", HTTPStatus.UNPROCESSABLE_ENTITY),
        (SICK, SICK, "?fail_on=error", HTTPStatus.OK),
        (SICK, HEALTHY, "?fail_on=info", HTTPStatus.OK),
        (RISK, RISKIER, "?fail_on=error", HTTPStatus.OK),
        (RISK, RISKIER, "?fail_on=warning", HTTPStatus.UNPROCESSABLE_ENTITY),
        (HEALTHY, small_report("inconclusive"), "?fail_on=error", HTTPStatus.OK),
        (HEALTHY, small_report("inconclusive"), "?fail_on=inconclusive", HTTPStatus.UNPROCESSABLE_ENTITY),
    ],
)
def test_with_a_gate_a_regression_is_422_with_the_comparison_itself(
    service: Service, old: dict[str, Any], new: dict[str, Any], query: str, status: HTTPStatus
) -> None:
    response = ask(service, old, new, query)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.headers["gradient-health-verdict"] == new["verdict"]
    gate = Gate.parse(query.partition("=")[2] or "error")
    assert response.content == compare(excerpt(old), excerpt(new), gate).to_json()


def test_answers_obey_the_published_schema(service: Service, reports: tuple[Report, Report]) -> None:
    schema = service.get("/v1/schema/comparison").json()
    jsonschema.Draft202012Validator.check_schema(schema)
    old, new = (ended(service, report) for report in reports)
    for pair in ((old, new), (new, old), (HEALTHY, SICK)):
        jsonschema.validate(ask(service, *pair).json(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"regression": "no"}, schema)


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("body", "where", "words"),
    [
        ({}, "old", "field required"),
        ({"old": HEALTHY}, "new", "field required"),
        ({"old": HEALTHY, "new": SICK, "fail_on": "error"}, "fail_on", "unknown field"),
        ([HEALTHY, SICK], "", "JSON object"),
        ({"old": 1, "new": SICK}, "old", "JSON object"),
        ({"old": HEALTHY, "new": None}, "new", "JSON object"),
        ({"old": {}, "new": SICK}, "old.schema_version", "verdict: field required"),
        ({"old": HEALTHY, "new": SICK | {"verdict": "fine"}}, "new.verdict", "given 'fine'"),
        ({"old": HEALTHY | {"layers": [{}]}, "new": SICK}, "old.layers.0.id", "field required"),
        ({"old": HEALTHY, "new": SICK | {"schema_version": "2.0"}}, "new.schema_version", "expected 1.x"),
    ],
)
def test_an_invalid_body_is_refused_by_field(service: Service, body: object, where: str, words: str) -> None:
    problem = problem_in(service.ask("POST", PATH, json=body), HTTPStatus.UNPROCESSABLE_ENTITY, "bad-report")
    assert problem.where == where
    assert words in problem.detail
    assert problem.hint
    assert problem.instance == PATH


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 10_000, b'{"old": "\\ud800", "new": "a"}'])
def test_what_is_not_json_is_refused(service: Service, content: bytes) -> None:
    response = service.ask("POST", PATH, content=content, headers={"Content-Type": "application/json"})
    assert "not JSON" in problem_in(response, HTTPStatus.BAD_REQUEST, "bad-request").detail


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", None])
def test_another_media_type_is_refused(service: Service, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    response = service.ask("POST", PATH, content=b"{}", headers=headers)
    problem = problem_in(response, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type")
    assert "curl --json" in problem.hint


def test_a_parameter_of_the_media_type_does_not_matter(service: Service) -> None:
    content = json.dumps({"old": HEALTHY, "new": SICK}).encode()
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert service.ask("POST", PATH, content=content, headers=headers).status_code == HTTPStatus.OK


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
def test_a_body_over_the_limit_is_refused(service: Service, announced: bool) -> None:
    content = json.dumps({"old": HEALTHY, "new": SICK}).encode() + b" " * (1 << 20)

    async def chunks() -> Any:
        for start in range(0, len(content), 1 << 16):
            yield content[start : start + (1 << 16)]

    headers = {"Content-Type": "application/json"}
    response = service.ask("POST", PATH, content=content if announced else chunks(), headers=headers)
    problem = problem_in(response, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "upload-too-large")
    assert str(1 << 20) in problem.detail


def test_a_bad_gate_is_refused(service: Service) -> None:
    assert (
        problem_in(ask(service, HEALTHY, SICK, "?fail_on=x"), HTTPStatus.BAD_REQUEST, "bad-options").where == "fail_on"
    )


# ------------------------------------------------------------------ analyses


@pytest.mark.parametrize("job_id", ["0193a1c2-7e60-7c3e-9d55-2f6b1f0c8a11", "", "\0", "é" * 500])
def test_an_analysis_nobody_submitted_is_not_found(service: Service, job_id: str) -> None:
    for query in ("", "?fail_on=error"):
        assert problem_in(ask(service, job_id, SICK, query), HTTPStatus.NOT_FOUND, "not-found").where == "old"
        assert problem_in(ask(service, HEALTHY, job_id, query), HTTPStatus.NOT_FOUND, "not-found").where == "new"


def test_an_analysis_of_another_tenant_is_not_found(service: Service, reports: tuple[Report, Report]) -> None:
    job_id = ended(service, reports[0])
    assert ask(service, job_id, SICK).status_code == HTTPStatus.OK
    with service.parts.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET tenant = 'other'")
    problem_in(ask(service, job_id, SICK), HTTPStatus.NOT_FOUND, "not-found")


def test_an_unfinished_analysis_is_409_and_with_a_gate_503(service: Service) -> None:
    job_id = job_of(service.submit())
    for query, status in (("", HTTPStatus.CONFLICT), ("?fail_on=error", HTTPStatus.SERVICE_UNAVAILABLE)):
        response = ask(service, HEALTHY, job_id, query)
        problem = problem_in(response, status, "not-finished")
        assert "queued" in problem.detail
        assert problem.where == "new"
        assert response.headers["location"] == f"/v1/analyses/{job_id}"
        assert int(response.headers["retry-after"]) > 0


def test_an_analysis_without_a_report_answers_with_its_problem(service: Service) -> None:
    failed = job_of(service.submit())
    service.fail()
    problem = problem_in(ask(service, failed, SICK), HTTPStatus.UNPROCESSABLE_ENTITY, "unsupported-operator")
    assert (problem.where, problem.detail) == ("old: node 'det'", "Det")
    cancelled = job_of(service.submit())
    service.fail(State.CANCELLED, None)
    assert problem_in(ask(service, SICK, cancelled), HTTPStatus.GONE, "job-cancelled").where == "new"
    assert UNSUPPORTED["where"] == "node 'det'"  # what is stored stays as it is


# ------------------------------------------------------------------ OpenAPI


def test_the_examples_of_the_document_are_understood(service: Service, reports: tuple[Report, Report]) -> None:
    document = service.get("/openapi.json").json()
    body = document["paths"][PATH]["post"]["requestBody"]["content"]["application/json"]
    schema = body["schema"] | {"components": document["components"]}
    for example in body["examples"].values():
        jsonschema.validate(example["value"], schema)
    whole = json.loads(reports[0].to_json())
    jsonschema.validate({"old": "an id", "new": whole}, schema)
    kept = body["examples"]["report and id"]["value"]["old"]
    assert ask(service, kept, whole).status_code == HTTPStatus.OK
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"old": "a"}, schema)
