import math
from dataclasses import replace

import pytest

from analysis.facts import OutputFacts, TargetFacts
from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import anatomy, evidence, found, severity

NUMBERS = TargetFacts(kind="numbers", least=-3.0, most=4.0, mean=2.5, std=1.0, rms=2.7)
LABELS = TargetFacts(kind="labels", least=0.0, most=9.0, mean=4.5, std=3.0, rms=5.0, classes=10, present=10)
TANH = OutputFacts(reading="", rms=0.5, least=-1.0, most=1.0, floor=0.3)


@pytest.mark.parametrize(
    ("outputs", "more", "expected"),
    [
        (TANH, {}, Severity.WARNING),
        (replace(TANH, floor=0.5), {}, Severity.ERROR),
        (replace(TANH, floor=0.49), {}, Severity.WARNING),
        (replace(TANH, floor=0.1), {}, None),
        (replace(TANH, floor=None), {}, None),
        (replace(TANH, doubled=True), {}, None),  # GH504
        (TANH, anatomy(stacked_links=("softmax",)), None),  # GH501
        (replace(TANH, link="Sigmoid"), anatomy(stacked_links=("sigmoid",)), Severity.WARNING),  # its own, as it stands
        (replace(TANH, link="Sigmoid"), anatomy(stacked_links=("sigmoid", "softmax")), None),
        (None, {}, None),
    ],
)
def test_outputs_that_cannot_get_there_are_a_warning_and_an_error_over_half_of_chance(
    outputs: OutputFacts | None, more: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH503", measurement(targets=NUMBERS, outputs=outputs, **more)) is expected


def test_both_ends_stand_beside_the_limit_that_they_break() -> None:
    finding = found("GH503", measurement(targets=NUMBERS, outputs=replace(TANH, floor=1.0)))
    assert evidence(finding) == {
        "least_loss_over_chance": (1, 0.1, 1),
        "largest_target": (4, 1, pytest.approx(math.log10(4))),
        "least_target": (-3, -1, None),
    }
    relu = found("GH503", measurement(targets=NUMBERS, outputs=replace(TANH, least=0.0, most=None)))
    assert set(relu.evidence) == {"least_loss_over_chance", "least_target"}
    assert finding.layers == ("layer-03",)


def test_scores_stand_beside_the_distance_that_would_do() -> None:
    """Ten classes: log(1 + 9 exp(-r)) is a tenth of log 10 at the distance r that is needed."""
    loss = replace(measurement().loss, chance=math.log(10))
    finding = found("GH503", measurement(targets=LABELS, outputs=TANH, loss=loss))
    needed = finding.evidence["score_range"].threshold
    assert finding.evidence["score_range"].value == 2 < needed
    assert math.log1p(9 * math.exp(-needed)) == pytest.approx(0.1 * math.log(10))
