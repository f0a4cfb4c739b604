from dataclasses import replace

import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, measurement
from tests.analysis.diagnosis.rules.patients import ENDING, anatomy, severity

WARNING, INFO = Severity.WARNING, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (anatomy(stacked_links=("softmax",)), WARNING),
        ({**anatomy(stacked_links=("softmax",)), "probe": LEARNS}, WARNING),  # never below its floor
        (anatomy(head_activation="Relu"), WARNING),
        ({**anatomy(head_activation="Relu"), "probe": LEARNS}, INFO),
        ({"loss": replace(ENDING, value=90.0)}, WARNING),
        ({"loss": replace(ENDING, value=20.0)}, None),
    ],
)
def test_an_output_that_does_not_fit_its_loss_is_a_warning(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH501", measurement(**changes)) is expected
