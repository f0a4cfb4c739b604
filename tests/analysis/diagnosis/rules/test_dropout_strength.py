import pytest

from analysis.diagnosis.causes import diagnose
from analysis.facts import DropoutTrial
from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, measurement, run
from tests.analysis.diagnosis.rules.patients import anatomy, evidence, fired, found, severity


def trial(end: float) -> DropoutTrial:
    return DropoutTrial(nodes=4, most=0.8, without=run("adam", 0.3), run=run("adam", end))


@pytest.mark.parametrize(
    ("end", "expected"), [(1.0, Severity.ERROR), (0.81, Severity.ERROR), (0.79, Severity.WARNING), (0.6, None)]
)
def test_a_training_that_fails_with_dropout_alone_accuses_it(end: float, expected: Severity | None) -> None:
    patient = measurement(probe=LEARNS, dropout=trial(end))
    assert (None if expected is None else severity("GH602", patient)) is expected
    if expected is None:
        assert fired("GH602", patient) is None


def test_both_ends_and_the_ratio_are_told() -> None:
    finding = found("GH602", measurement(probe=LEARNS, dropout=trial(1.0)))
    assert evidence(finding)["loss_over_chance_with_dropout"][:2] == (1.0, 0.8)
    assert evidence(finding)["loss_over_chance_without"][0] == 0.3
    assert evidence(finding)["dropout_ratio"][:2] == (0.8, 0.5)


def test_where_nobody_tried_strong_dropout_is_a_remark_that_explains_nothing() -> None:
    strong = measurement(**anatomy(most_dropout=0.6))
    assert severity("GH602", strong) is Severity.INFO
    assert fired("GH602", measurement(**anatomy(most_dropout=0.5))) is None
    assert all(not each.caused_by for each in diagnose(strong))
