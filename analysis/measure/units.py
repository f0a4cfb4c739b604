"""Quantised values in the unit of the floats that they stand for: y = (q - z) s.

A gradient at q is s times the one at y, and scales differ from value to value: along a trunk of integers it would seem
to grow and to vanish with them.
"""

from collections.abc import Mapping

import torch

from analysis.convert.program import Watcher
from analysis.convert.tensors import to_tensor
from analysis.model import CheckedModel
from analysis.model.quantized import output_units


class Units:
    """The scale and zero point of every quantised value of a model that has one of each."""

    def __init__(self, model: CheckedModel) -> None:
        """Read the numbers of the graph."""
        self._numbers: Mapping[str, tuple[float, float]] = {
            value: (_number(model, scale), _number(model, zero_point) if zero_point else 0.0)
            for value, (scale, zero_point) in output_units(model).items()
        }

    def shown(self, value: str, watcher: Watcher) -> Watcher:
        """The watcher, shown floats; the values go on as they are, with their gradient through the floats."""
        if value not in self._numbers:
            return watcher
        scale, zero_point = self._numbers[value]

        def on_value(numbers: torch.Tensor) -> torch.Tensor | None:
            floats = (numbers.to(torch.promote_types(numbers.dtype, torch.float32)) - zero_point) * scale
            watcher(floats)
            return numbers.detach() + (floats - floats.detach()) / scale if numbers.requires_grad else None

        return on_value


def _number(model: CheckedModel, name: str) -> float:
    return float(to_tensor(model.weights[name].reshape(-1)[:1].copy()))
