"""The list of formats, as the command line, HTTP and the client read it."""

import json

import pytest

from analysis.render.formats import BY_NAME, BY_SUFFIX, FORMATS, JSON, Format, Publication
from analysis.render.html import render_html
from analysis.report import Report
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import SHAPES, by_hand

NAMES = {"json", "html", "md", "text", "junit", "sarif", "openmetrics", "codequality", "github", "summary"}


def test_each_format_has_a_name_and_a_suffix_of_its_own() -> None:
    assert set(BY_NAME) == NAMES
    assert len(BY_NAME) == len(BY_SUFFIX) == len(FORMATS)
    assert FORMATS[0] is JSON
    assert {BY_SUFFIX[each].name for each in ("junit.xml", "sarif", "codequality.json", "metrics.txt", "md")} == {
        "junit", "sarif", "codequality", "openmetrics", "md",
    }  # fmt: skip


@pytest.mark.parametrize("form", FORMATS, ids=lambda each: each.name)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_format_takes_every_report_and_gives_text_that_ends_its_last_line(form: Format, shape: str) -> None:
    report = SHAPES[shape]()
    text = form.render(report, Publication())
    assert text.endswith("\n") or form.name == "html"
    assert text == form.render(report, Publication())


def test_json_is_the_report_and_a_page_that_is_served_has_its_links() -> None:
    report = by_hand()
    assert Report.from_json(JSON.render(report, Publication())) == report
    for served in (False, True):
        page = BY_NAME["html"].render(report, Publication(served=served))
        assert page == render_html(report, served=served)


def test_a_media_type_without_its_parameters() -> None:
    assert BY_NAME["openmetrics"].essence == "application/openmetrics-text"
    assert {each.essence for each in FORMATS if each.name in {"json", "codequality", "summary"}} == {JSON.essence}


@pytest.mark.parametrize("name", sorted(NAMES - {"junit", "html"}))
def test_flow_is_the_same_number_in_every_format(name: str) -> None:
    report = by_hand()
    (evidence,) = [each.evidence["flow_decades"] for each in report.findings if each.rule == "GH101"]
    exact = {"json", "sarif", "openmetrics", "summary"}
    said = json.dumps(evidence.value) if name in exact else f"flow_decades {evidence.value:.3g} (limit"
    assert said in BY_NAME[name].render(report, Publication())


def test_a_healthy_report_is_an_empty_list_where_findings_are_listed() -> None:
    assert json.loads(BY_NAME["codequality"].render(report_of(), Publication())) == []
