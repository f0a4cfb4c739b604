from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.facts import TargetReading
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, measurement, probe, run
from tests.analysis.diagnosis.rules.patients import evidence, fired, found, severity

NOTHING = TargetReading(samples=256, linear=-0.1, neighbours=-0.2, permuted=-0.05, reference=0.01)
BY_HEART = probe(run("sgd", 0.9), run("adam", 0.3))


def test_targets_that_no_reader_reads_are_a_warning_and_not_the_networks_fault() -> None:
    patient = measurement(probe=FAILS, target_reading=NOTHING)
    finding = found("GH505", patient)
    assert (finding.severity, finding.confidence.value) == (Severity.WARNING, "medium")
    shown = {"linear_share": (-0.1, -0.05, None), "neighbours_share": (-0.2, -0.05, None)}
    assert evidence(finding) == {**shown, "reference_network_share": (0.01, 0.05, pytest.approx(0.69897))}
    assert {each.rule: each.caused_by for each in diagnose(patient)} == {"GH105": ("GH505",), "GH505": ()}


@pytest.mark.parametrize("change", [{"linear": 0.1}, {"neighbours": 0.1}, {"reference": 0.05}, {"permuted": -0.15}])
def test_one_reader_that_reads_them_is_enough(change: dict[str, float]) -> None:
    assert fired("GH505", measurement(probe=FAILS, target_reading=replace(NOTHING, **change))) is None


def test_nothing_is_said_where_nobody_asked() -> None:
    assert fired("GH505", measurement(probe=FAILS)) is None


def test_evidence_that_takes_a_failed_training_for_its_second_witness_is_a_remark_then() -> None:
    loss = replace(measurement().loss, value=90.0)
    assert severity("GH501", measurement(probe=BY_HEART, loss=loss)) is Severity.WARNING
    assert severity("GH501", measurement(probe=BY_HEART, loss=loss, target_reading=NOTHING)) is Severity.INFO
