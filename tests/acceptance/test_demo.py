"""`make demo`, as its reader would check it."""

import subprocess
import sys
from pathlib import Path

import pytest

from analysis.render.html import render_html
from analysis.report import Report, Verdict

DEMO = Path(__file__).parents[2] / "deploy" / "demo" / "run.py"


@pytest.mark.server
def test_the_demo_ends_with_a_verdict_a_proven_remedy_and_a_report(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO)], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert "deep_sigmoid.onnx: UNHEALTHY" in done.stdout
    assert "prove" in done.stdout
    report = Report.from_json((tmp_path / "report.json").read_bytes())
    assert (tmp_path / "report.html").read_text() == render_html(report)
    assert report.verdict is Verdict.UNHEALTHY
    proof = report.remedies[0].proof
    assert proof.worst <= 0.5
    assert proof.unchanged is not None
    assert proof.unchanged > 0.92
    assert report.engine.sandbox["rlimits"] == "on"
