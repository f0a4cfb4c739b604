"""Targets where nobody sent any: what a network of this shape could be asked for.

Class ids where an axis looks like classes, bits behind a sigmoid, else random numbers that the outputs can get to: a
network that ends in tanh is not asked for 2, nor for classes, whose scores no range may hold. One for each sample,
shared by all its positions: what a small number of steps can learn.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.batch import Batch
from analysis.errors import BadOptions
from analysis.graph.heads import Head, Link
from analysis.graph.ranges import Limits
from analysis.model.weights import Array
from analysis.options import LossName

COLOURS: Final = 3
IMAGE_RANK: Final = 4
WITHIN: Final = 0.8
"""The part of a closed range that targets are drawn from: at its ends activations are saturated."""


@dataclass(frozen=True, slots=True)
class Invented:
    """Targets, the loss that they are for, and how they were made."""

    targets: Array
    loss: LossName
    why: str


def invent(
    head: Head, logits: Array, wanted: LossName, batch: Batch, limits: Limits, *, trained: bool, seed: int
) -> Invented:
    """Targets for the logits of a head, which lie within these limits whatever the weights are.

    Raises BadOptions for a loss of classes where there are none.
    """
    random = np.random.default_rng((seed, 1))
    axis = head.axis % logits.ndim if head.axis is not None else _likely_class_axis(logits, batch)
    if head.axis is None and _is_closed(limits):
        axis = None
    loss = wanted
    if loss is LossName.AUTOMATIC:
        loss = LossName.BCE if head.link is Link.SIGMOID else LossName.MSE if axis is None else LossName.CROSS_ENTROPY
    if loss in {LossName.CROSS_ENTROPY, LossName.NLL}:
        if logits.ndim < 2:
            raise BadOptions(f"output {head.output} of shape {list(logits.shape)} has no classes", where="options.loss")
        targets = _labels(logits, axis if axis is not None else 1, random, trained=trained)
        how = "its own predictions, permuted within the batch" if trained else "balanced random labels"
    else:
        first = logits.shape[: min(2, logits.ndim)]
        pattern = random.integers(0, 2, first) if loss is LossName.BCE else _numbers(first, limits, random)
        spread = np.asarray(pattern, np.float32).reshape(first + (1,) * (logits.ndim - len(first)))
        targets = np.array(np.broadcast_to(spread, logits.shape))
        how = "random bits" if loss is LossName.BCE else "random numbers"
    samples = logits.shape[0] if logits.ndim else 1
    return Invented(targets, loss, f"no targets: {how}, one per sample ({samples} samples)")


def _is_closed(limits: Limits) -> bool:
    return math.isfinite(limits.least) and math.isfinite(limits.most)


def _numbers(shape: tuple[int, ...], limits: Limits, random: np.random.Generator) -> Array:
    """N(0, 1) where nothing bounds it, the same folded at a single bound, uniform well within two."""
    least, most = limits
    if _is_closed(limits):
        return np.asarray((least + most) / 2 + WITHIN * (most - least) / 2 * random.uniform(-1, 1, shape))
    numbers = random.standard_normal(shape)
    if math.isfinite(least):
        return np.asarray(least + np.abs(numbers))
    return np.asarray(most - np.abs(numbers)) if math.isfinite(most) else np.asarray(numbers)


def _likely_class_axis(logits: Array, batch: Batch) -> int | None:
    """Axis 1 of [N, C] and images, the last of sequences; None where the output mirrors an input or is single.

    Three channels at the size of an input picture, or at a multiple of it, are a picture and no classes.
    """
    if any(array.shape == logits.shape for array in batch.inputs.values()) or logits.ndim < 2:
        return None
    if any(_is_picture_of(logits.shape, array.shape) for array in batch.inputs.values()):
        return None
    axis = logits.ndim - 1 if logits.ndim == 3 else 1
    return axis if logits.shape[axis] > 1 else None


def _is_picture_of(made: tuple[int, ...], given: tuple[int, ...]) -> bool:
    """Whether both are [N, C, H, W] or both [N, H, W, C], made in colour and at least as large."""
    if not len(made) == len(given) == IMAGE_RANK:
        return False
    axis = 1 if made[1] == COLOURS else 3
    places = (2, 3) if axis == 1 else (1, 2)
    return made[axis] == COLOURS and all(made[at] >= given[at] and made[at] % given[at] == 0 for at in places)


def _labels(logits: Array, axis: int, random: np.random.Generator, *, trained: bool) -> Array:
    classes = logits.shape[axis]
    if trained:
        return random.permutation(logits.argmax(axis), axis=0)
    samples = logits.shape[0]
    balanced = random.permutation(np.arange(samples) % classes)
    positions = logits.shape[1:axis] + logits.shape[axis + 1 :]
    return np.broadcast_to(balanced.reshape(-1, *[1] * len(positions)), (samples, *positions)).copy()
