import pytest

from analysis.facts import Flow, Range
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, stats, with_activation
from tests.analysis.diagnosis.rules.patients import LOW_LEVERAGE, severity


@pytest.mark.parametrize(
    ("saturated", "flows", "probed", "expected"),
    [
        (0.9, flow(0.0), FAILS, Severity.ERROR),
        (0.9, flow(0.0), LEARNS, Severity.WARNING),
        (0.9, flow(0.0), None, Severity.WARNING),
        (0.9, flow(-5.0, leverage_log10=LOW_LEVERAGE), None, Severity.ERROR),
        (0.9, flow(-5.0, -2.5, leverage_log10=LOW_LEVERAGE), None, Severity.WARNING),  # the larger of both decides
        (0.9, flow(-3.0, leverage_log10=Range(least=-1.5, largest=1.0)), None, Severity.WARNING),  # borderline
        (0.9, flow(-5.0, leverage_log10=LOW_LEVERAGE, input_rms=255.0), None, Severity.WARNING),
        (0.9, flow(-5.0, leverage_log10=LOW_LEVERAGE, input_rms=255.0), FAILS, Severity.ERROR),
        (0.9, flow(-4.0), None, Severity.WARNING),  # an input of 0 to 255 in front of a tanh costs no leverage
        (0.4, flow(0.0), FAILS, Severity.WARNING),
        (0.2, flow(0.0), FAILS, None),
    ],
)
def test_saturated_units_need_a_second_witness_for_an_error(
    saturated: float, flows: Flow, probed: object, expected: Severity | None
) -> None:
    sick = (stats(1), with_activation(2, saturated_fraction=saturated), stats(3))
    assert severity("GH202", measurement(stats=sick, flow=flows, probe=probed)) is expected
