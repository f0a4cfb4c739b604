"""Which axis of a value counts samples, from two runs."""

import numpy as np
import pytest
import torch

from analysis.model.opened import SampleAxis
from analysis.subject.same_samples import Sizes, compare, reordered, with_shared

RANDOM = np.random.default_rng(7)
POOL = torch.from_numpy(RANDOM.standard_normal((9, 6)))


def test_the_second_run_has_samples_of_the_first_backwards() -> None:
    assert Sizes(8, 3).rows == [7, 6, 5]
    assert Sizes(8, 3).pairs == ([7, 6, 5], [0, 1, 2])
    assert Sizes(1, 3).rows == [2, 1, 0]
    assert Sizes(1, 3).pairs == ([0], [2])


@pytest.mark.parametrize("sizes", [Sizes(1, 3), Sizes(4, 2), Sizes(3, 7)], ids=str)
@pytest.mark.parametrize(
    ("made", "place"),
    [
        (lambda x: x, SampleAxis(0)),
        (lambda x: x.T, SampleAxis(1)),
        (lambda x: x.reshape(-1, 2), SampleAxis(0, 1, 3)),
        (lambda x: x.reshape(-1, 3, 2).transpose(0, 1).reshape(-1, 2), SampleAxis(0, 3, 1)),
        (lambda x: x.reshape(-1, 3, 2).transpose(0, 1).reshape(3, -1), SampleAxis(1, 1, 2)),
    ],
)
def test_an_axis_may_hold_samples_alone_or_merged_with_others(sizes: Sizes, made, place: SampleAxis) -> None:
    assert compare(made(POOL[: sizes.fixed]), made(POOL[sizes.rows]), sizes) == place


def test_what_does_not_depend_on_samples_is_no_other_value() -> None:
    sizes = Sizes(4, 2)
    assert compare(POOL, POOL.clone(), sizes) is True
    assert compare(torch.tensor([4, 6]), torch.tensor([2, 6]), sizes) is True  # a shape
    assert compare([POOL], [POOL], sizes) is True


def test_another_value_is_told() -> None:
    sizes = Sizes(4, 2)
    assert compare(POOL[:4], POOL[:2], sizes) is False  # the same samples, in another order than was asked for
    assert compare(POOL[:4].mean(0), POOL[sizes.rows].mean(0), sizes) is False
    assert compare(POOL[:4].cumsum(0), POOL[sizes.rows].cumsum(0), sizes) is False
    assert compare(POOL[:4] @ POOL[:4].T, POOL[:2] @ POOL[:2].T, sizes) is False
    assert compare(POOL[:4], POOL[:2, None], sizes) is False
    assert compare(torch.tensor([4, 6]), torch.tensor([3, 6]), sizes) is False


def test_rounding_is_no_difference_and_neither_are_equal_non_finites() -> None:
    sizes = Sizes(4, 2)
    one = POOL[:4].clone()
    one[3, 0], one[2, 1] = torch.nan, torch.inf
    two = one[sizes.rows] * (1 + 1e-6)
    assert compare(one, two, sizes) == SampleAxis(0)
    assert compare(one, two + 0.1, sizes) is False


def test_the_axis_is_found_from_opposite_orders() -> None:
    x = POOL[:4]
    assert reordered(x, x.flip(0), 4) == SampleAxis(0)
    assert reordered(x.T, x.flip(0).T, 4) == SampleAxis(1)
    assert reordered(x.reshape(12, 2), x.flip(0).reshape(12, 2), 4) == SampleAxis(0, 1, 3)
    assert reordered(x.cumsum(0), x.flip(0).cumsum(0), 4) is None
    assert reordered(x, x[:2], 4) is None


def test_a_sample_keeps_its_random_numbers_in_another_run() -> None:
    sizes, first, second = Sizes(1, 3), torch.tensor([[1.0, 2.0]]), torch.arange(6.0).reshape(3, 2) + 10
    assert with_shared(first, second, sizes).tolist() == [[10, 11], [12, 13], [1, 2]]
    assert with_shared(first, first + 1, sizes) is first
    other = torch.zeros(4, 2)
    assert with_shared(first, other, sizes) is other


def test_an_output_that_is_a_weight_is_compared_without_a_gradient() -> None:
    """A number taken from it would be a warning of torch, which is an error here."""
    weight = torch.nn.Parameter(torch.arange(12.0).reshape(6, 2))
    assert reordered(weight, weight.flip(0), 6) == SampleAxis(0)
