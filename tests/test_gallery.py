"""The confusion matrix of the gallery: the sick fire their rules, the healthy have no error-level finding."""

import pytest

from analysis.pipeline import analyze
from analysis.report import Report, Severity, Verdict
from tests.gallery import HEALTHY, SICK


def errors(report: Report) -> set[str]:
    return {finding.rule for finding in report.findings if finding.severity is Severity.ERROR}


@pytest.mark.parametrize("name", SICK)
def test_a_sick_network_is_unhealthy_for_the_right_reason_and_gets_a_proven_remedy(name: str) -> None:
    patient = SICK[name]()
    report = analyze(patient.model, patient.batch)
    assert report.verdict is Verdict.UNHEALTHY
    assert patient.expected <= errors(report)
    assert report.remedies
    best = report.remedies[0].proof
    assert best.worst <= 0.5
    assert best.unchanged is not None
    assert best.unchanged > 0.92


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("with_batch", [True, False], ids=["uploaded batch", "no batch"])
def test_a_healthy_network_has_no_error_level_finding(name: str, with_batch: bool) -> None:
    patient = HEALTHY[name]()
    report = analyze(patient.model, patient.batch if with_batch else None)
    assert not errors(report), report.summary
    assert report.verdict in {Verdict.HEALTHY, Verdict.AT_RISK}
    assert report.verdict is Verdict.HEALTHY or not report.variants[0].absent.get("probe")
