import math
from dataclasses import replace

import pytest

from analysis.diagnosis.readings import amber, learns, settled
from analysis.diagnosis.verdict import verdict_of
from analysis.facts import Measurement, OwnLoss, Run
from analysis.report import Severity, Verdict
from tests.analysis.diagnosis.builders import flow, measurement, run
from tests.analysis.diagnosis.rules.patients import evidence, fired, found, severity

BY_ITSELF = measurement().loss


def curve(optimizer: str, *values: float) -> Run:
    return replace(run(optimizer), curve=values)


def patient(*runs: Run) -> Measurement:
    loss = replace(BY_ITSELF, name="graph", chance=None)
    own = OwnLoss(steps=200, samples=64, unit=2.0, runs=runs) if runs else None
    return measurement(loss=loss, own_loss=own)


FALLS = curve("sgd", 1.0, 0.5, 0.125)
ADAM = curve("adam", 1.0, 0.5, 0.125)
STAYS = curve("sgd", 1.0, 1.0, 0.9875)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ((STAYS, curve("adam", 1.0, 1.0, 0.975)), Severity.ERROR),
        ((STAYS, curve("adam", 1.0, 0.98, 0.95)), Severity.WARNING),
        ((STAYS, ADAM), Severity.WARNING),
        ((curve("sgd", 1.0, math.nan), ADAM), Severity.WARNING),
        ((curve("sgd", 1.0, 0.003, 0.002), ADAM), Severity.WARNING),
        ((curve("sgd", 1.0, 0.003, 0.001), ADAM), None),
        ((FALLS, STAYS), None),
        ((curve("sgd", -0.1, -0.1, -0.11), curve("adam", -0.1, -0.1, -0.1)), Severity.ERROR),
        ((curve("sgd", -0.1, -0.2, -0.5), ADAM), None),
    ],
)
def test_a_loss_that_stays_or_falls_to_a_rest_that_hardly_moves(runs: tuple[Run, ...], expected: Severity) -> None:
    each = patient(*runs)
    if expected is None:
        assert fired("GH605", each) is None
    else:
        assert severity("GH605", each) is expected


def test_the_fall_is_told_in_parts_of_the_start() -> None:
    told = evidence(found("GH605", patient(STAYS, ADAM)))
    assert told["fall_of_own_loss"][0] == pytest.approx(0.875)
    assert told["fall_with_sgd"][0] == pytest.approx(0.0125)


def test_a_loss_that_comes_down_speaks_for_the_network_as_a_probe_does() -> None:
    assert learns(patient(STAYS, ADAM))
    assert not learns(patient(STAYS))
    assert amber(patient(FALLS)) is Severity.INFO
    assert amber(patient(STAYS, ADAM)) is Severity.WARNING
    assert settled(patient(STAYS), doubtful=True) is Severity.ERROR
    assert settled(patient(), doubtful=True) is Severity.WARNING


def test_no_graph_with_its_own_loss_is_healthy_before_it_was_trained() -> None:
    assert verdict_of(patient(), []) is Verdict.INCONCLUSIVE
    assert verdict_of(patient(FALLS), []) is Verdict.HEALTHY
    unknown = replace(patient(FALLS), flow=flow(math.nan, absent={"decades_rms": "short"}))
    assert verdict_of(unknown, []) is Verdict.HEALTHY
