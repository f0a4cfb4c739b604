"""When a short training counts as learnt: truth tables over optimisers and seeds, written out."""

import math
from dataclasses import replace

import pytest

from analysis.facts import Outcome, Probe, ProbeKind, Run
from tests.analysis.diagnosis.builders import FAILS, LEARNS, probe, run

YES, NO = 0.4, 1.0
BROKEN = math.nan


@pytest.mark.parametrize(
    ("curve", "held_out", "expected"),
    [
        ((1.0, 0.2, 0.5), (), 0.5),  # the last, not the least
        ((1.0, BROKEN), (), math.inf),
        ((1.0, math.inf), (), math.inf),
        ((1.0, 0.1), (1.0, 0.8, 0.9), 0.8),  # the least of those held out
        ((1.0, 0.1), (BROKEN, 0.9), 0.9),
        ((1.0, 0.1), (BROKEN, math.inf), math.inf),
        ((1.0, BROKEN), (0.7,), 0.7),
    ],
)
def test_the_loss_that_counts_is_the_last_or_the_best_on_samples_held_out(
    curve: tuple[float, ...], held_out: tuple[float, ...], expected: float
) -> None:
    assert replace(run(), curve=curve, held_out=held_out).end == expected


@pytest.mark.parametrize(
    ("runs", "sgd", "adam"),
    [
        ([run("sgd", YES)], True, False),
        ([run("sgd", NO), run("adam", YES)], False, True),
        ([run("sgd", NO), run("sgd", YES)], True, False),  # at another learning rate
        ([run("sgd", YES, 0), run("sgd", NO, 1)], False, False),
        ([run("sgd", YES, 0), run("sgd", YES, 1)], True, False),
        ([run("sgd", YES, 0), run("adam", YES, 1)], False, False),  # each seed has to learn with it
    ],
)
def test_an_optimiser_learns_where_some_run_of_every_seed_does(runs: list[Run], *, sgd: bool, adam: bool) -> None:
    trained = probe(*runs)
    assert (trained.learns("sgd"), trained.learns("adam")) == (sgd, adam)


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.LEARNT])
def test_no_other_end_counts_as_learnt(outcome: Outcome) -> None:
    assert not probe(run("sgd", 0.1, outcome=outcome)).learns("sgd")


@pytest.mark.parametrize(
    ("sgd", "adam", "expected"), [(YES, YES, False), (YES, NO, False), (NO, YES, True), (NO, NO, False)]
)
def test_descent_alone_fails_where_adam_learns_and_sgd_does_not(sgd: float, adam: float, expected: bool) -> None:
    assert probe(run("sgd", sgd), run("adam", adam)).fails_sgd_alone is expected


def test_a_probe_is_neither_late_nor_unfinished_nor_held_out_unless_said() -> None:
    for each in (LEARNS, FAILS):
        assert isinstance(each, Probe)
        assert (each.late, each.unfinished, each.held_out) == (False, False, 0)


# ------------------------------------------------------------------ slow, and the user's own


def line(start: float, end: float, steps: int = 200) -> tuple[float, ...]:
    return tuple(start + (end - start) * step / steps for step in range(steps + 1))


def test_of_runs_with_more_steps_only_those_say_whether_the_loss_still_falls() -> None:
    short, stuck, slow = (replace(run("sgd", 1.0), curve=curve) for curve in (line(9, 2, 50), line(1, 1), line(1, 0.4)))
    assert probe(short, stuck).falls
    late = replace(probe(short, stuck), late=True, steps=200)
    assert not late.falls
    assert replace(late, runs=(short, stuck, slow)).falls


def by_heart(optimizer: str, end: float, limit: float, start: float = 1.0, steps: int = 21) -> Run:
    return replace(run(optimizer, end), curve=(start, *[end] * steps), limit=limit)


ADAM_BY_HEART, SGD_BY_HEART = by_heart("adam", 0.1, 0.2), by_heart("sgd", 0.4, 0.5)
FROM_FAR = by_heart("sgd", 0.4, 0.5, start=10.1)


@pytest.mark.parametrize(
    ("runs", "crams"),
    [
        ([run("sgd", NO), ADAM_BY_HEART], True),
        ([run("sgd", NO), replace(run("adam", 0.9, outcome=Outcome.LEARNT), limit=0.92)], False),  # promptly
        ([SGD_BY_HEART, run("adam", NO)], False),
        ([FROM_FAR, run("adam", NO)], True),
        ([by_heart("sgd", 0.4, 0.5, start=10.0), run("adam", NO)], False),
        ([by_heart("sgd", 0.4, 0.5, start=10.1, steps=20), run("adam", NO)], False),  # promptly, by attention
        ([run("sgd", NO), replace(ADAM_BY_HEART, own=True)], False),
    ],
)
def test_samples_are_crammed_from_far_over_chance_and_one_batch_by_adam_alone(runs: list[Run], *, crams: bool) -> None:
    assert probe(*runs, kind=ProbeKind.MEMORIZING).crams is crams
    assert probe(*runs).crams is (crams and runs[0] == FROM_FAR)  # minibatches, by Adam: no cramming


def test_the_training_of_the_user_learns_where_every_seed_of_it_does() -> None:
    own = replace(run("sgd", YES), own=True)
    assert not LEARNS.own_learns
    assert probe(own, run("sgd", NO)).own_learns
    assert not probe(own, replace(own, outcome=Outcome.DIVERGED, seed=1)).own_learns


def test_the_run_that_works_is_of_the_optimiser_asked_for_where_one_does() -> None:
    trained = probe(run("adam", 0.1), run("sgd", 0.5), run("sgd", 0.4), run("sgd", NO))
    assert trained.working("sgd") == run("sgd", 0.4)
    assert trained.working("adam") == run("adam", 0.1)
    assert probe(run("adam", 0.1), run("sgd", NO)).working("sgd") == run("adam", 0.1)
    assert FAILS.working("sgd") is None


def test_rates_that_learnt_are_those_of_one_optimiser() -> None:
    slow = replace(run("sgd", YES), learning_rate=1e-6)
    trained = probe(run("sgd", YES), run("sgd", NO), slow, run("adam", YES))
    assert trained.rates_that_learnt("sgd") == [0.1, 1e-6]
    assert FAILS.rates_that_learnt("sgd") == []
