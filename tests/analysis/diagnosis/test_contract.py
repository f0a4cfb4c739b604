from analysis.diagnosis.causes import diagnose
from analysis.facts import Confidence
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import LOW_LEVERAGE


def test_confidence_never_exceeds_the_cap() -> None:
    patient = measurement(flow=flow(-6.0, leverage_log10=LOW_LEVERAGE), confidence_cap=Confidence.MEDIUM)
    assert {finding.confidence for finding in diagnose(patient)} == {Confidence.MEDIUM}
