from dataclasses import replace

import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import ENDING, evidence, found, severity

INFO = Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(head_gradient_log10=-4.0), "loss": ENDING}, INFO),
        ({"flow": flow(head_gradient_log10=-4.0), "loss": replace(ENDING, value=9.0)}, None),
        ({"flow": flow(head_gradient_log10=-3.0), "loss": ENDING}, None),
        ({"loss": ENDING}, None),
    ],
)
def test_a_small_gradient_is_convergence_under_chance_only(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH901", measurement(**changes)) is expected


def test_the_gradient_at_the_logits_is_shown_and_nothing_is_accused() -> None:
    finding = found("GH901", measurement(flow=flow(head_gradient_log10=-4.0), loss=ENDING))
    assert evidence(finding) == {"head_gradient_log10": (-4, -3, 1)}
    assert finding.affects == ()
