"""A stored report as JSON or as a page."""

from http import HTTPStatus

from analysis.render.html import content_security_policy, render_html
from analysis.report import Report
from tests.service.application import Service, as_told, problem_in

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def finished(service: Service, report: Report) -> str:
    """Where the report is."""
    service.submit()
    return f"/v1/analyses/{service.succeed(report).id}/report"


def told(report: Report, path: str) -> Report:
    """With the id of its analysis."""
    return report.model_copy(update={"id": path.split("/")[3]})


def test_a_browser_gets_the_page_and_everybody_else_the_json(service: Service, sick: Report) -> None:
    path = finished(service, sick)
    page = service.ask("GET", path, headers={"Accept": BROWSER})
    assert page.status_code == HTTPStatus.OK
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == render_html(told(sick, path), served=True)
    plain = service.get(path)
    assert (plain.headers["content-type"], plain.content) == ("application/json", told(sick, path).to_json())
    for response in (page, plain):
        assert response.headers["vary"] == "Accept, Accept-Encoding"
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
            assert (again.headers["etag"], again.headers["vary"]) == (tags[form], "Accept, Accept-Encoding")
    assert len(set(tags.values())) == 2
    crossed = service.ask("GET", path, headers={"Accept": "text/html", "If-None-Match": tags["application/json"]})
    assert crossed.status_code == HTTPStatus.OK


def test_a_gate_judges_a_page_as_it_judges_json(service: Service, sick: Report) -> None:
    path = f"{finished(service, sick)}?fail_on=error"
    page = service.ask("GET", path, headers={"Accept": "text/html", "If-None-Match": "*"})
    assert page.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text == render_html(told(sick, path), served=True)


def test_what_is_neither_is_refused_and_errors_stay_problems(service: Service, healthy: Report) -> None:
    path = finished(service, healthy)
    refused = service.ask("GET", path, headers={"Accept": "image/png"})
    body = problem_in(refused, HTTPStatus.NOT_ACCEPTABLE, "not-acceptable")
    assert "application/json or text/html or text/markdown" in body.detail
    assert refused.headers["vary"] == "Accept, Accept-Encoding"
    browser = {"Accept": BROWSER}
    problem_in(service.ask("GET", "/v1/analyses/x/report", headers=browser), HTTPStatus.NOT_FOUND, "not-found")
    waiting = service.submit().headers["location"] + "/report"
    problem_in(service.ask("GET", waiting, headers=browser), HTTPStatus.CONFLICT, "not-finished")


def test_a_report_is_compressed_for_those_who_take_it_under_a_tag_of_its_own(service: Service, sick: Report) -> None:
    path = finished(service, sick)
    plain = service.ask("GET", path, headers={"Accept-Encoding": "identity"})
    small = service.ask("GET", path, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert small.content == plain.content == as_told(sick, plain)
    assert int(small.headers["content-length"]) * 3 < int(plain.headers["content-length"])
    assert small.headers["etag"] != plain.headers["etag"]
    known = {"Accept-Encoding": "gzip", "If-None-Match": small.headers["etag"]}
    assert service.ask("GET", path, headers=known).status_code == HTTPStatus.NOT_MODIFIED
