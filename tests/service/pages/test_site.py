"""A page loads its own files and nothing else; static files are sent once."""

import re
from datetime import timedelta
from http import HTTPStatus

import pytest

from analysis.render.html import scripts, style_sheet
from service.jobs.job import Job, Question, State, now
from service.pages.site import HEADERS, POLICY, seconds_of, static_file
from tests.service.application import Service

QUESTION = Question("0" * 64, "net.onnx", None, "{}", "1" * 64)


def test_the_policy_allows_what_the_service_has_itself_and_nothing_inline() -> None:
    policy = dict(each.strip().split(" ", 1) for each in POLICY.split(";"))
    assert policy.pop("default-src") == policy.pop("base-uri") == policy.pop("frame-ancestors") == "'none'"
    assert policy == dict.fromkeys(["script-src", "style-src", "img-src", "connect-src", "form-action"], "'self'")


def test_every_page_has_the_headers_and_asks_for_nothing_elsewhere(service: Service) -> None:
    for path in ("/", "/analyses", "/analyses/x", "/compare"):
        answer = service.get(path)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS, path
        assert not re.search(
            r"<script(?! src=\"/static/)|<style|\son\w+=|\sstyle=|(src|href|action)=\"(?!/|#)", answer.text
        )


@pytest.mark.parametrize("name", ["page.css", "page.js", "icon.svg", "report.css", "uplot.js", "figures.js"])
def test_a_static_file_is_sent_once(name: str) -> None:
    first = static_file(name)
    assert first is not None
    again = static_file(name, f'W/"x", {first.headers["etag"]}')
    assert again is not None
    assert (again.status_code, again.body) == (HTTPStatus.NOT_MODIFIED, b"")
    assert b"http://" not in first.body.replace(b"http://www.w3.org/2000/svg", b"")


def test_the_style_and_the_scripts_of_reports_are_those_of_the_pages_and_other_files_are_not_told(
    service: Service,
) -> None:
    assert service.get("/static/report.css").text == style_sheet()
    named = re.findall(r'<script src="(/static/(?!page)[^"]+)" defer>', service.get("/").text)
    assert [service.get(each).text for each in named] == list(scripts())
    for name in ("site.py", "..%2Fsite.py", "base.html"):
        assert service.get(f"/static/{name}").status_code == HTTPStatus.NOT_FOUND


def test_how_long_it_took_is_told_in_words() -> None:
    begun = now() - timedelta(minutes=2, seconds=5.2)
    assert seconds_of(Job("j", QUESTION, begun)) == ""
    assert seconds_of(Job("j", QUESTION, begun, started=begun, finished=begun + timedelta(seconds=2.54))) == "2.5 s"
    assert seconds_of(Job("j", QUESTION, begun, State.RUNNING, started=begun)) == "2 min 5 s"
