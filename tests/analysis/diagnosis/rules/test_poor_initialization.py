import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import severity, weighted

WARNING, INFO = Severity.WARNING, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({**weighted(initialization_gain=0.1, target_gain=1.4), "flow": flow(-2.0)}, WARNING),
        (weighted(initialization_gain=0.1, target_gain=1.4), INFO),  # gradients flow all the same
        ({**weighted(initialization_gain=0.58, target_gain=1.41), "flow": flow(-2.0)}, INFO),
        (weighted(initialization_gain=1.2, target_gain=1.41), None),
        ({**weighted(initialization_gain=0.1, target_gain=1.4), "trained": True}, None),
    ],
)
def test_weights_of_the_wrong_size_are_a_warning_where_gradients_suffer(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH301", measurement(**changes)) is expected
