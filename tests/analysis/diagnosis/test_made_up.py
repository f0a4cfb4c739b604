"""Trained weights on made-up inputs: the same numbers count for less."""

from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.made_up import is_out_of_place, weighed
from analysis.facts import Measurement, Provenance
from analysis.report import Finding, Severity
from tests.analysis.diagnosis.builders import FAILS, flow, measurement, with_activation
from tests.analysis.diagnosis.rules.patients import LOW_LEVERAGE

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO


def on_made_up_inputs(patient: Measurement, *, trained: bool) -> Measurement:
    return replace(patient, batch=replace(patient.batch, provenance=Provenance.SYNTHETIC), trained=trained)


SICK = measurement(
    flow=flow(-6.0, leverage_log10=LOW_LEVERAGE),
    stats=tuple(with_activation(number, dead_fraction=1.0) for number in (1, 2, 3)),
    probe=FAILS,
)


def severities(patient: Measurement) -> dict[str, Severity]:
    return {finding.rule: finding.severity for finding in diagnose(patient)}


def test_it_takes_trained_weights_and_made_up_inputs() -> None:
    assert is_out_of_place(on_made_up_inputs(SICK, trained=True))
    assert not is_out_of_place(on_made_up_inputs(SICK, trained=False))
    assert not is_out_of_place(replace(SICK, trained=True))


def test_what_is_said_of_the_inputs_is_a_remark_and_the_rest_one_step_less() -> None:
    before = severities(SICK)
    assert (before["GH101"], before["GH201"], before["GH105"]) == (ERROR, ERROR, ERROR)
    assert severities(on_made_up_inputs(SICK, trained=False)).items() >= {"GH101": ERROR, "GH201": ERROR}.items()
    after = severities(on_made_up_inputs(SICK, trained=True))
    assert (after["GH101"], after["GH201"], after["GH105"]) == (WARNING, INFO, INFO)
    assert ERROR not in after.values()


@pytest.mark.parametrize(
    ("before", "after", "of_inputs"),
    [(ERROR, WARNING, False), (WARNING, INFO, False), (INFO, INFO, False), (ERROR, INFO, True), (WARNING, INFO, True)],
)
def test_each_severity(before: Severity, after: Severity, of_inputs: bool) -> None:
    finding = next(each for each in diagnose(SICK) if each.rule == "GH101").model_copy(update={"severity": before})
    assert isinstance(finding, Finding)
    assert (
        weighed(finding, on_made_up_inputs(SICK, trained=True), of_inputs=of_inputs, of_targets=False).severity is after
    )
    assert weighed(finding, SICK, of_inputs=of_inputs, of_targets=False) == finding


@pytest.mark.parametrize(
    ("trained", "targets", "of_targets", "after"),
    [
        (True, Provenance.SYNTHETIC, True, INFO),
        (True, Provenance.SYNTHETIC, False, ERROR),
        (True, Provenance.UPLOADED, True, ERROR),
        (False, Provenance.SYNTHETIC, True, ERROR),
    ],
)
def test_trained_weights_owe_nothing_to_made_up_targets(
    trained: bool, targets: Provenance, of_targets: bool, after: Severity
) -> None:
    finding = next(each for each in diagnose(SICK) if each.rule == "GH105")
    patient = replace(SICK, trained=trained, loss=replace(SICK.loss, targets=targets))
    assert weighed(finding, patient, of_inputs=True, of_targets=of_targets).severity is after
