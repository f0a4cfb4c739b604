from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.facts import BatchFacts, Confidence, NormalizationTrial, Provenance
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, measurement, probe, run
from tests.analysis.diagnosis.rules.patients import evidence, fired, found, severity

ADAM_ALONE = probe(run("sgd", 1.0), run("adam", 0.3))


def trial(end: float, *, frozen: bool = False, values: int = 1, minibatch: int = 1) -> NormalizationTrial:
    return NormalizationTrial(
        frozen=frozen, minibatch=minibatch, usual_minibatch=32, values=values, without=run("sgd", 0.3),
        run=run("sgd", end),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        (measurement(probe=FAILS, normalization=trial(0.99)), Severity.ERROR),
        (measurement(probe=FAILS, normalization=trial(0.75)), Severity.ERROR),
        (measurement(probe=ADAM_ALONE, normalization=trial(0.99)), Severity.WARNING),
        (measurement(probe=FAILS, normalization=trial(0.4)), None),
        (measurement(probe=LEARNS, normalization=trial(0.81, frozen=True)), Severity.ERROR),
        (measurement(probe=LEARNS, normalization=trial(0.79, frozen=True)), Severity.WARNING),
        (measurement(probe=LEARNS, normalization=trial(0.4, frozen=True)), None),
        (measurement(probe=FAILS), None),
    ],
)
def test_a_training_that_fails_by_its_normalisation_alone_accuses_it(
    patient: object, expected: Severity | None
) -> None:
    assert severity("GH604", patient) is expected  # type: ignore[arg-type]


def test_it_explains_that_nothing_is_learnt() -> None:
    patient = measurement(probe=FAILS, normalization=trial(1.0))
    assert {each.rule: each.caused_by for each in diagnose(patient)}["GH105"] == ("GH604",)


def test_both_ends_are_told_and_the_values_beside_those_of_usual_minibatches() -> None:
    one = evidence(found("GH604", measurement(probe=FAILS, normalization=trial(1.0))))
    assert one["loss_over_chance_as_trained"][:2] == (1.0, 0.7)
    assert one["loss_over_chance_as_usual"][:2] == (0.3, 0.7)
    assert one["values_per_channel"][:2] == (1.0, 2.0)
    few = evidence(found("GH604", measurement(probe=FAILS, normalization=trial(1.0, values=12, minibatch=3))))
    assert few["values_per_channel"][:2] == (12.0, 128.0)
    frozen = evidence(found("GH604", measurement(probe=LEARNS, normalization=trial(1.0, frozen=True))))
    assert "values_per_channel" not in frozen


def test_a_batch_of_one_sample_is_a_warning_where_a_layer_sees_one_value_and_somebody_sent_it() -> None:
    sent = BatchFacts(sha256="0", size=1, provenance=Provenance.UPLOADED, constant_inputs=True)
    finding = found("GH604", measurement(batch=sent, values_per_channel=1))
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.MEDIUM)
    assert fired("GH604", measurement(batch=sent, values_per_channel=64)) is None
    assert fired("GH604", measurement(batch=sent)) is None
    made_up = replace(sent, provenance=Provenance.SYNTHETIC)
    assert fired("GH604", measurement(batch=made_up, values_per_channel=1)) is None
