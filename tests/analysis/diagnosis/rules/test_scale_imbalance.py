import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import ratios, severity

WARNING, INFO = Severity.WARNING, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (ratios(1e-5, 1e-2, 0.1), WARNING),
        ({**ratios(1e-5, 1e-2, 0.1), "probe": LEARNS}, INFO),
        (ratios(1e-2, 1e-2, 0.1), None),
    ],
)
def test_steps_of_very_different_size_are_a_warning_and_a_remark_where_descent_learns(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH303", measurement(**changes)) is expected


def test_function_preserving_rescaling_is_scale_imbalance_and_not_vanishing() -> None:
    rescaled = measurement(flow=flow(-4.0), **ratios(1e-7, 0.1, 0.1))
    assert severity("GH303", rescaled) is Severity.WARNING
    assert severity("GH101", rescaled) is None
    assert severity("GH102", measurement(flow=flow(4.0), **ratios(1e-7, 0.1, 0.1))) is None
