"""A batch, and which axis of each input counts its samples."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from analysis.errors import BadBatch
from analysis.facts import Provenance
from analysis.model import CheckedModel
from analysis.model.checked import ValueSpec
from analysis.model.weights import Array

BATCH_NAMES: Final = frozenset({"n", "b", "bs", "batch", "batch_size", "batchsize", "unk__batch"})
SIGNAL_NAME: Final = "samples"
"""Counts those of the batch as the first axis, those of a signal behind another one."""

WITHOUT_NUMBERS: Final = frozenset({"sequence", "optional", "map", "str", "unknown"})
"""Types of inputs that are no tensors of numbers."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs by graph input name, and targets by output name where there are any."""

    inputs: Mapping[str, Array]
    targets: Mapping[str, Array]
    """Key "" stands for the first differentiable output."""
    size: int
    """Samples."""
    axes: Mapping[str, int | None]
    """Which axis of an input counts samples; None where none does."""
    sha256: str
    provenance: Provenance
    notes: tuple[str, ...] = field(default=())

    @property
    def constant_inputs(self) -> bool:
        """Whether all samples are equal, so that nothing can be said about units."""
        return self.size > 1 and all(
            _samples_equal(array, self.axes[name]) for name, array in self.inputs.items() if array.size
        )


def refuse_without_numbers(spec: ValueSpec) -> None:
    """Raises BadBatch for an input that no array fills, sent or made up."""
    if spec.dtype in WITHOUT_NUMBERS:
        raise BadBatch(
            f"an input of type {spec.dtype} can be neither made up nor sent",
            where=spec.name,
            hint="export a graph whose inputs are tensors of numbers, one for each part of what this input holds",
        )


def sample_axes(
    model: CheckedModel, inputs: Mapping[str, Array], targets: Mapping[str, Array]
) -> tuple[int, dict[str, int | None]]:
    """How many samples there are, and along which axis of each input they lie.

    A dimension named like a batch decides where the targets have it, too, as those of every step of a time-major
    sequence do; then what the targets start with, if an input has as many of anything; then the named dimension, then
    the first axis.
    """
    named = {spec.name: _named_batch_axis(spec) for spec in model.inputs}
    lengths = {length for array in inputs.values() for length in array.shape}
    batches = [inputs[name].shape[axis] for name, axis in named.items() if axis is not None]
    sizes = [size for size in batches if targets and all(size in array.shape for array in targets.values())]
    sizes += [array.shape[0] for array in targets.values() if array.ndim and (array.shape[0] in lengths or not inputs)]
    sizes += batches
    sizes += [array.shape[0] for array in inputs.values() if array.ndim]
    size = sizes[0] if sizes else 1
    axes: dict[str, int | None] = {}
    for name, array in inputs.items():
        fitting = [axis for axis, length in enumerate(array.shape) if length == size]
        known = named.get(name)
        axes[name] = known if known in fitting else next(iter(fitting), None)
    return size, axes


def select(batch: Batch, rows: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """Inputs and targets of some samples."""
    inputs = {
        name: array if batch.axes[name] is None else np.take(array, rows, axis=batch.axes[name])
        for name, array in batch.inputs.items()
    }
    targets = {
        name: np.take(array, rows, axis=0) if array.ndim and array.shape[0] == batch.size else array
        for name, array in batch.targets.items()
    }
    return inputs, targets


def _named_batch_axis(spec: ValueSpec) -> int | None:
    for axis, dimension in enumerate(spec.shape or ()):
        if is_batch_name(dimension, axis):
            return axis
    return None


def is_batch_name(dimension: int | str | None, axis: int) -> bool:
    """Whether an axis is named after the samples of a batch."""
    name = dimension.lower() if isinstance(dimension, str) else ""
    return name in BATCH_NAMES or (name == SIGNAL_NAME and axis == 0)


def _samples_equal(array: Array, axis: int | None) -> bool:
    if axis is None:
        return True
    first = np.take(array, [0], axis=axis)
    return bool((array == first).all())
