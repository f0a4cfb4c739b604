"""Whether a value holds the same samples in two runs, and along which axis it counts them.

One run is on the `fixed` number of samples, the other on `opened` of them, backwards, some of which both have. Apart
from the samples they must be equal: one axis of k x fixed entries has k x opened, and the rows of shared samples agree.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from analysis.model.opened import SampleAxis

TOLERANCE: Final = 1e-3
"""Of the scale of a value: what sums in another order may come to in float32."""
COARSE: Final = 0.15
"""The same where all samples are quantised with one scale, which others of them change."""
FEW: Final = 3
"""Samples of a second run: two alone might be what a value has two of."""
QUANTISED: Final = frozenset({torch.uint8, torch.int8, torch.int32})
"""What quantised numbers and their products are stored in."""


@dataclass(frozen=True)
class Sizes:
    """Two numbers of samples, and which of a pool of samples they are."""

    fixed: int
    opened: int
    tolerance: float = TOLERANCE

    @property
    def rows(self) -> list[int]:
        """The samples of the second run: the last ones of the first, or more than these, backwards."""
        first = max(self.fixed - self.opened, 0)
        return list(range(first, first + self.opened))[::-1]

    @property
    def pairs(self) -> tuple[list[int], list[int]]:
        """Rows of the first run, and the rows of the second that hold the same samples."""
        shared = [(sample, place) for place, sample in enumerate(self.rows) if sample < self.fixed]
        return [sample for sample, _ in shared], [place for _, place in shared]


def few_of(samples: int) -> int:
    """How many of these a second run takes: some, where there are others that it is without."""
    return min(samples // 2, FEW)


def compare(fixed: Any, opened: Any, sizes: Sizes) -> SampleAxis | bool:
    """Along which axis a value counts samples; True where it does not depend on them, False where it is another."""
    if not isinstance(fixed, torch.Tensor) or not isinstance(opened, torch.Tensor):
        return True
    if fixed.shape == opened.shape:
        return _close(fixed, opened, sizes.tolerance) or _is_shape(fixed, opened, sizes)
    axis, (first, second) = _scaled_axis(fixed, opened, sizes), sizes.pairs
    if axis is None:
        return False
    factor = fixed.shape[axis] // sizes.fixed
    for outer in (each for each in range(1, factor + 1) if factor % each == 0):
        one = fixed.unflatten(axis, (outer, sizes.fixed, factor // outer))
        two = opened.unflatten(axis, (outer, sizes.opened, factor // outer))
        if _close(_take(one, axis + 1, first), _take(two, axis + 1, second), sizes.tolerance):
            return SampleAxis(axis, outer, factor // outer)
    return False


def _scaled_axis(fixed: torch.Tensor, opened: torch.Tensor, sizes: Sizes) -> int | None:
    """The one axis that has k entries for each sample, and is another with another number of them."""
    if fixed.ndim != opened.ndim:
        return None
    axis, *others = [axis for axis in range(fixed.ndim) if fixed.shape[axis] != opened.shape[axis]]
    factor, rest = divmod(fixed.shape[axis], sizes.fixed)
    return axis if not others and not rest and factor and opened.shape[axis] == factor * sizes.opened else None


def with_shared(fixed: torch.Tensor, opened: torch.Tensor, sizes: Sizes) -> torch.Tensor:
    """Random numbers of the second run, with those that the first one drew for the samples that both have."""
    if fixed.shape == opened.shape:
        return fixed
    axis = _scaled_axis(fixed, opened, sizes)
    if axis is None:
        return opened
    factor = fixed.shape[axis] // sizes.fixed
    first, second = sizes.pairs
    drawn = fixed.unflatten(axis, (sizes.fixed, factor))
    settled = opened.clone().unflatten(axis, (sizes.opened, factor))
    settled = settled.index_copy(axis, torch.tensor(second), _take(drawn, axis, first))
    whole: torch.Tensor = settled.flatten(axis, axis + 1)
    return whole


def reordered(forwards: torch.Tensor, backwards: torch.Tensor, samples: int) -> SampleAxis | None:
    """Along which axis a value counts samples, from two runs on the same samples in opposite orders."""
    for axis, length in enumerate(forwards.shape if forwards.shape == backwards.shape else ()):
        factor, rest = divmod(length, samples)
        for outer in (each for each in range(1, factor + 1) if not rest and factor % each == 0):
            parts = (outer, samples, factor // outer)
            if _close(forwards.unflatten(axis, parts).flip(axis + 1), backwards.unflatten(axis, parts)):
                return SampleAxis(axis, outer, factor // outer)
    return None


def _take(value: torch.Tensor, axis: int, rows: Sequence[int]) -> torch.Tensor:
    return value.index_select(axis, torch.tensor(rows))


def _close(one: torch.Tensor, two: torch.Tensor, tolerance: float = TOLERANCE) -> bool:
    """Whether two values are equal within the tolerance; in three passes where they are numbers, and clearly so or not.

    Of numbers further apart than both scales allow, the second being under the first and that, no other pass is asked.
    """
    one, two = one.detach(), two.detach()  # an output may be a weight
    if tolerance > TOLERANCE and one.dtype in QUANTISED:
        one, two = one.double(), two.double()
    if not one.dtype.is_floating_point:
        return bool((one == two).all())
    if one.numel():
        low, high = map(float, one.aminmax())
        apart, scale = float((one - two).abs_().max()), max(-low, high)
        if apart <= tolerance * scale < math.inf:
            return True
        if tolerance * (2 * scale + apart) < apart < math.inf:
            return False
    scale = float(one.nan_to_num(0.0, 0.0, 0.0).abs().max()) if one.numel() else 0.0
    return torch.allclose(one, two, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def _is_shape(fixed: torch.Tensor, opened: torch.Tensor, sizes: Sizes) -> bool:
    """Whether these are sizes, some of which are multiples of the number of samples."""
    if fixed.dtype not in {torch.int64, torch.int32} or fixed.ndim > 1:
        return False
    scaled = (fixed % sizes.fixed == 0) & (fixed // sizes.fixed * sizes.opened == opened)
    return bool(((fixed == opened) | scaled).all())
