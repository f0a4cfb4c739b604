"""What a format is told besides the report."""

from analysis.render._publication import PLAINLY, Publication
from analysis.report import Severity
from tests.analysis.diagnosis.reports import report_of


def test_a_finding_is_pinned_to_the_path_in_the_repository_or_else_to_the_name() -> None:
    assert Publication(path="models/net.onnx").file(report_of(name="net.onnx")) == "models/net.onnx"
    assert PLAINLY.file(report_of(name="net.onnx")) == "net.onnx"


def test_by_default_errors_fail_and_nothing_is_served() -> None:
    assert PLAINLY.gate.severity is Severity.ERROR
    assert not PLAINLY.gate.inconclusive
    assert not PLAINLY.served
