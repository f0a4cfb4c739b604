"""A report as a notebook and a terminal show it."""

import html
import re
from pathlib import Path

import pytest
from torch import nn

from analysis.errors import Unsupported
from analysis.render.html import render_html
from gradient_health.answer import ModuleReport
from tests.analysis.diagnosis.builders import FAILS, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import trained, trial

REPORT = report_of(name="<b>model</b>")


def test_a_terminal_is_shown_a_line_and_the_report_when_it_is_printed() -> None:
    found = ModuleReport(REPORT)
    assert repr(found) == f"<ModuleReport healthy: {REPORT.summary}>"
    assert "HEALTHY" in str(found)
    assert (found.verdict, found.summary) == (REPORT.verdict, REPORT.summary)


def test_a_notebook_is_shown_the_page_in_a_frame_that_runs_nothing() -> None:
    shown = ModuleReport(REPORT)._repr_html_()
    (page,) = re.findall(r'srcdoc="([^"]*)"', shown)
    assert html.unescape(page) == render_html(REPORT, scripted=False)
    assert 'sandbox=""' in shown
    assert "<b>" not in shown


def test_the_diff_stands_behind_the_report_and_below_the_page() -> None:
    found = ModuleReport(REPORT, "-  (1): Sigmoid()\n+  (1): <ReLU>()")
    assert str(found).endswith("\n\nThe change in your module\n\n-  (1): Sigmoid()\n+  (1): <ReLU>()\n")
    assert found._repr_html_().endswith(">-  (1): Sigmoid()\n+  (1): &lt;ReLU&gt;()</pre></details>")


def test_why_nothing_is_repaired() -> None:
    with pytest.raises(Unsupported, match="no change to make: healthy"):
        ModuleReport(REPORT).repaired(nn.Linear(1, 1))
    ill = report_of(measurement(probe=FAILS), [trial("he", measurement(probe=trained(0.2)))])
    with pytest.raises(Unsupported, match="no repaired model of he was kept"):
        ModuleReport(ill).repaired(nn.Linear(1, 1))
    clipped = report_of(measurement(probe=FAILS), [trial("clip", measurement(probe=trained(0.2)))])
    with pytest.raises(Unsupported, match="clip changes the training loop, and nothing of the module"):
        ModuleReport(clipped, "+clip").repaired(nn.Linear(1, 1))


def test_the_page_is_written_to_a_file(tmp_path: Path) -> None:
    ModuleReport(REPORT).save_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text("utf-8") == render_html(REPORT)
