"""Curves written by hand, and what they come to."""

import math

import pytest

from analysis.facts import Outcome
from analysis.training.outcome import outcome_of


@pytest.mark.parametrize(
    ("curve", "outcome"),
    [
        ([1.0, 0.8, 0.6], Outcome.LEARNT),
        ([1.0, 0.98, 0.95], Outcome.SLOW),
        ([1.0, 1.001, 0.999], Outcome.STALLED),
        ([1.0, 3.0, 9.0], Outcome.DIVERGED),
        ([1.0, math.nan], Outcome.DIVERGED),
        ([1.0, 1.6, 0.9, 1.7, 0.95, 1.6, 1.0], Outcome.OSCILLATING),
        ([1e6, 1e6, 1e6], Outcome.STALLED),
    ],
)
def test_a_curve_is_read(curve: list[float], outcome: Outcome) -> None:
    assert outcome_of(curve, [], 0.7) is outcome


@pytest.mark.parametrize(
    ("held_out", "outcome"),
    [
        ([1.0, 0.6, 1.4], Outcome.LEARNT),  # before it began to learn the others by heart
        ([1.0, 0.9, 1.2], Outcome.SLOW),
        ([1.0, 1.1, 1.6], Outcome.STALLED),
    ],
)
def test_what_carries_over_decides_where_samples_are_held_out(held_out: list[float], outcome: Outcome) -> None:
    assert outcome_of([1.0, 0.5, 0.01], held_out, 0.7) is outcome
