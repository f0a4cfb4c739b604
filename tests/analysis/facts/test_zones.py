"""The light at and around the two thresholds, written out: -2.8 and 1.8 for red, 1.5 either way for green."""

import math

import pytest

from analysis.facts import Flow, Zone
from analysis.facts.zones import zone


@pytest.mark.parametrize(
    ("rms", "norm", "expected"),
    [
        (0.0, 0.0, Zone.GREEN),
        (1.0, -1.0, Zone.GREEN),
        (-1.4, -1.4, Zone.GREEN),
        (-3.3, -1.0, Zone.GREEN),
        (1.4, 1.6, Zone.GREEN),
        (-1.6, -1.4, Zone.GREEN),
        (-1.6, -1.7, Zone.GREY),
        (1.6, 1.7, Zone.GREY),
        (-3.3, -2.2, Zone.GREY),
        (1.7, 1.9, Zone.GREY),
        (-2.9, -2.7, Zone.GREY),  # the one normalisation alone
        (-2.9, -3.8, Zone.RED),
        (-3.0, -2.9, Zone.RED),
        (1.9, 2.8, Zone.RED),
        (-math.inf, -math.inf, Zone.RED),
        (math.inf, math.inf, Zone.RED),
        (None, None, Zone.UNKNOWN),
        (0.0, None, Zone.UNKNOWN),
    ],
)
def test_both_normalisations_must_agree_on_red(rms: float | None, norm: float | None, expected: Zone) -> None:
    assert zone(Flow(decades_rms=rms, decades_norm=norm)) is expected
    assert zone(Flow(decades_rms=norm, decades_norm=rms)) is expected


@pytest.mark.parametrize("decades", [-2.8, -1.5, 1.5, 1.8])
def test_who_stands_on_a_threshold_is_grey(decades: float) -> None:
    assert zone(Flow(decades_rms=decades, decades_norm=decades)) is Zone.GREY


def test_a_flow_that_is_not_a_number_is_never_green() -> None:
    assert zone(Flow(decades_rms=math.nan, decades_norm=math.nan)) is not Zone.GREEN


def test_without_flow_there_is_no_light() -> None:
    assert zone(Flow()) is Zone.UNKNOWN
