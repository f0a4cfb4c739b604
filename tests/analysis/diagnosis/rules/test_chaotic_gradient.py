import pytest

from analysis.facts import Range
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import HIGH_LEVERAGE, Numbers, evidence, found, severity

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


@pytest.mark.parametrize(
    ("coefficient", "largest", "expected", "shown"),
    [
        (30.0, 1.0, None, {}),
        (60.0, 1.0, WARNING, {"nonlinearity_coefficient": (60, 30, 0.301029996)}),  # log10(2)
        (300.0, 4.5, WARNING, {"nonlinearity_coefficient": (300, 30, 1)}),
        (3000.0, 3.0, WARNING, {"nonlinearity_coefficient": (3000, 30, 2)}),
        (3000.0, 4.0, WARNING, {"nonlinearity_coefficient": (3000, 300, 1), "largest_leverage_log10": (4, 3, 1)}),
        (3000.0, 4.5, ERROR, {"nonlinearity_coefficient": (3000, 300, 1), "largest_leverage_log10": (4.5, 3, 1.5)}),
        (None, 4.5, None, {}),
    ],
)
def test_the_limit_beside_the_coefficient_is_the_one_that_it_crossed(
    coefficient: float | None, largest: float, expected: Severity | None, shown: Numbers
) -> None:
    chaotic = flow(nonlinearity_coefficient=coefficient, leverage_log10=Range(least=0.0, largest=largest))
    assert severity("GH103", measurement(flow=chaotic)) is expected
    if expected is not None:
        finding = found("GH103", measurement(flow=chaotic))
        assert evidence(finding) == shown
        assert finding.layers == ("layer-01",)


def test_a_network_without_a_known_reach_is_never_far_beyond() -> None:
    unknown = measurement(flow=flow(nonlinearity_coefficient=3000.0, leverage_log10=None))
    assert evidence(found("GH103", unknown)) == {"nonlinearity_coefficient": (3000, 30, 2)}


@pytest.mark.parametrize("kind", ["convolutional", "normalized", "attentive", "recurrent"])
def test_what_inflates_the_coefficient_raises_its_limit(kind: str) -> None:
    assert severity("GH103", measurement(flow=flow(nonlinearity_coefficient=100.0), **{kind: True})) is None
    curved = measurement(flow=flow(nonlinearity_coefficient=1000.0), **{kind: True})
    assert evidence(found("GH103", curved)) == {"nonlinearity_coefficient": (1000, 100, 1)}


def test_a_probe_that_fails_ends_the_doubt_that_borderline_witnesses_leave() -> None:
    near = flow(nonlinearity_coefficient=400.0, leverage_log10=Range(least=0.0, largest=4.0))
    assert severity("GH103", measurement(flow=near)) is WARNING
    assert severity("GH103", measurement(flow=near, probe=FAILS)) is ERROR
