"""Operators that com.microsoft had before the standard did, or has with other inputs.

Exporters of their time wrote them (GridSample and Trilu of PyTorch before opset 16 and 14, CDist of scikit-learn's).
Source: onnxruntime's ContribOperators.md and its CPU kernels.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import torch

from analysis.convert.ops import convolution, indexing, sampling, selection, shape
from analysis.convert.ops.contrib import MICROSOFT, unpacked
from analysis.convert.registry import Ints, Tensor, op
from analysis.errors import UnsupportedOp

METRICS: Final = ("euclidean", "sqeuclidean")

op("GatherND", domain=MICROSOFT)(indexing.gather_nd)
op("GridSample", domain=MICROSOFT)(sampling.grid_sample)
op("Trilu", domain=MICROSOFT)(shape.trilu)


@op("ExpandDims", domain=MICROSOFT)
def expand_dims(x: Tensor, axis: Ints) -> Tensor:
    """Insert an axis of size 1 at this place of the result."""
    return shape.unsqueeze(x, axis)


@op("Pad", domain=MICROSOFT)
def contrib_pad(x: Tensor, pads: Ints, value: Tensor | None = None, *, mode: str = "constant") -> Tensor:
    """Begins, then ends, of every axis; negative ones crop."""
    return shape.pad(x, pads, value, mode=mode)


@op("Range", domain=MICROSOFT)
def contrib_range(start: Tensor, limit: Tensor, delta: Tensor | None = None) -> Tensor:
    """Start, start + delta .. below limit; steps of 1 unless told."""
    return shape.range_(start, limit, torch.ones_like(start) if delta is None else delta)


@op("Inverse", domain=MICROSOFT)
def inverse(x: Tensor) -> Tensor:
    """Inverse matrices of the last two axes."""
    inverted: Tensor = torch.linalg.inv(x)
    return inverted


@op("CDist", domain=MICROSOFT)
def cdist(a: Tensor, b: Tensor, *, metric: str = "sqeuclidean") -> Tensor:
    """Distances [M, N], or their squares, of the rows of a [M, K] to those of b [N, K]; slope 0 between equal rows."""
    if metric not in METRICS:
        raise UnsupportedOp(f"CDist by {metric}")
    squares = (a[:, None] - b[None]).square().sum(-1)
    if metric == "sqeuclidean":
        return squares
    apart = squares > 0
    return torch.where(apart, torch.where(apart, squares, 1.0).sqrt(), 0.0)


@op("ConvTransposeWithDynamicPads", domain=MICROSOFT)
def conv_transpose_with_dynamic_pads(
    x: Tensor, w: Tensor, pads: Ints | None = None, b: Tensor | None = None, *, auto_pad: str = "NOTSET",
    dilations: Ints | None = None, group: int = 1, kernel_shape: Ints | None = None,
    output_padding: Ints | None = None, strides: Ints | None = None,
) -> Tensor:  # fmt: skip
    """ConvTranspose whose padding is an input."""
    return convolution.conv_transpose(
        x, w, b, auto_pad=auto_pad, dilations=dilations, group=group, output_padding=output_padding, pads=pads,
        strides=strides,
    )  # fmt: skip


@op("GatherBlockQuantized", domain=MICROSOFT)
def gather_block_quantized(
    table: Tensor, indices: Tensor, scales: Tensor, zero_points: Tensor | None = None, *, bits: int = 4,
    block_size: int = 128, gather_axis: int = 0, quantize_axis: int = 1,
) -> Tensor:  # fmt: skip
    """Rows of a table (quantised - zero point) scale, a scale for each block along an axis.

    Bytes hold 8 / bits numbers each, and half of what those can hold is their zero point unless told; numbers of types
    with four bits come one by one, with 0.
    """
    packed = table.dtype is torch.uint8 and bits < 8
    numbers = unpacked(table, bits) if packed else table
    if table.dtype is not torch.uint8:
        zero: Tensor | int = 0
    else:
        zero = 2 ** (bits - 1)
    axis = quantize_axis % numbers.ndim
    block = torch.arange(numbers.shape[axis], device=table.device) // block_size
    if zero_points is not None:
        shifts = unpacked(zero_points, bits) if packed else zero_points
        zero = shifts.int().index_select(axis, block)
    floats = (numbers.int() - zero).to(scales.dtype) * scales.index_select(axis, block)
    return indexing.gather(floats, indices, axis=gather_axis)


@op("UnfoldTensor", domain=MICROSOFT)
def unfold_tensor(x: Tensor, *, dim: int = -1, size: int, step: int = 1) -> Tensor:
    """All slices of an axis that begin `step` apart, each along a new last axis."""
    return x.unfold(dim, size, step)


@op("Unique", domain=MICROSOFT)
def contrib_unique(x: Tensor) -> tuple[Tensor, ...]:
    """Values of x [N] in the order of their first places, where in them each of x is, and how often they come."""
    y, _, inverse, counts = selection.unique(x, sorted=0)
    return y, inverse, counts


@op("CropAndResize", domain=MICROSOFT)
def crop_and_resize(
    x: Tensor, rois: Tensor, batch_indices: Tensor, crop_size: Ints, *, extrapolation_value: float = 0.0,
    mode: str = "bilinear",
) -> Tensor:  # fmt: skip
    """Boxes (y1, x1, y2, x2) of images [N, C, H, W], resized with corners aligned; 1 is the last row or column.

    A crop of one row or column has the middle of its box. What lies outside of the image is `extrapolation_value`.
    """
    top, left, bottom, right = rois.unbind(-1)
    rows, columns = _places(top, bottom, crop_size[0], x.shape[2]), _places(left, right, crop_size[1], x.shape[3])
    picked = partial(_picked, x, batch_indices.long())
    if mode == "nearest":
        y = picked((rows + 0.5).floor(), (columns + 0.5).floor())
    else:
        y = _between(rows, lambda row: _between(columns, lambda column: picked(row, column), -1), -2)
    inside = _within(rows, x.shape[2])[:, None, :, None] & _within(columns, x.shape[3])[:, None, None]
    return torch.where(inside, y, extrapolation_value)


def _within(places: Tensor, size: int) -> Tensor:
    return (places >= 0) & (places <= size - 1)


def _places(first: Tensor, last: Tensor, count: int, size: int) -> Tensor:
    """Where `count` rows or columns of each box lie, from its first to its last one."""
    if count == 1:
        return ((first + last) / 2 * (size - 1))[:, None]
    steps = torch.arange(count, dtype=first.dtype, device=first.device)
    return first[:, None] * (size - 1) + steps * ((last - first) * (size - 1) / (count - 1))[:, None]


def _between(places: Tensor, read: Callable[[Tensor], Tensor], axis: int) -> Tensor:
    """Linear between what is read below and above each place [N, P]."""
    below = places.detach().floor()
    share = (places - below)[:, None]
    share = share[..., None] if axis == -2 else share[..., None, :]
    return read(below) * (1 - share) + read(places.detach().ceil()) * share


def _picked(x: Tensor, images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Of each image [N] in x its own rows [N, P] and columns [N, Q]; those outside are the nearest ones."""
    row = rows.long().clamp(0, x.shape[2] - 1)[:, None, :, None]
    column = columns.long().clamp(0, x.shape[3] - 1)[:, None, None, :]
    channel = torch.arange(x.shape[1], device=x.device)[:, None, None]
    return x[images[:, None, None, None], channel, row, column]
