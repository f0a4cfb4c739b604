"""Dropout as in training: a share of a value set to zero, the rest scaled up, new places at every pass."""

from collections.abc import Mapping
from functools import partial

import torch

from analysis.convert.program import Watcher
from analysis.graph.dropout import find_dropout
from analysis.model import CheckedModel


class Dropping:
    """The Dropout of a graph, with its own random numbers."""

    def __init__(self, ratios: Mapping[str, float], seed: int) -> None:
        """`ratios`: by the value that each Dropout writes."""
        self.ratios = ratios
        self._random = torch.Generator().manual_seed(seed)

    @property
    def watchers(self) -> Mapping[str, list[Watcher]]:
        """By value, what takes the place of what Dropout lets through in measurement."""
        return {name: [partial(self._dropped, ratio)] for name, ratio in self.ratios.items()}

    def _dropped(self, ratio: float, value: torch.Tensor) -> torch.Tensor:
        kept = torch.rand(value.shape, generator=self._random) >= ratio
        return value * (kept.to(value) / (1 - ratio))


def dropping_of(model: CheckedModel, seed: int) -> Dropping | None:
    """The Dropout of a graph; None where it has none."""
    ratios = {node.output[0]: ratio for node, ratio in find_dropout(model)}
    return Dropping(ratios, seed) if ratios else None
