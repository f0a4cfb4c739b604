import math
from dataclasses import replace

import pytest

from analysis.facts import Anatomy, Flow, Range, WeightStats
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, stats
from tests.analysis.diagnosis.rules.patients import LOW_LEVERAGE, Numbers, evidence, fired, found, ratios, severity


@pytest.mark.parametrize(
    ("rms", "norm", "leverage", "expected"),
    [
        (-4.0, -3.0, LOW_LEVERAGE, Severity.ERROR),
        (-5.0, -4.5, Range(least=-1.5, largest=1.0), Severity.ERROR),
        (-4.0, -3.0, Range(least=-2.0, largest=1.0), Severity.WARNING),  # neither is far beyond its threshold
        (-4.0, -3.0, Range(least=0.0, largest=1.0), Severity.WARNING),
        (-4.0, -2.7, Range(least=0.0, largest=1.0), None),  # the larger of both decides
        (-1.0, -1.0, LOW_LEVERAGE, Severity.WARNING),
        (-2.8, -2.8, Range(least=-1.0, largest=1.0), None),
        (-2.8, -2.8, None, None),
        (-4.0, -4.0, None, Severity.WARNING),
        (-math.inf, -math.inf, Range(least=-math.inf, largest=-math.inf), Severity.ERROR),
    ],
)
def test_vanishing_needs_two_witnesses_for_an_error(
    rms: float, norm: float, leverage: Range | None, expected: Severity | None
) -> None:
    assert severity("GH101", measurement(flow=flow(rms, norm, leverage_log10=leverage))) is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, Severity.WARNING), ({"normalized": True}, Severity.ERROR), ({"probe": FAILS}, Severity.ERROR)],
)
def test_large_inputs_leave_a_doubt_where_nothing_normalises_them(
    changes: dict[str, object], expected: Severity
) -> None:
    sick = flow(-8.0, leverage_log10=LOW_LEVERAGE, input_rms=148.0)
    assert severity("GH101", measurement(flow=sick, **changes)) is expected


@pytest.mark.parametrize(
    ("transport", "expected"),
    [(-4.0, Severity.ERROR), (-2.9, Severity.ERROR), (-2.8, Severity.WARNING), (-0.5, Severity.WARNING)],
)
def test_what_only_the_loss_loses_did_not_vanish_through_depth(transport: float, expected: Severity) -> None:
    """A head of equal rows cancels the gradient of a softmax, which sums to zero; a random cotangent comes through."""
    sick = flow(-8.0, leverage_log10=LOW_LEVERAGE, transport_decades=transport)
    assert severity("GH101", measurement(flow=sick)) is expected


def test_a_probe_ends_the_doubt_that_borderline_witnesses_leave() -> None:
    borderline = flow(-3.5, leverage_log10=Range(least=-1.5, largest=1.0))
    assert severity("GH101", measurement(flow=borderline)) is Severity.WARNING
    assert severity("GH101", measurement(flow=borderline, probe=replace(FAILS, unfinished=True))) is Severity.WARNING
    assert severity("GH101", measurement(flow=borderline, probe=FAILS)) is Severity.ERROR
    assert severity("GH101", measurement(flow=borderline, probe=LEARNS)) is Severity.WARNING


@pytest.mark.parametrize(("probed", "expected"), [(None, Severity.WARNING), (FAILS, Severity.ERROR)])
def test_what_only_branches_with_a_small_factor_reach_waits_for_a_probe(probed: object, expected: Severity) -> None:
    """CaiT's patches, behind a class token that reads them through factors of 1e-5."""
    waiting = flow(-7.0, leverage_log10=Range(least=-4.0, largest=1.0))
    scaled = Anatomy(layer_scales={"gamma": 1e-5})
    assert severity("GH101", measurement(flow=waiting, anatomy=scaled, probe=probed)) is expected


def test_vanishing_is_a_warning_where_the_network_learns() -> None:
    sick = flow(-4.0, leverage_log10=LOW_LEVERAGE)
    assert severity("GH101", measurement(flow=sick, probe=LEARNS)) is Severity.WARNING
    assert severity("GH101", measurement(flow=sick, probe=FAILS)) is Severity.ERROR


def test_vanishing_names_its_layers_its_margin_and_whom_it_affects() -> None:
    finding = fired(
        "GH101",
        measurement(
            flow=flow(-6.0, leverage_log10=LOW_LEVERAGE),
            stats=(stats(1, leverage_log10=-3.0), stats(2, leverage_log10=-1.5), stats(3)),
        ),
    )
    assert finding is not None
    assert finding.layers == ("layer-01", "layer-02")
    assert finding.evidence["flow_decades"].margin_decades == pytest.approx(3.2)
    assert finding.affects == ("sgd", "adam")


