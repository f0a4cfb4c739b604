from dataclasses import replace

import pytest

from analysis.facts import Confidence, OutputFacts
from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, measurement
from tests.analysis.diagnosis.rules.patients import evidence, found, severity

SOFTMAX = OutputFacts(reading="", link="Softmax", link_units=10, doubled_floor=0.634)
DOUBLED = replace(SOFTMAX, doubled=True)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (SOFTMAX, Severity.INFO),
        (DOUBLED, Severity.WARNING),
        (replace(DOUBLED, guessed=True), Severity.WARNING),
        (replace(SOFTMAX, link_units=1, doubled_floor=None), Severity.ERROR),
        (replace(SOFTMAX, link="Sigmoid", link_units=None), Severity.INFO),
        (replace(SOFTMAX, doubled_floor=0.2), None),
        (replace(SOFTMAX, doubled_floor=None), None),
        (replace(SOFTMAX, link=""), None),
        (None, None),
    ],
)
def test_a_link_is_a_remark_where_it_is_read_past_and_a_warning_where_it_is_doubled(
    outputs: OutputFacts | None, expected: Severity | None
) -> None:
    assert severity("GH504", measurement(outputs=outputs)) is expected
    assert severity("GH504", measurement(outputs=outputs, probe=LEARNS)) is expected


def test_what_it_costs_stands_beside_the_limit() -> None:
    finding = found("GH504", measurement(outputs=replace(DOUBLED, doubled_floor=2.0)))
    assert evidence(finding) == {"least_loss_over_chance": (2, 0.2, 1)}
    assert (finding.layers, finding.confidence) == (("layer-03",), Confidence.HIGH)
    assert found("GH504", measurement(outputs=replace(DOUBLED, guessed=True))).confidence is Confidence.MEDIUM
    single = found("GH504", measurement(outputs=replace(SOFTMAX, link_units=1)))
    assert evidence(single) == {"softmax_units": (1, 2, pytest.approx(0.30103, abs=1e-5))}
