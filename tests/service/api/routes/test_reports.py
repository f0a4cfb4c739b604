"""Reports by suffix."""

from http import HTTPStatus

import pytest
from junitparser import JUnitXml

from analysis.render.formats import FORMATS, JSON, Format, Publication
from analysis.report import Report
from tests.service.application import Service, named, problem_in


def finished(service: Service, report: Report) -> str:
    service.submit()
    return f"/v1/analyses/{service.succeed(report).id}/report"


@pytest.mark.parametrize("form", FORMATS, ids=lambda each: each.name)
def test_every_format_has_its_suffix_whatever_is_accepted(service: Service, sick: Report, form: Format) -> None:
    path = finished(service, sick)
    told = service.ask("GET", f"{path}.{form.suffix}", headers={"Accept": "image/png"})
    assert told.status_code == HTTPStatus.OK
    assert told.headers["content-type"] == form.media_type
    assert told.headers["gradient-health-verdict"] == "unhealthy"
    report = named(sick, path.split("/")[3])
    expected = report.to_json().decode() if form is JSON else form.render(report, Publication(served=True))
    assert told.text == expected


def test_the_gate_is_that_of_the_test_cases_and_the_body_is_the_report(service: Service, sick: Report) -> None:
    path = f"{finished(service, sick)}.junit.xml"
    failures = {}
    for gate in ("error", "info"):
        told = service.get(f"{path}?fail_on={gate}")
        assert told.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
        (suite,) = JUnitXml.fromstring(told.content)
        failures[gate] = suite.failures
    assert 0 < failures["error"] < failures["info"]


@pytest.mark.parametrize("suffix", ["pdf", "JSON", "json.exe", "junit", "%0A"])
def test_another_suffix_is_refused_with_what_there_is(service: Service, sick: Report, suffix: str) -> None:
    refused = problem_in(service.get(f"{finished(service, sick)}.{suffix}"), HTTPStatus.NOT_FOUND, "no-such-format")
    assert "report.junit.xml" in refused.hint


def test_before_it_is_there_and_of_nobody_a_report_is_a_problem(service: Service) -> None:
    waiting = service.submit().headers["location"]
    problem_in(service.get(f"{waiting}/report.sarif"), HTTPStatus.CONFLICT, "not-finished")
    problem_in(service.get(f"{waiting}/report.sarif?fail_on=error"), HTTPStatus.SERVICE_UNAVAILABLE, "not-finished")
    problem_in(service.get("/v1/analyses/nobody/report.sarif"), HTTPStatus.NOT_FOUND, "not-found")


def test_a_format_is_not_sent_twice(service: Service, healthy: Report) -> None:
    path = f"{finished(service, healthy)}.sarif"
    known = {"If-None-Match": service.get(path).headers["etag"]}
    assert service.ask("GET", path, headers=known).status_code == HTTPStatus.NOT_MODIFIED
