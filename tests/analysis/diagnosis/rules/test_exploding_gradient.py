import pytest

from analysis.facts import Flow, Range
from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import HIGH_LEVERAGE, Numbers, evidence, found, ratios, severity


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


@pytest.mark.parametrize(
    ("rms", "norm", "changes", "shown"),
    [
        (4.8, 3.8, {}, {"flow_decades": (3.8, 1.8, 2)}),
        (3.8, 4.8, {"leverage_log10": Range(least=0.0, largest=3.0)}, {"flow_decades": (3.8, 1.8, 2)}),
        (
            3.8, 4.8, {"leverage_log10": HIGH_LEVERAGE},
            {"flow_decades": (3.8, 1.8, 2), "largest_leverage_log10": (4.5, 3, 1.5)},
        ),
        (3.8, 3.8, {"nonlinearity_coefficient": 30.0}, {"flow_decades": (3.8, 1.8, 2)}),
        (
            3.8, 3.8, {"nonlinearity_coefficient": 300.0},
            {"flow_decades": (3.8, 1.8, 2), "nonlinearity_coefficient": (300, 30, 1)},
        ),
        (
            1.8, 2.4, {"leverage_log10": HIGH_LEVERAGE},
            {"larger_flow_decades": (2.4, 1.8, 0.6), "largest_leverage_log10": (4.5, 4, 0.5)},
        ),
        (
            2.4, 1.2, {"leverage_log10": HIGH_LEVERAGE},
            {"larger_flow_decades": (2.4, 1.8, 0.6), "largest_leverage_log10": (4.5, 4, 0.5)},
        ),
    ],
)  # fmt: skip
def test_every_witness_stands_beside_its_limit(
    rms: float, norm: float, changes: dict[str, object], shown: Numbers
) -> None:
    finding = found("GH102", measurement(flow=flow(rms, norm, **changes)))
    assert evidence(finding) == shown
    assert finding.layers == ("layer-01",)
    assert finding.affects == ("sgd", "adam")


@pytest.mark.parametrize(
    ("changes", "coefficient", "limit"),
    [({"convolutional": True}, 1000.0, 100.0), ({"normalized": True}, 1000.0, 100.0), ({}, 300.0, 30.0)],
)
def test_what_inflates_the_nonlinearity_raises_its_limit(
    changes: dict[str, object], coefficient: float, limit: float
) -> None:
    over, at = (flow(3.8, nonlinearity_coefficient=each) for each in (coefficient, limit))
    assert evidence(found("GH102", measurement(flow=over, **changes)))["nonlinearity_coefficient"] == (
        coefficient, limit, 1,
    )  # fmt: skip
    assert "nonlinearity_coefficient" not in evidence(found("GH102", measurement(flow=at, **changes)))


@pytest.mark.parametrize(
    "flows",
    [
        flow(1.8, 1.8),
        flow(1.8, 2.4),  # no reach
        flow(1.2, 1.8, leverage_log10=HIGH_LEVERAGE),
        flow(1.2, 2.4, leverage_log10=Range(least=0.0, largest=4.0)),
        flow(1.2, 2.4, leverage_log10=None),
        flow(3.0, decades_norm=None),
        flow(decades_rms=None),
    ],
)
def test_flow_at_its_limit_or_unknown_is_no_explosion(flows: Flow) -> None:
    assert severity("GH102", measurement(flow=flows)) is None


@pytest.mark.parametrize(
    ("shares", "changes", "expected"),
    [
        ((1e-3, 1.0, 1.0), {}, Severity.WARNING),  # three decades apart, and no more
        ((1e-4, 1.0, 1.0), {}, None),
        ((1e-4, 1.0, 1.0), {"leverage_log10": HIGH_LEVERAGE}, Severity.ERROR),  # rescaling lends no reach
    ],
)
def test_flow_that_a_rescaling_explains_needs_a_second_witness(
    shares: tuple[float, ...], changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH102", measurement(flow=flow(4.0, **changes), **ratios(*shares))) is expected


def test_flow_alone_is_a_remark_where_descent_learns() -> None:
    assert severity("GH102", measurement(flow=flow(3.0), probe=LEARNS)) is Severity.INFO
    reaching = flow(3.0, leverage_log10=HIGH_LEVERAGE)
    assert severity("GH102", measurement(flow=reaching, probe=LEARNS)) is Severity.WARNING