def test_a_zero_initialised_layer_on_the_trunk_is_not_vanishing() -> None:
    weight = stats(3).weight
    assert weight is not None
    zero = stats(3, weight=type(weight)(norm=0.0, rms=0.0))
    blocked = flow(-math.inf, leverage_log10=Range(least=-math.inf, largest=-math.inf))
    assert fired("GH101", measurement(flow=blocked, stats=(stats(1), stats(2), zero))) is None


def test_a_second_witness_wants_both_cotangents() -> None:
    split = flow(
        -4.0, leverage_log10=LOW_LEVERAGE,
        leverage_by_seed=(Range(least=-3.0, largest=1.0), Range(least=0.0, largest=1.0)),
    )  # fmt: skip
    assert severity("GH101", measurement(flow=split)) is Severity.WARNING


@pytest.mark.parametrize(
    ("rms", "norm", "least", "shown"),
    [
        (-4.8, -6.0, -1.0, {"flow_decades": (-4.8, -2.8, 2)}),
        (-2.8, -6.0, -3.0, {"least_leverage_log10": (-3, -1, 2)}),
        (-6.0, -4.8, -3.0, {"flow_decades": (-4.8, -2.8, 2), "least_leverage_log10": (-3, -1, 2)}),
    ],
)
def test_every_witness_stands_beside_its_limit(rms: float, norm: float, least: float, shown: Numbers) -> None:
    sick = flow(rms, norm, leverage_log10=Range(least=least, largest=1.0))
    assert evidence(found("GH101", measurement(flow=sick))) == shown


@pytest.mark.parametrize("unknown", [{"decades_rms": None}, {"decades_norm": None}])
def test_without_both_readings_of_flow_nothing_is_said(unknown: dict[str, None]) -> None:
    assert severity("GH101", measurement(flow=flow(-8.0, leverage_log10=LOW_LEVERAGE, **unknown))) is None


def test_one_witness_alone_is_a_remark_where_descent_learns() -> None:
    assert severity("GH101", measurement(flow=flow(-4.0), probe=LEARNS)) is Severity.INFO


@pytest.mark.parametrize(
    ("shares", "shown"),
    [
        ((1e-3, 1.0, 1.0), {}),  # three decades apart: a rescaling explains the flow
        ((1.1e-3, 1.0, 1.0), {"flow_decades": (-4.8, -2.8, 2)}),
    ],
)
def test_a_rescaling_explains_flow_from_three_decades_on(shares: tuple[float, ...], shown: Numbers) -> None:
    finding = fired("GH101", measurement(flow=flow(-4.8), **ratios(*shares)))
    assert ({} if finding is None else evidence(finding)) == shown


@pytest.mark.parametrize(
    ("flows", "flushed", "affected"),
    [
        (flow(-5.0, -6.0), 0.0, ("sgd",)),
        (flow(-5.1, -6.0), 0.0, ("sgd", "adam")),
        (flow(-4.0), 0.5, ("sgd",)),
        (flow(-4.0), 0.51, ("sgd", "fp16")),
        (flow(-5.1), 0.51, ("sgd", "adam", "fp16")),
        (flow(-4.0), None, ("sgd",)),
    ],
)
def test_adam_follows_for_five_decades_and_half_precision_while_half_of_a_gradient_is_left(
    flows: Flow, flushed: float | None, affected: tuple[str, ...]
) -> None:
    gradient = stats(2).weight_gradient
    assert gradient is not None
    second = stats(2, weight_gradient=replace(gradient, fp16_underflow_fraction=flushed))
    patient = measurement(flow=flows, stats=(stats(1, weight_gradient=None), second, stats(3)))
    assert found("GH101", patient).affects == affected


def test_starved_layers_are_those_of_the_trunk_under_the_limit_or_else_the_first_one() -> None:
    told = (stats(1, leverage_log10=-1.0), stats(2, leverage_log10=-1.1), stats(3, leverage_log10=None))
    assert found("GH101", measurement(flow=flow(-4.0), stats=told)).layers == ("layer-02",)
    beside = flow(-4.0, trunk=("layer-01", "layer-03"))
    assert found("GH101", measurement(flow=beside, stats=told)).layers == ("layer-01",)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(-4.0)}, None),
        ({"flow": flow(-4.0, trunk=("layer-01", "layer-02"))}, Severity.WARNING),  # zeros in a branch
        ({"flow": flow(-4.0), "anatomy": Anatomy(zero_head="layer-03")}, Severity.WARNING),
        ({"flow": flow(-4.0), "anatomy": Anatomy(zero_head="layer-02")}, None),
    ],
)
def test_zeros_block_by_design_on_the_trunk_in_front_of_the_head(
    changes: dict[str, object], expected: Severity | None
) -> None:
    """Flow is measured in front of a head of zeros: it tells of the rest."""
    zeros = WeightStats(norm=0.0, rms=0.0)
    closed = (stats(1, weight=None), stats(2), stats(3, weight=zeros))
    assert severity("GH101", measurement(stats=closed, **changes)) is expected
