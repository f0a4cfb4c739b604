"""Curves written by hand, and what they come to."""

import math

import pytest

from analysis.facts import LATE, Outcome
from analysis.facts import ProbeKind as Kind
from analysis.options import OptimizerName as Optimizer
from analysis.training.outcome import LEARNT, is_out_of_reach, limit_of, outcome_of, stands_still


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


@pytest.mark.parametrize(("end", "outcome"), [(0.699, Outcome.LEARNT), (0.7, Outcome.SLOW)])
def test_a_run_has_learnt_that_ends_under_the_limit(end: float, outcome: Outcome) -> None:
    assert outcome_of([1.0, 0.9, end], [], 0.7) is outcome


@pytest.mark.parametrize(
    ("curve", "outcome"),
    [
        ([1.0, 1.5, 2.01], Outcome.DIVERGED),
        ([1.0, 1.5, 2.0], Outcome.OSCILLATING),  # not over twice chance
        ([0.9, 1.5, 2.0], Outcome.OSCILLATING),
        ([0.5, 0.8, 1.9], Outcome.OSCILLATING),  # over twice the start, and not over twice chance
        ([3.0, 3.0, 5.9], Outcome.OSCILLATING),  # over twice chance, and not over twice the start
        ([3.0, 3.0, 6.0], Outcome.OSCILLATING),
        ([3.0, 3.0, 6.1], Outcome.DIVERGED),
        ([1.0, math.inf, 0.1], Outcome.DIVERGED),  # whatever came after it
    ],
)
def test_a_run_is_thrown_away_that_ends_over_twice_chance_and_twice_its_start(
    curve: list[float], outcome: Outcome
) -> None:
    assert outcome_of(curve, [], 0.7) is outcome


@pytest.mark.parametrize(
    ("curve", "outcome"),
    [
        ([1.0, 0.991], Outcome.STALLED),
        ([1.0, 0.99], Outcome.SLOW),
        ([0.9, 0.892], Outcome.STALLED),  # a start under chance counts as it is
        ([0.9, 0.89], Outcome.SLOW),
        ([2.0, 1.2], Outcome.STALLED),  # one over chance does not
        ([2.0, 0.98], Outcome.SLOW),
    ],
)
def test_a_run_has_stalled_that_gains_less_than_a_hundredth_on_chance_and_on_its_start(
    curve: list[float], outcome: Outcome
) -> None:
    assert outcome_of(curve, [], 0.7) is outcome


@pytest.mark.parametrize(
    ("curve", "outcome"),
    [
        ([1.0, 1.3, 1.0, 1.3, 1.0, 1.0], Outcome.OSCILLATING),  # two of five steps up
        ([1.0, 1.3, 1.0, 1.0, 1.0, 1.0], Outcome.STALLED),
        ([1.0, 1.3, 1.0, 1.3, 1.0, 1.0, 1.0], Outcome.STALLED),  # two of six
        ([4.0, 4.8, 4.0, 4.8, 4.0], Outcome.STALLED),
        ([1.0, 1.19, 1.0, 1.19, 1.0], Outcome.STALLED),  # by a fifth, and no less
        ([1.0, 1.21, 1.0, 1.21, 1.0], Outcome.OSCILLATING),
        ([2.0, 2.5, 2.0, 2.5, 2.0], Outcome.OSCILLATING),  # a fifth of what it was
        ([4.0, 4.5, 4.0, 4.5, 4.0], Outcome.STALLED),
        ([-1.0, -0.9, -1.0, -0.9, -1.0, 0.999], Outcome.STALLED),  # a likelihood over 1 has a loss below 0
        ([1.0, 1.5, 1.0, 1.5, 0.6], Outcome.LEARNT),
    ],
)
def test_a_run_oscillates_that_rises_by_a_fifth_at_two_steps_of_five(curve: list[float], outcome: Outcome) -> None:
    assert outcome_of(curve, [], 0.7) is outcome


@pytest.mark.parametrize(
    ("held_out", "outcome"),
    [
        ([1.0, 0.6, 1.4], Outcome.LEARNT),  # before it began to learn the others by heart
        ([1.0, 0.699], Outcome.LEARNT),
        ([1.0, 0.7], Outcome.SLOW),
        ([1.0, 0.9, 1.2], Outcome.SLOW),
        ([1.0, 1.1, 1.6], Outcome.STALLED),
        ([1.0, 0.991], Outcome.STALLED),
        ([1.0, 0.99], Outcome.SLOW),
        ([0.9, 0.892], Outcome.STALLED),
        ([0.9, 0.89], Outcome.SLOW),
        ([2.0, 1.2], Outcome.STALLED),
    ],
)
def test_what_carries_over_decides_where_samples_are_held_out(held_out: list[float], outcome: Outcome) -> None:
    assert outcome_of([1.0, 0.5, 0.01], held_out, 0.7) is outcome


def test_what_was_thrown_away_after_it_carried_over_has_learnt() -> None:
    assert outcome_of([1.0, 0.5, math.nan], [1.0, 0.6], 0.7) is Outcome.LEARNT
    assert outcome_of([1.0, 0.5, math.nan], [1.0, 0.8], 0.7) is Outcome.DIVERGED


def test_limits_are_those_that_were_fitted() -> None:
    """Adam gets further in 50 steps than SGD; one batch is enough when it begins to be known."""
    assert LEARNT == {
        (Kind.LEARNING, Optimizer.SGD): 0.7,
        (Kind.LEARNING, Optimizer.ADAM): 0.8,
        (Kind.MEMORIZING, Optimizer.SGD): 0.92,
        (Kind.MEMORIZING, Optimizer.ADAM): 0.92,
    }
    assert LATE == 0.2


