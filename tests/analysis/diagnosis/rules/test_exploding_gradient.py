import pytest

from analysis.facts import Range
from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import HIGH_LEVERAGE, severity


@pytest.mark.parametrize(
    ("rms", "norm", "changes", "expected"),
    [
        (3.0, 2.0, {"leverage_log10": HIGH_LEVERAGE}, Severity.ERROR),
        (4.0, 3.5, {"nonlinearity_coefficient": 40.0}, Severity.ERROR),
        (3.0, 2.0, {"nonlinearity_coefficient": 40.0}, Severity.WARNING),  # neither is far beyond its threshold
        (3.0, 2.0, {}, Severity.WARNING),
        (3.0, 1.7, {"leverage_log10": Range(least=0.0, largest=3.5)}, None),  # the smaller of both decides
        (3.0, 1.7, {"leverage_log10": HIGH_LEVERAGE}, Severity.WARNING),  # unless the reach is very long
        (3.0, 2.0, {"leverage_log10": HIGH_LEVERAGE, "input_rms": 255.0}, Severity.WARNING),
        (0.0, 0.0, {"leverage_log10": HIGH_LEVERAGE}, None),
    ],
)
def test_exploding_needs_flow_and_a_second_witness(
    rms: float, norm: float, changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH102", measurement(flow=flow(rms, norm, **changes))) is expected


@pytest.mark.parametrize(
    ("largest", "changes", "expected"),
    [
        (4.2, {}, Severity.WARNING),
        (4.2, {"probe": LEARNS}, Severity.INFO),
        (3.8, {}, None),
        (4.2, {"normalized": True}, None),  # the scale of its inputs does not matter to it
    ],
)
def test_a_very_long_reach_is_a_warning_behind_a_pooling_that_hides_the_flow_from_the_rms(
    largest: float, changes: dict[str, object], expected: Severity | None
) -> None:
    pooled = flow(1.2, 2.4, leverage_log10=Range(least=0.0, largest=largest))
    assert severity("GH102", measurement(flow=pooled, **changes)) is expected


@pytest.mark.parametrize(("normalized", "expected"), [(False, Severity.ERROR), (True, Severity.WARNING)])
def test_a_small_input_lends_no_reach_behind_a_normalisation(*, normalized: bool, expected: Severity) -> None:
    small = flow(3.0, leverage_log10=Range(least=0.0, largest=2.0), input_rms=1e-3)
    assert severity("GH102", measurement(flow=small, normalized=normalized)) is expected


def test_normalised_networks_may_be_more_nonlinear() -> None:
    curved = flow(3.0, nonlinearity_coefficient=40.0)
    assert severity("GH102", measurement(flow=curved, normalized=True)) is Severity.WARNING
