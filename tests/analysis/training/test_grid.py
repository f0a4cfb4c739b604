"""Which trainings there are, and what each step of them sees."""

import pytest

from analysis.facts import ProbeKind
from analysis.options import OptimizerName
from analysis.training.grid import (
    GRID,
    PATIENCE,
    STEPS,
    THOROUGH_GRID,
    Training,
    as_many_samples,
    in_units,
    kind_for,
    minibatches_of,
    passes,
)


def test_192_samples_test_learning_and_fewer_memorising() -> None:
    assert kind_for(191, holds_out=False) is ProbeKind.MEMORIZING
    assert kind_for(192, holds_out=False) is ProbeKind.LEARNING
    assert kind_for(63, holds_out=True) is ProbeKind.MEMORIZING
    assert kind_for(64, holds_out=True) is ProbeKind.LEARNING


@pytest.mark.parametrize(("samples", "size"), [(192, 32), (383, 32), (384, 64), (10_000, 64)])
def test_learning_minibatches_are_epochs_of_shuffled_samples(samples: int, size: int) -> None:
    minibatches = list(minibatches_of(range(samples), ProbeKind.LEARNING, 0, 50))
    assert len(minibatches) == 50
    assert all(len(set(rows)) == size for rows in minibatches)
    per_epoch = samples // size
    first_epoch = [row for rows in minibatches[:per_epoch] for row in rows]
    assert len(set(first_epoch)) == len(first_epoch)


@pytest.mark.parametrize(("samples", "size"), [(1, 1), (20, 20), (64, 64), (1000, 64)])
def test_memorising_repeats_one_minibatch(samples: int, size: int) -> None:
    minibatches = list(minibatches_of(range(samples), ProbeKind.MEMORIZING, 0, 20))
    assert len(minibatches) == 20
    assert all(rows == minibatches[0] for rows in minibatches)
    assert len(minibatches[0]) == size


@pytest.mark.parametrize(
    ("samples", "kind", "wanted", "size"),
    [
        (256, ProbeKind.LEARNING, 1, 1),
        (256, ProbeKind.LEARNING, 100, 100),
        (256, ProbeKind.LEARNING, 300, 256),
        (40, ProbeKind.MEMORIZING, 8, 8),
        (256, ProbeKind.MEMORIZING, 8, 8),
        (256, ProbeKind.MEMORIZING, 64, 64),
        (256, ProbeKind.MEMORIZING, 128, 64),
    ],
)
def test_minibatches_have_the_size_of_the_users_as_far_as_there_are_samples(
    samples: int, kind: ProbeKind, wanted: int, size: int
) -> None:
    minibatches = list(minibatches_of(range(samples), kind, 0, 40, wanted))
    assert [len(rows) for rows in minibatches] == [size] * 40


def test_what_is_memorised_in_small_steps_is_one_batch_all_the_same() -> None:
    whole = next(minibatches_of(range(1000), ProbeKind.MEMORIZING, 0, 1))
    small = list(minibatches_of(range(1000), ProbeKind.MEMORIZING, 0, 16, 8))
    assert sorted(row for rows in small[:8] for row in rows) == whole
    assert {row for rows in small for row in rows} == set(whole)


@pytest.mark.parametrize(("size", "times"), [(None, 1), (256, 1), (32, 1), (17, 1), (16, 2), (5, 6), (4, 8), (1, 8)])
def test_small_minibatches_get_more_steps_up_to_eight_times_as_many(size: int | None, times: int) -> None:
    assert as_many_samples(size) == times


def test_a_rate_rises_in_a_straight_line_and_stays() -> None:
    rising = Training(OptimizerName.ADAM, 0.4, warm_up=4)
    assert [rising.rate_at(step) for step in range(1, 7)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    assert Training(OptimizerName.ADAM, 0.4).rate_at(1) == 0.4


@pytest.mark.parametrize("kind", list(ProbeKind))
def test_minibatches_are_of_the_rows_there_are_and_follow_the_seed(kind: ProbeKind) -> None:
    rows = list(range(1000, 1300))
    one, same, other = ([*minibatches_of(rows, kind, seed, 12)] for seed in (0, 0, 1))
    assert one == same
    assert one != other
    assert set().union(*one) <= set(rows)


def test_an_epoch_is_used_up_before_the_next_begins() -> None:
    minibatches = list(minibatches_of(range(192), ProbeKind.LEARNING, 0, 12))
    for epoch in (minibatches[:6], minibatches[6:]):
        assert sorted(row for rows in epoch for row in rows) == list(range(192))
    assert minibatches[:6] != minibatches[6:]


def test_what_is_memorised_keeps_the_order_of_the_rows() -> None:
    (rows,) = minibatches_of(range(1000), ProbeKind.MEMORIZING, 0, 1)
    assert rows == sorted(rows)
    assert rows != list(range(64))
    assert [*minibatches_of([5, 3, 4], ProbeKind.MEMORIZING, 0, 1)] == [[5, 3, 4]]


def test_fifty_steps_test_learning_and_twenty_memorising_for_every_run_and_seed() -> None:
    assert passes(ProbeKind.LEARNING, GRID, (0, 1)) == 50 * 3 * 2
    assert passes(ProbeKind.MEMORIZING, GRID[:1], (0, 1, 2)) == 20 * 3


def test_patience_is_two_hundred_steps() -> None:
    assert {kind: STEPS[kind] * PATIENCE[kind] for kind in ProbeKind} == dict.fromkeys(ProbeKind, 200)


def test_the_grid_is_sgd_at_two_rates_and_adam_and_thorough_one_more_of_each() -> None:
    rates = [(each.optimizer.value, each.learning_rate) for each in THOROUGH_GRID]
    assert rates == [("sgd", 0.1), ("sgd", 0.01), ("adam", 0.003), ("sgd", 0.001), ("adam", 0.0003)]
    assert THOROUGH_GRID[:3] == GRID


@pytest.mark.parametrize(
    ("scale", "rate"),
    [(1.0, 0.1), (3.0, 0.1), (0.4, 0.1), (0.16, 1.0), (900.0, 1e-4), (1e6, 1e-7), (0.0, 0.1), (float("inf"), 0.1)],
)
def test_a_loss_of_a_thousand_at_chance_wants_rates_of_sgd_a_thousand_times_smaller(scale: float, rate: float) -> None:
    assert in_units(0.1, OptimizerName.SGD, scale) == rate
    assert in_units(0.003, OptimizerName.ADAM, scale) == 0.003