@pytest.mark.parametrize(
    ("kind", "optimizer", "late", "held_out", "limit"),
    [
        (Kind.LEARNING, Optimizer.SGD, False, 0, 0.7),
        (Kind.LEARNING, Optimizer.ADAM, False, 0, 0.8),
        (Kind.LEARNING, Optimizer.SGD, True, 0, 0.2),
        (Kind.LEARNING, Optimizer.ADAM, True, 0, 0.2),
        (Kind.MEMORIZING, Optimizer.SGD, False, 0, 0.92),
        (Kind.MEMORIZING, Optimizer.SGD, True, 0, 0.5),
        (Kind.MEMORIZING, Optimizer.ADAM, True, 0, 0.2),
        (Kind.LEARNING, Optimizer.ADAM, False, 48, 0.7),
        (Kind.LEARNING, Optimizer.SGD, True, 48, 0.7),
        (Kind.LEARNING, Optimizer.SGD, True, 47, 0.85),
        (Kind.LEARNING, Optimizer.ADAM, False, 1, 0.85),
    ],
)
def test_what_a_run_has_to_come_under(
    kind: Kind, optimizer: Optimizer, *, late: bool, held_out: int, limit: float
) -> None:
    assert limit_of(kind, optimizer, late=late, held_out=held_out) == limit


@pytest.mark.parametrize("late", [False, True])
def test_attention_has_to_come_as_far_in_few_steps_as_others_in_many_where_sgd_learns_by_heart(*, late: bool) -> None:
    def limit(kind: Kind, optimizer: Optimizer, *, attentive: bool, held_out: int = 0) -> float:
        return limit_of(kind, optimizer, late=late, held_out=held_out, attentive=attentive)

    assert limit(Kind.MEMORIZING, Optimizer.SGD, attentive=True) == 0.5
    for kind, optimizer, held_out in (
        (Kind.MEMORIZING, Optimizer.ADAM, 0), (Kind.LEARNING, Optimizer.SGD, 0), (Kind.MEMORIZING, Optimizer.SGD, 48),
    ):  # fmt: skip
        other = limit(kind, optimizer, attentive=False, held_out=held_out)
        assert limit(kind, optimizer, attentive=True, held_out=held_out) == other


# ------------------------------------------------------------------ standing still


def level(steps: int, *, slope: float = 0.0, growth: float = 1.0, at: float = 1.0) -> list[float]:
    """A loss that falls by `slope` in the last ten steps, and by `growth` less in every ten before; linear in these."""
    curve, fall = [at], slope
    for _ in range(steps // 10):
        for _ in range(10):
            curve.append(curve[-1] + fall / 10)
        fall /= growth
    return curve[::-1]


@pytest.mark.parametrize(
    ("curve", "still"),
    [
        (level(60), True),
        (level(50), False),  # too early to say
        (level(70)[:66], False),  # looked at every ten steps
        (level(70), True),
        (level(60, at=0.511), False),  # 2e-7 * 3 ** 10 = 0.0118 from the limit
        (level(60, at=0.512), True),
        ([*level(60)[:-1], math.nan], False),
        ([math.inf, *level(60)[1:]], True),  # what was long ago
        ([1.0] * 41 + [1.00011] + [1.0] * 19, False),
        ([1.0] * 41 + [1.00009] + [1.0] * 19, True),
        ([1.0] * 39 + [9.0] + [1.0] * 21, True),
    ],
)
def test_a_loss_that_is_level_is_given_up(curve: list[float], still: bool) -> None:
    assert stands_still(curve, 160, 0.5) is still


@pytest.mark.parametrize(("steps", "taken", "still"), [(200, 60, False), (200, 70, False), (200, 80, True)])
def test_the_more_steps_are_left_the_less_is_given_up(steps: int, taken: int, still: bool) -> None:
    """A half in 200 steps: 2e-7 * 3 ** 14 = 0.96, ** 13 = 0.32; here the pace is ten times that of rounding."""
    assert stands_still(level(taken, slope=3e-7, growth=3.0), steps, 0.5) is still


@pytest.mark.parametrize("growth", [1.5, 2.0, 2.9])
def test_a_plateau_that_ends_in_time_is_never_given_up(growth: float) -> None:
    """Every ten steps it falls so many times as far, in the last ten by half of chance."""
    curve = level(200, slope=0.51, growth=growth, at=0.499)
    assert not any(stands_still(curve[: taken + 1], 200, 0.5) for taken in range(201))


@pytest.mark.parametrize(
    ("reach", "left", "limit", "lost"),
    [
        (0.5, 0, 0.5, False),
        (0.49, 0, 0.5, True),
        (0.033, 20, 0.2, False),  # 0.033 * 5 ** 2 = 0.825
        (0.031, 20, 0.2, True),
        (0.9e-6, 400, 0.2, False),  # a million times, however many steps there are
        (0.7e-6, 400, 0.2, True),
        (0.0, 400, 0.2, True),
        (math.inf, 0, 0.2, False),
        (math.nan, 0, 0.2, False),
    ],
)
def test_outputs_that_are_much_alike_are_out_of_reach(reach: float, left: int, limit: float, *, lost: bool) -> None:
    assert is_out_of_reach(reach, left, limit) is lost
