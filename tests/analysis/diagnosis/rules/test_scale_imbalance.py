import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import ENDING, evidence, found, ratios, severity

WARNING, INFO = Severity.WARNING, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (ratios(1e-5, 1e-2, 0.1), WARNING),
        ({**ratios(1e-5, 1e-2, 0.1), "probe": LEARNS}, INFO),
        ({**ratios(1.0, 1e5, 1e5), "probe": LEARNS}, INFO),
        ({**ratios(1.0, 1e6, 1e6), "probe": LEARNS}, WARNING),  # more than five decades
        (ratios(1.0, 1e3, 1e3), None),  # three, and no more
        ({**ratios(1e-5, 1e-2, 0.1), "flow": flow(head_gradient_log10=-4.0), "loss": ENDING}, None),  # converged
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


def test_the_layers_with_the_smallest_and_the_largest_ratio_are_named() -> None:
    finding = found("GH303", measurement(**ratios(1e2, 1e3, 1e-1)))
    assert evidence(finding) == {"spread_decades": (4, 3, 1)}
    assert finding.layers == ("layer-03", "layer-02")
    assert finding.affects == ("sgd",)
