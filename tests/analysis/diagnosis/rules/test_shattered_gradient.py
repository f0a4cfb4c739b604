import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import evidence, found, severity

WARNING, INFO = Severity.WARNING, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(nonlinearity_coefficient=20.0, shatter_cosine=0.05)}, WARNING),
        ({"flow": flow(nonlinearity_coefficient=5.0, shatter_cosine=0.05)}, None),
        ({"flow": flow(nonlinearity_coefficient=20.0, shatter_cosine=0.3)}, None),
        ({"flow": flow(nonlinearity_coefficient=20.0, shatter_cosine=0.05), "probe": LEARNS}, INFO),
        ({"flow": flow(nonlinearity_coefficient=10.0, shatter_cosine=0.05)}, None),
        ({"flow": flow(nonlinearity_coefficient=20.0, shatter_cosine=0.1)}, None),
        ({"flow": flow(nonlinearity_coefficient=20.0, shatter_cosine=None)}, None),
        ({"flow": flow(nonlinearity_coefficient=None, shatter_cosine=0.05)}, None),
    ],
)
def test_a_low_cosine_counts_in_a_nonlinear_network_only(changes: dict[str, object], expected: Severity | None) -> None:
    assert severity("GH104", measurement(**changes)) is expected


def test_cosine_and_nonlinearity_stand_beside_their_limits() -> None:
    shattered = flow(nonlinearity_coefficient=100.0, shatter_cosine=0.05)
    finding = found("GH104", measurement(flow=shattered))
    assert evidence(finding) == {"shatter_cosine": (0.05, 0.1, None), "nonlinearity_coefficient": (100, 10, 1)}
    assert finding.affects == ("sgd", "adam")
