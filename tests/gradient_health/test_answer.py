"""A report as a notebook and a terminal show it."""

import html
import re
from pathlib import Path

from analysis.render.html import render_html
from gradient_health.answer import ModuleReport
from tests.analysis.diagnosis.reports import report_of

REPORT = report_of(name="<b>model</b>")


def test_a_terminal_is_shown_a_line_and_the_report_when_it_is_printed() -> None:
    found = ModuleReport(REPORT)
    assert repr(found) == f"<ModuleReport healthy: {REPORT.summary}>"
    assert "HEALTHY" in str(found)
    assert (found.verdict, found.summary) == (REPORT.verdict, REPORT.summary)


def test_a_notebook_is_shown_the_page_in_a_frame_that_runs_nothing() -> None:
    shown = ModuleReport(REPORT)._repr_html_()
    (page,) = re.findall(r'srcdoc="([^"]*)"', shown)
    assert html.unescape(page) == render_html(REPORT)
    assert 'sandbox=""' in shown
    assert "<b>" not in shown


def test_the_page_is_written_to_a_file(tmp_path: Path) -> None:
    ModuleReport(REPORT).save_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text("utf-8") == render_html(REPORT)
