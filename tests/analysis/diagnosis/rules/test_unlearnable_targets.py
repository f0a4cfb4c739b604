from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.facts import TargetFacts, TargetReading
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, measurement, probe, run
from tests.analysis.diagnosis.rules.patients import evidence, fired, found, severity

NOTHING = TargetReading(samples=256, linear=-0.1, neighbours=-0.2, permuted=-0.05, reference=0.01)
LABELS = TargetFacts(kind="labels", least=0.0, most=4.0, mean=2.0, std=1.4, rms=2.4, classes=5, present=5)
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


@pytest.mark.parametrize(("floor", "said"), [(0.51, Severity.WARNING), (0.49, None)])
def test_equal_inputs_that_are_asked_for_different_things_explain_what_is_not_learnt(
    floor: float, said: Severity | None
) -> None:
    targets = replace(LABELS, floor=floor)
    patient = measurement(probe=FAILS, targets=targets, target_reading=None)
    assert severity("GH505", patient) is said
    if said:
        assert evidence(found("GH505", patient))["least_loss_over_chance"][:2] == (floor, 0.5)
        assert {each.rule: each.caused_by for each in diagnose(patient)} == {"GH105": ("GH505",), "GH505": ()}
        assert severity("GH505", replace(patient, probe=LEARNS)) is Severity.INFO


def test_nothing_is_said_where_nobody_asked() -> None:
    assert fired("GH505", measurement(probe=FAILS)) is None


def test_evidence_that_takes_a_failed_training_for_its_second_witness_is_a_remark_then() -> None:
    loss = replace(measurement().loss, value=90.0)
    assert severity("GH501", measurement(probe=BY_HEART, loss=loss)) is Severity.WARNING
    assert severity("GH501", measurement(probe=BY_HEART, loss=loss, target_reading=NOTHING)) is Severity.INFO
