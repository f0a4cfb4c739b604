"""A cell run over time by itself; the operators made of it have their cases beside this file."""

import pytest
import torch

from analysis.convert.ops._sequences import (
    REVERSE,
    Direction,
    Sequences,
    activations_of,
    clamped,
    collect,
    reversed_in_time,
    scan,
)
from analysis.errors import UnsupportedOp

STEPS = torch.tensor([[[1.0], [10.0]], [[2.0], [20.0]], [[3.0], [30.0]]])
"""Three steps of two samples, one feature."""


def summing(part: torch.Tensor, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return (part + state[0],)


def run(lengths: torch.Tensor | None, *, reverse: bool = False) -> tuple[list, list]:
    one = torch.ones(1, 1)
    direction = Direction(one, one, None, None, reverse, [])
    outputs, state = scan(Sequences(STEPS, lengths, (torch.zeros(1, 2, 1),), None), 0, direction, summing)
    return outputs.squeeze(-1).T.tolist(), state[0].squeeze(-1).tolist()


def test_a_cell_is_run_over_time_and_the_last_state_is_that_of_the_last_step() -> None:
    assert run(None) == ([[1, 3, 6], [10, 30, 60]], [6, 60])
    assert run(None, reverse=True) == ([[6, 5, 3], [60, 50, 30]], [6, 60])


def test_a_sample_that_has_ended_keeps_its_state_and_its_output_is_zero() -> None:
    lengths = torch.tensor([3, 2])
    assert run(lengths) == ([[1, 3, 6], [10, 30, 0]], [6, 30])
    assert run(lengths, reverse=True) == ([[6, 5, 3], [30, 20, 0]], [6, 30])


def test_each_sequence_is_turned_by_itself_and_padding_stays() -> None:
    assert reversed_in_time(STEPS, None)[:, 0, 0].tolist() == [3, 2, 1]
    turned = reversed_in_time(STEPS, torch.tensor([3, 2]))
    assert turned[:, :, 0].T.tolist() == [[3, 2, 1], [20, 10, 30]]


def test_directions_are_collected_in_the_layout_asked_for() -> None:
    forward, backward = (torch.full((3, 2, 4), value) for value in (1.0, 2.0))
    results = [(forward, (forward[-1],)), (backward, (backward[-1],))]
    y, last = collect(results, 0)
    assert (y.shape, last.shape) == ((3, 2, 2, 4), (2, 2, 4))
    y, last = collect(results, 1)
    assert (y.shape, last.shape) == ((2, 3, 2, 4), (2, 2, 4))
    assert y[0, 0, 1, 0] == 2.0


def test_a_clip_bounds_both_sides_and_none_bounds_nothing() -> None:
    values = torch.tensor([-3.0, 0.5, 3.0])
    assert clamped(1.0)(values).tolist() == [-1.0, 0.5, 1.0]
    assert clamped(None)(values).tolist() == values.tolist()


def test_activations_take_their_own_numbers_in_turn_and_unknown_ones_are_named() -> None:
    x = torch.tensor([-2.0, 1.0])
    leaky, tanh, affine = activations_of(["LeakyRelu", "Tanh", "Affine"], (0.1, 2.0), (3.0,))
    assert leaky(x).tolist() == pytest.approx([-0.2, 1.0])
    assert torch.equal(tanh(x), torch.tanh(x))
    assert affine(x).tolist() == [-1.0, 5.0]
    with pytest.raises(UnsupportedOp, match="nothing"):
        activations_of(["Nothing"], (), ())


def test_the_other_direction_has_a_name() -> None:
    assert REVERSE == "reverse"
