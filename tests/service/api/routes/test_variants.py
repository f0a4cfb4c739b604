"""Variants over HTTP: one of them whole, and its repaired model, or why it is not there."""

import hashlib
from http import HTTPStatus

import pytest

from analysis.facts import ModelFile
from analysis.report import Report, Variant
from analysis.report.document import LeftOut
from tests.service.application import UNSUPPORTED, Service, job_of, problem_in


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
    as_bytes = service.ask("GET", f"/v1/analyses/{job_id}/{href}", headers={"Accept": "application/octet-stream"})
    assert (as_bytes.headers["content-type"], as_bytes.content) == ("application/octet-stream", content)
    known = {"If-None-Match": response.headers["etag"]}
    again = service.ask("GET", f"/v1/analyses/{job_id}/{href}", headers=known)
    assert (again.status_code, again.content) == (HTTPStatus.NOT_MODIFIED, b"")


def test_a_variant_alone_is_what_the_report_has_of_it(service: Service, sick: Report) -> None:
    job_id = job_of(service.submit())
    problem_in(service.get(f"/v1/analyses/{job_id}/variants/baseline"), HTTPStatus.CONFLICT, "not-finished")
    service.succeed(sick)
    whole = {each["id"]: each for each in service.get(f"/v1/analyses/{job_id}/report").json()["variants"]}
    assert "baseline" in whole
    for name, told in whole.items():
        response = service.get(f"/v1/analyses/{job_id}/variants/{name}")
        assert (response.headers["content-type"], response.json()) == ("application/json", told)
        assert Variant.model_validate_json(response.content) in sick.variants
    told = problem_in(service.get(f"/v1/analyses/{job_id}/variants/magic"), HTTPStatus.NOT_FOUND, "not-found")
    assert told.where == "magic"


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
