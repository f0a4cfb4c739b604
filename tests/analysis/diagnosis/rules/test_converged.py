from dataclasses import replace

import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import ENDING, severity

INFO = Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(head_gradient_log10=-4.0), "loss": ENDING}, INFO),
        ({"flow": flow(head_gradient_log10=-4.0), "loss": replace(ENDING, value=9.0)}, None),
    ],
)
def test_a_small_gradient_is_convergence_under_chance_only(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH901", measurement(**changes)) is expected
