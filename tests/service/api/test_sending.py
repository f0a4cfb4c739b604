"""A report on request: small where a summary is asked for, and never before it is there."""

from http import HTTPStatus

from analysis.render.summary import Summary, render_summary
from analysis.report import Report
from tests.service.application import Service, named, problem_in


def test_a_summary_is_small_and_says_the_same(service: Service, sick: Report) -> None:
    service.submit()
    job = service.succeed(sick)
    path = f"/v1/analyses/{job.id}/report"
    told = service.ask("GET", f"{path}?view=summary", headers={"Accept": "text/html, */*;q=0.1"})
    assert (told.status_code, told.text) == (HTTPStatus.OK, render_summary(named(sick, job.id)))
    assert told.headers["content-type"] == "application/json"
    assert len(told.content) < 20_000 < len(service.get(path).content)
    summary = Summary.model_validate_json(told.content)
    for link in summary.links.values():
        assert service.get(f"{path.removesuffix('report')}{link}").status_code == HTTPStatus.OK, link


def test_a_submission_may_ask_for_the_summary_and_passes_the_gate(service: Service, sick: Report) -> None:
    with service.worker(sick):
        told = service.submit("?view=summary&fail_on=error", headers={"Prefer": "wait=60"})
    expected = render_summary(named(sick, told.json()["id"]))
    assert (told.status_code, told.text) == (HTTPStatus.UNPROCESSABLE_ENTITY, expected)


def test_the_full_report_is_what_is_sent_unless_asked_otherwise(service: Service, sick: Report) -> None:
    service.submit()
    job = service.succeed(sick)
    path = f"/v1/analyses/{job.id}/report"
    assert service.get(f"{path}?view=full").content == service.get(path).content == named(sick, job.id).to_json()


def test_another_view_is_refused(service: Service, sick: Report) -> None:
    service.submit()
    path = f"/v1/analyses/{service.succeed(sick).id}/report?view=tiny"
    assert problem_in(service.get(path), HTTPStatus.BAD_REQUEST, "bad-request").where == "view"
