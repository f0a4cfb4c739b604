"""Bars by hand: 100 is the middle."""

import math

from analysis.render._bars import bars_of
from analysis.report.parts import Decades


def moved(rms: float | None) -> Decades:
    return Decades(decades_rms=rms, decades_norm=rms)


def test_what_brings_gradient_points_to_the_right_and_the_largest_fills_its_half() -> None:
    bars = bars_of({"a": moved(4.0), "b": moved(-1.0), "c": moved(0.0)})
    assert [(bar.name, bar.x, bar.width) for bar in bars] == [("a", 100.0, 100.0), ("b", 75.0, 25.0), ("c", 100.0, 0.0)]


def test_a_bar_is_as_long_as_its_share_of_the_largest_to_a_tenth() -> None:
    effects = {"a": moved(-3.0), "b": moved(-1.0), "c": moved(0.5)}
    bars = bars_of(effects)
    assert [(bar.x, bar.width) for bar in bars] == [(0.0, 100.0), (66.7, 33.3), (100.0, 16.7)]
    assert {bar.name: bar.moved for bar in bars} == effects
    assert [bar.width for bar in bars_of({"a": moved(None), "b": moved(0.5)})] == [0.0, 100.0]


def test_what_is_no_number_has_no_bar_and_does_not_flatten_the_others() -> None:
    bars = bars_of({"a": moved(math.inf), "b": moved(math.nan), "c": moved(None), "d": moved(2.0)})
    assert [bar.width for bar in bars] == [0.0, 0.0, 0.0, 100.0]
    assert bars_of({"a": moved(0.0)})[0].width == 0.0
    assert bars_of({}) == ()
