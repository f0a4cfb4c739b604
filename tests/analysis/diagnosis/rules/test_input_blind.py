import math
from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, stats, with_activation
from tests.analysis.diagnosis.rules.patients import LOW_LEVERAGE, Numbers, evidence, found, severity

WARNING, ERROR, INFO = Severity.WARNING, Severity.ERROR, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(collapse_decades=-6.0, blindness_log10=-3.0)}, ERROR),
        ({"flow": flow(collapse_decades=-6.0, blindness_log10=-3.0), "probe": LEARNS}, WARNING),
        ({"flow": flow(collapse_decades=-6.0, blindness_log10=-3.0), "batch_statistics": True}, WARNING),
        ({"flow": flow(collapse_decades=-7.0, blindness_log10=-3.0), "batch_statistics": True}, ERROR),
        ({"flow": flow(collapse_decades=-4.5, blindness_log10=-1.0)}, WARNING),
        ({"flow": flow(collapse_decades=-4.5, blindness_log10=-1.0), "probe": LEARNS}, INFO),
        ({"flow": flow(collapse_decades=-3.0, blindness_log10=-1.5)}, None),
        ({"flow": flow(collapse_decades=-4.0, blindness_log10=-2.0)}, None),
        ({"flow": flow(collapse_decades=-6.0)}, WARNING),  # of the logits nothing is known
    ],
)
def test_blind_and_collapsed_is_an_error_and_one_of_both_a_warning(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH203", measurement(**changes)) is expected


@pytest.mark.parametrize(
    ("collapse", "blindness", "shown"),
    [
        (-6.0, -3.0, {"collapse_decades": (-6, -5, 1), "blindness_log10": (-3, -2, 1)}),
        (-5.0, -3.0, {"collapse_decades": (-5, -4, 1), "blindness_log10": (-3, -2, 1)}),
        (-6.0, -2.0, {"collapse_decades": (-6, -4, 2)}),
        (-4.0, -3.0, {"blindness_log10": (-3, -2, 1)}),
        (None, -3.0, {"blindness_log10": (-3, -2, 1)}),
    ],
)
def test_every_witness_stands_beside_the_limit_that_it_crossed(
    collapse: float | None, blindness: float, shown: Numbers
) -> None:
    patient = measurement(flow=flow(collapse_decades=collapse, blindness_log10=blindness))
    assert evidence(found("GH203", patient)) == shown


@pytest.mark.parametrize(
    ("decades", "collapse", "dead", "std", "root"),
    [
        (-math.inf, -math.inf, 0.0, 1.0, "GH203"),
        (-math.inf, -math.inf, 1.0, 0.0, "GH203"),  # nothing reaches them
        (-math.inf, -math.inf, 1.0, 1.0, "GH201"),
        (-math.inf, -9.0, 0.0, 1.0, "GH101"),
        (-12.0, -math.inf, 0.0, 1.0, "GH101"),  # depth does both: what differs is lost in rounding
    ],
)
def test_samples_that_are_exactly_equal_explain_that_no_gradient_arrives_unless_dead_units_do(
    decades: float, collapse: float, dead: float, std: float, root: str
) -> None:
    blind = flow(decades, leverage_log10=LOW_LEVERAGE, collapse_decades=collapse, blindness_log10=-math.inf)
    sick = (stats(1), with_activation(2, dead_fraction=dead, std=std), stats(3))
    told = {each.rule: each.caused_by for each in diagnose(measurement(flow=blind, stats=sick, probe=FAILS))}
    assert told[root] == ()
    assert told["GH101"] == (() if root == "GH101" else (root,))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"size": 7}, None), ({"size": 8}, ERROR), ({"constant_inputs": True}, None)],
)
def test_it_takes_eight_samples_that_differ(changes: dict[str, object], expected: Severity | None) -> None:
    blind = flow(collapse_decades=-6.0, blindness_log10=-3.0)
    assert severity("GH203", measurement(flow=blind, batch=replace(measurement().batch, **changes))) is expected


def test_the_layers_in_which_samples_are_alike_are_named() -> None:
    shares = tuple(with_activation(place, collapse_log10=share) for place, share in enumerate((-4.0, -4.1), 1))
    unknown = with_activation(3, collapse_log10=None)
    blind = flow(collapse_decades=-4.1)
    assert found("GH203", measurement(flow=blind, stats=(*shares, unknown))).layers == ("layer-02",)
    unmeasured = stats(3, activation=None)
    assert found("GH203", measurement(flow=blind, stats=(*shares, unmeasured))).layers == ("layer-02",)


@pytest.mark.parametrize(
    ("collapsed", "spread", "expected"),
    [
        (3, -1.4, None),
        (3, -1.5, ERROR),
        (3, None, ERROR),
        (2, -1.4, ERROR),
    ],
)
def test_outputs_that_differ_beside_a_large_offset_are_not_blind(
    collapsed: int, spread: float | None, expected: Severity | None
) -> None:
    shares = tuple(with_activation(place, collapse_log10=-6.0 if place == collapsed else -1.0) for place in (1, 2, 3))
    offset = flow(collapse_decades=-6.0, blindness_log10=-3.0, logit_std_log10=spread)
    assert severity("GH203", measurement(flow=offset, stats=shares)) is expected
