"""Sequences as Python's own, optionals as the value or None: gradients flow through because tensors stay themselves."""

from collections.abc import Sequence
from typing import Any, Final

import torch

from analysis.convert.registry import Ints, Tensor, op
from analysis.errors import LimitExceeded

Tensors = Sequence[Tensor]
MAX_LENGTH: Final = 20_000
"""Of a sequence that grows: each insertion copies what is there."""


@op("SequenceEmpty", 11)
def sequence_empty(*, dtype: int = 1) -> Tensors:
    """No tensors; the type of those to come changes nothing."""
    return ()


@op("SequenceConstruct", 11)
def sequence_construct(*tensors: Tensor) -> Tensors:
    """The inputs in order."""
    return tensors


@op("SequenceInsert", 11)
def sequence_insert(sequence: Tensors, tensor: Tensor, position: Ints | None = None) -> Tensors:
    """One more tensor, before the position; by default at the end."""
    size = len(sequence)
    if size >= MAX_LENGTH:
        raise LimitExceeded(f"a sequence grows to more than {MAX_LENGTH} tensors")
    at = size if position is None else _place(position[0], size, size + 1)
    return (*sequence[:at], tensor, *sequence[at:])


@op("SequenceErase", 11)
def sequence_erase(sequence: Tensors, position: Ints | None = None) -> Tensors:
    """All but the tensor at the position, by default the last."""
    at = _place(-1 if position is None else position[0], len(sequence), len(sequence))
    return (*sequence[:at], *sequence[at + 1 :])


@op("SequenceAt", 11)
def sequence_at(sequence: Tensors, position: Ints) -> Tensor:
    """The tensor at the position."""
    return sequence[_place(position[0], len(sequence), len(sequence))]


def _place(position: int, size: int, end: int) -> int:
    """A position counted from the front; negative ones count from the back."""
    if not -size <= position < end:
        raise IndexError(f"position {position} in a sequence of {size}")
    return position % size if position < 0 else position


@op("SequenceLength", 11)
def sequence_length(sequence: Tensors) -> Tensor:
    """Number of tensors, on the host."""
    return torch.tensor(len(sequence))


@op("SplitToSequence", 11)
def split_to_sequence(x: Tensor, sizes: Tensor | None = None, *, axis: int = 0, keepdims: int = 1) -> Tensors:
    """Pieces along an axis: of these sizes, of one size (the last one smaller), or single slices by default."""
    if sizes is None and not keepdims:
        return x.unbind(axis)
    given = 1 if sizes is None else sizes.tolist()
    pieces: Tensors = x.split(given, axis)
    return pieces if x.shape[axis] or isinstance(given, list) else ()


@op("ConcatFromSequence", 11)
def concat_from_sequence(sequence: Tensors, *, axis: int, new_axis: int = 0) -> Tensor:
    """All tensors along an axis, an existing one or a new one."""
    return torch.stack(list(sequence), axis) if new_axis else torch.cat(list(sequence), axis)


@op("Optional", 15)
def optional(value: Any = None, *, type: object = None) -> Any:  # noqa: A002 - ONNX name
    """The value, or nothing; the type of what is missing changes nothing."""
    return value


@op("OptionalHasElement", 15)
def optional_has_element(value: Any = None) -> Tensor:
    """Whether there is a value, on the host."""
    return torch.tensor(value is not None)


@op("OptionalGetElement", 15)
def optional_get_element(value: Any) -> Any:
    """The value there is."""
    if value is None:
        raise ValueError("the optional is empty")
    return value
