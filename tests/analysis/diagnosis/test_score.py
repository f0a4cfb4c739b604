"""The static composite, term by term: decades beyond a limit times a weight, added up by hand."""

import math
from dataclasses import replace

import pytest

from analysis.diagnosis.score import memory, static8
from analysis.facts import AttentionStats, Flow, LayerStats, LossFacts, NonFinite, TimeProfile
from tests.analysis.diagnosis.builders import flow, measurement, stats, with_activation


def chain(**changes: float | None) -> TimeProfile:
    return TimeProfile(node="cells", direction="forward", gradient_log10=(0.0,), **changes)  # type: ignore[arg-type]


def attending(*shares: float) -> tuple[AttentionStats, ...]:
    return tuple(AttentionStats(node="softmax", entropy_share=share, score_std=1.0, keys=8) for share in shares)


def loss(value: float, chance: float | None = 2.3) -> LossFacts:
    return replace(measurement().loss, value=value, chance=chance)


def moving(*ratios: float | None) -> tuple[LayerStats, ...]:
    return tuple(stats(number, update_ratio=ratio) for number, ratio in enumerate(ratios, 1))


def dead(*fractions: float | None) -> tuple[LayerStats, ...]:
    return tuple(with_activation(number, dead_fraction=each) for number, each in enumerate(fractions, 1))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0.0),
        ({"flow": flow(-3.0, -2.0)}, 1.0),  # the larger of both, beyond one decade
        ({"flow": flow(-2.0, -3.0)}, 1.0),
        ({"flow": flow(-1.0)}, 0.0),
        ({"flow": flow(-1.1)}, 0.1),
        ({"flow": flow(2.5, 1.5)}, 1.0),  # the smaller of both, beyond half a decade
        ({"flow": flow(1.5, 2.5)}, 1.0),
        ({"flow": flow(0.5)}, 0.0),
        ({"flow": flow(0.6)}, 0.1),
        ({"flow": flow(0.0, 2.5)}, 0.0),
        ({"flow": flow(2.5, 0.0)}, 0.0),
        ({"flow": Flow()}, 0.0),
        ({"flow": flow(collapse_decades=-4.0)}, 3.0),
        ({"flow": flow(collapse_decades=-1.0)}, 0.0),
        ({"flow": flow(tokens_decades=-12.0)}, 2.0),  # a quarter of it
        ({"flow": flow(tokens_decades=-4.0)}, 0.0),
        ({"through_time": (chain(memory_decades=-3.0),)}, 2.0),
        ({"through_time": (chain(memory_decades=-1.0),)}, 0.0),
        ({"through_time": (chain(memory_decades=-3.0), chain(memory_decades=-9.0))}, 2.0),  # the bottom layer
        ({"through_time": (chain(memory_decades=None), chain(memory_decades=-9.0))}, 0.0),
        ({"through_time": (chain(growth_decades=3.0),)}, 2.0),
        ({"through_time": (chain(growth_decades=1.0),)}, 0.0),
        ({"through_time": (chain(growth_decades=None), chain(growth_decades=3.0), chain(growth_decades=2.0))}, 2.0),
        ({"loss": loss(230.0)}, 2 * (2.0 - 0.2)),
        ({"loss": loss(2.3 * 10**0.2)}, 0.0),
        ({"loss": loss(0.0)}, 0.0),
        ({"loss": loss(230.0, None)}, 0.0),
        ({"loss": loss(230.0, 0.0)}, 0.0),
        ({"stats": dead(0.0, 0.9, 0.7)}, 3 * 0.4),
        ({"stats": dead(0.5, None, 0.0)}, 0.0),
        ({"stats": tuple(stats(number, activation=None) for number in (1, 2, 3))}, 0.0),
        ({"stats": (stats(1, activation=None), *dead(0.0, 0.9)[1:])}, 3 * 0.4),
        ({"attention": attending(0.9, 0.1, 0.5)}, 3 * 0.3),
        ({"attention": attending(0.4)}, 0.0),
        ({"attention": attending(1.0)}, 0.0),
        ({"stats": moving(1e-4, 1e-4, 1e-4)}, 2.0),
        ({"stats": moving(1e-2, 1e-2, 1e-2)}, 0.0),
        ({"stats": moving(1e-9, 1e-3, 1.0)}, 1.0),  # the median
        ({"stats": moving(1e-3, 1.0, 1e-9)}, 1.0),  # in whatever order
        ({"stats": moving(1e-4, None, 1e-3)}, 1.0),  # of two the larger
        ({"stats": moving(None, None, None)}, 0.0),
        ({"stats": moving(0.0, 0.0, 0.0)}, 98.0),
    ],
)
def test_static8_is_zero_for_a_healthy_network_and_counts_each_excess_alone(
    changes: dict[str, object], expected: float
) -> None:
    assert static8(measurement(**changes)) == pytest.approx(expected, abs=1e-12)


def test_static8_adds_up_what_is_wrong() -> None:
    sick = measurement(
        flow=flow(-3.0, -2.0, collapse_decades=-4.0, tokens_decades=-12.0), loss=loss(230.0),
        stats=dead(0.0, 0.9, 0.7), attention=attending(0.1),
        through_time=(chain(memory_decades=-3.0, growth_decades=3.0),),
    )  # fmt: skip
    assert static8(sick) == pytest.approx(1.0 + 3.0 + 2.0 + 3.6 + 1.2 + 0.9 + 2.0 + 2.0)


def test_what_is_not_finite_is_hopeless() -> None:
    assert static8(measurement(non_finite=NonFinite(stage="loss", node="", value=""))) == 100.0
    assert static8(measurement(flow=flow(collapse_decades=math.nan))) == 100.0
    assert static8(measurement(flow=flow(-math.inf))) == math.inf


def test_memory_is_that_of_the_bottom_layer_and_zero_where_nobody_knows() -> None:
    assert memory(measurement()) == 0.0
    assert memory(measurement(through_time=(chain(memory_decades=None),))) == 0.0
    assert memory(measurement(through_time=(chain(memory_decades=-3.5), chain(memory_decades=-9.0)))) == -3.5
