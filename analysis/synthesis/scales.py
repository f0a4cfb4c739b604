"""The scale at which the graph expects an input, read backwards off the constants with which it standardises it.

    x -> Cast -> Div (255) -> Sub (mean) -> Div (deviation) -> Transpose -> Conv

What comes out should have mean 0 and deviation 1, so x has mean 255 * mean and deviation 255 * deviation.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from analysis.model import CheckedModel
from analysis.model.nodes import attributes_of
from analysis.model.weights import Array

Numbers = npt.NDArray[np.float64]
PIXEL_DEVIATION: Final = 64.0
PIXEL_SCALES: Final = (100.0, 300.0)
"""Divided by what lies between these, numbers are pixels of 0 to 255."""
PIXEL_MEANS: Final = (90.0, 160.0)
LARGEST: Final = 1e6


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and deviation, each of a shape that spreads over the input."""

    mean: Numbers
    deviation: Numbers
    pixels: bool = False
    """Whether the numbers are 0 to 255."""


UNIT: Final = Scale(np.zeros(()), np.ones(()))
PIXELS: Final = Scale(np.full((), 127.5), np.full((), PIXEL_DEVIATION), pixels=True)


@dataclass
class _Affine:
    """What the graph has made of x so far: factor * x + offset, in the layout of x."""

    rank: int
    factor: Numbers
    offset: Numbers
    order: tuple[int, ...]
    """Which axis of x each present axis is."""
    reshaped: bool = False
    steps: int = 0

    def apply(self, node: NodeProto, slot: int, weights: CheckedModel) -> bool:
        """Follow one node; False where it is no part of a standardisation."""
        if node.op_type in {"Cast", "Identity"}:
            return True
        if node.op_type in {"Reshape", "Squeeze", "Unsqueeze", "Flatten"}:
            self.reshaped = True
            return True
        if node.op_type == "Transpose" and not self.reshaped:
            order = attributes_of(node).get("perm") or tuple(reversed(range(self.rank)))
            self.order = tuple(self.order[axis] for axis in order)
            return True
        if node.op_type == "BatchNormalization" and slot == 0:
            return self._standardise(node, weights)
        return node.op_type in {"Add", "Sub", "Mul", "Div"} and self._combine(node, slot, weights)

    def _combine(self, node: NodeProto, slot: int, model: CheckedModel) -> bool:
        constant = self._placed(model.weights.get(node.input[1 - slot]))
        if constant is None or (slot == 1 and node.op_type == "Div"):
            return False
        if node.op_type == "Mul":
            self.factor, self.offset = self.factor * constant, self.offset * constant
        elif node.op_type == "Div":
            self.factor, self.offset = self.factor / constant, self.offset / constant
        elif node.op_type == "Add":
            self.offset = self.offset + constant
        elif slot == 0:
            self.offset = self.offset - constant
        else:
            self.factor, self.offset = -self.factor, constant - self.offset
        self.steps += 1
        return True

    def _standardise(self, node: NodeProto, model: CheckedModel) -> bool:
        """By the running statistics; what it does afterwards is the network's own."""
        mean, variance = (model.weights.get(name) for name in node.input[3:5])
        if mean is None or variance is None or self.rank < 2:
            return False
        shape = (-1, *(1,) * (self.rank - 2))
        centre, spread = self._placed(mean.reshape(shape)), self._placed(variance.reshape(shape))
        if centre is None or spread is None:
            return False
        deviation = np.sqrt(np.maximum(spread, 0) + attributes_of(node).get("epsilon", 1e-5))
        self.factor, self.offset = self.factor / deviation, (self.offset - centre) / deviation
        self.steps += 1
        return False

    def _placed(self, constant: Array | None) -> Numbers | None:
        """A constant in the layout of x; None where it does not spread over it."""
        if constant is None or constant.dtype.kind not in "fiu" or constant.ndim > self.rank:
            return None
        if constant.size == 1:
            return np.asarray(constant, np.float64).reshape(())
        if self.reshaped:
            return None
        wide = np.asarray(constant, np.float64).reshape((1,) * (self.rank - constant.ndim) + constant.shape)
        return np.transpose(wide, np.argsort(self.order))


def expected_scale(model: CheckedModel, name: str, rank: int) -> Scale:
    """Mean and deviation that the graph's own standardisation makes 0 and 1; these, where it has none."""
    affine = _Affine(rank, np.ones(()), np.zeros(()), tuple(range(rank)))
    with np.errstate(all="ignore"):
        value = name
        while True:
            readings = [each for each in model.consumers.get(value, ()) if each.node.op_type != "Shape"]
            if len(readings) != 1 or readings[0].slot < 0:
                break
            node, slot = readings[0]
            if not affine.apply(node, slot, model):
                break
            value = node.output[0]
        return _scale(affine) if affine.steps else UNIT


def _scale(affine: _Affine) -> Scale:
    deviation = np.abs(1 / affine.factor)
    mean = -affine.offset / affine.factor
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all() and deviation.max() < LARGEST):
        return UNIT
    low, high = PIXEL_SCALES
    if not affine.offset.any() and low <= float(deviation.mean()) <= high:
        return PIXELS
    if PIXEL_MEANS[0] <= float(mean.mean()) <= PIXEL_MEANS[1]:
        return Scale(mean, np.minimum(deviation, PIXEL_DEVIATION), pixels=True)
    return Scale(mean, deviation)
