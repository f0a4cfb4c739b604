import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import severity

WARNING, ERROR = Severity.WARNING, Severity.ERROR


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(collapse_decades=-6.0, blindness_log10=-3.0)}, ERROR),
        ({"flow": flow(collapse_decades=-6.0, blindness_log10=-3.0), "probe": LEARNS}, WARNING),
        ({"flow": flow(collapse_decades=-6.0, blindness_log10=-3.0), "batch_statistics": True}, WARNING),
        ({"flow": flow(collapse_decades=-7.0, blindness_log10=-3.0), "batch_statistics": True}, ERROR),
        ({"flow": flow(collapse_decades=-4.5, blindness_log10=-1.0)}, WARNING),
        ({"flow": flow(collapse_decades=-3.0, blindness_log10=-1.5)}, None),
    ],
)
def test_blind_and_collapsed_is_an_error_and_one_of_both_a_warning(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH203", measurement(**changes)) is expected
