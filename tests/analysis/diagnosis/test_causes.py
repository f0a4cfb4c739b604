from analysis.diagnosis.causes import diagnose
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, stats, with_activation
from tests.analysis.diagnosis.rules.patients import LOW_LEVERAGE


def test_a_healthy_measurement_has_no_finding() -> None:
    assert diagnose(measurement()) == ()
    assert diagnose(measurement(probe=LEARNS)) == ()


def test_causes_come_before_consequences_and_the_worst_finding_first() -> None:
    patient = measurement(
        flow=flow(-6.0, leverage_log10=LOW_LEVERAGE),
        stats=(stats(1), with_activation(2, dead_fraction=1.0), stats(3)),
        probe=FAILS,
    )
    found = {finding.rule: finding for finding in diagnose(patient)}
    assert found["GH201"].caused_by == ()
    assert found["GH101"].caused_by == ("GH201",)
    assert found["GH105"].caused_by == ("GH201",)  # which explains GH101, too


def test_a_warning_does_not_cause_an_error() -> None:
    patient = measurement(
        flow=flow(-6.0, leverage_log10=LOW_LEVERAGE), stats=(stats(1), with_activation(2, dead_fraction=0.3), stats(3))
    )
    found = {finding.rule: finding for finding in diagnose(patient)}
    assert found["GH201"].severity is Severity.WARNING
    assert found["GH101"].caused_by == ()
