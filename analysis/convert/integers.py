"""Weights that a file stores as integers: the parameter holds the floats w = (q - z) s that they stand for.

An operator on integers gets w / s + z in their place, which is q again as long as nothing has trained: what dividing
adds to an integer by rounding is taken off, so that sums of products stay exact. Its slope is 1 / s: what arrives at w
is the gradient of a float weight, straight through the quantiser.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from analysis.convert.ops.casting import straight_through

Tensor = torch.Tensor
ROUNDINGS: Final = 2.0**-20
"""How far a quotient may be from an integer, over the integer, to be one."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One weight of one node."""

    place: int
    """Among the inputs of the node."""
    scales: int
    """How many scales it has."""
    shifted: bool
    """Whether it has a zero point."""
    axis: int
    units: tuple[int, ...]
    """Slots of the scales, and of the zero point behind them."""


def floats_of(numbers: Tensor, scales: Sequence[Tensor], zero_point: Tensor | None, axis: int) -> Tensor:
    """(q - z) times the scales, which lie along an axis where they hold more than one number."""
    total = numbers.double()
    if zero_point is not None:
        total = total - spread(zero_point.double(), numbers.ndim, axis)
    for scale in scales:
        total = total * spread(scale.double(), numbers.ndim, axis)
    return total


def on_integers(function: Callable[..., Any], stored: Sequence[Stored], inputs: int, *values: Any) -> Any:
    """The operator on its inputs with integers in place of stored weights; behind the inputs come their units."""
    given, units = list(values[:inputs]), list(values[inputs:])
    for each in stored:
        mine, units = units[: len(each.units)], units[len(each.units) :]
        given[each.place] = _integers(given[each.place], mine[: each.scales], mine[each.scales :], each.axis)
    return function(*given)


def _integers(floats: Tensor, scales: Sequence[Tensor], zero_points: Sequence[Tensor], axis: int) -> Tensor:
    quotient = floats.double()
    for scale in scales:
        quotient = quotient / spread(scale.double(), floats.ndim, axis)
    whole = quotient.detach().round()
    near = (quotient.detach() - whole).abs() <= ROUNDINGS * whole.abs().clamp(min=1)
    settled = straight_through(quotient, torch.where(near, whole, quotient.detach()), torch.isfinite(whole))
    return settled + spread(zero_points[0].double(), floats.ndim, axis) if zero_points else settled


def spread(parameter: Tensor, rank: int, axis: int) -> Tensor:
    """A scale or zero point so that it broadcasts over a weight of this rank.

    Numbers [D, 4 H] of a weight [D, I, 4 H] lie along the axis and along the last one.
    """
    if 1 < parameter.ndim < rank:
        return parameter.reshape([*parameter.shape[:-1], *[1] * (rank - parameter.ndim), parameter.shape[-1]])
    if parameter.numel() == 1 or parameter.ndim > 1:
        return parameter.reshape(()) if parameter.numel() == 1 else parameter
    return parameter.reshape([-1 if place == axis % rank else 1 for place in range(rank)])
