import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import severity

WARNING = Severity.WARNING


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(nonlinearity_coefficient=20.0, shatter_cosine=0.05)}, WARNING),
        ({"flow": flow(nonlinearity_coefficient=5.0, shatter_cosine=0.05)}, None),
        ({"flow": flow(nonlinearity_coefficient=20.0, shatter_cosine=0.3)}, None),
    ],
)
def test_a_low_cosine_counts_in_a_nonlinear_network_only(changes: dict[str, object], expected: Severity | None) -> None:
    assert severity("GH104", measurement(**changes)) is expected
