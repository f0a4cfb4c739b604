import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import HIGH_LEVERAGE, severity

WARNING, ERROR, INFO = Severity.WARNING, Severity.ERROR, Severity.INFO
REACHING = {"leverage_log10": HIGH_LEVERAGE}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(nonlinearity_coefficient=40.0)}, WARNING),
        ({"flow": flow(nonlinearity_coefficient=40.0), "probe": LEARNS}, INFO),
        ({"flow": flow(nonlinearity_coefficient=40.0), "convolutional": True}, None),
        ({"flow": flow(nonlinearity_coefficient=400.0, **REACHING)}, ERROR),
        ({"flow": flow(nonlinearity_coefficient=400.0, **REACHING), "probe": LEARNS}, WARNING),
        ({"flow": flow(nonlinearity_coefficient=9e4, **REACHING), "convolutional": True}, WARNING),  # ConvMixer
        ({"flow": flow(nonlinearity_coefficient=9e4, **REACHING), "convolutional": True, "probe": FAILS}, ERROR),
        ({"flow": flow(nonlinearity_coefficient=400.0)}, WARNING),  # no reach
        ({"flow": flow(nonlinearity_coefficient=400.0, nonlinearity_by_seed=(900.0, 20.0), **REACHING)}, None),
    ],
)
def test_nonlinearity_is_a_warning_and_far_more_of_it_with_reach_an_error(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH103", measurement(**changes)) is expected
