"""Runs that ended with their steps, and may yet get more: these go on where they stopped.

What they come to is to the last bit what it would be from the first step on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from analysis.training.grid import Training
from analysis.training.updates import Update

MOST_BYTES: Final = 256 << 20
"""Of weights and moments that are kept, in all; a run for which there is no room begins anew."""
COPIES: Final = 3
"""Of the weights that a run needs: itself, and the moments of Adam."""


@dataclass(frozen=True, slots=True, eq=False)
class Paused:
    """A run before its next step."""

    weights: tuple[torch.Tensor, ...]
    update: Update
    """With the moments it has by then."""
    curve: tuple[float, ...]
    held_out: tuple[float, ...]


class Pauses:
    """The runs of one subject, from one set of weights, by entry of the grid and seed."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        """Nothing is kept yet."""
        self._runs: dict[tuple[Training, int], Paused] = {}
        self._room = most_bytes

    def put(
        self, entry: Training, seed: int, weights: Sequence[torch.Tensor], update: Update,
        curve: Sequence[float], held_out: Sequence[float],
    ) -> None:  # fmt: skip
        """Keep a run, where there is room."""
        size = _bytes(weights)
        if size <= self._room:
            self._room -= size
            copies = tuple(weight.detach().clone() for weight in weights)
            self._runs[entry, seed] = Paused(copies, update, tuple(curve), tuple(held_out))

    def take(self, entry: Training, seed: int) -> Paused | None:
        """The run to go on with; it is kept no longer."""
        paused = self._runs.pop((entry, seed), None)
        if paused is not None:
            self._room += _bytes(paused.weights)
        return paused


def _bytes(weights: Sequence[torch.Tensor]) -> int:
    return COPIES * sum(weight.numel() * weight.element_size() for weight in weights)
