"""Reading an image between its pixels: grids, regions of interest, deformed kernels. [N, C, d1 .. dk]."""

import itertools
import math
from collections.abc import Iterator
from typing import Final

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.ops.arithmetic import check_elements
from analysis.convert.ops.convolution import pads_of
from analysis.convert.registry import Ints, Tensor, op
from analysis.errors import LimitExceeded, UnsupportedOp

# ------------------------------------------------------------------ grids

MODES: Final = {"linear": "bilinear", "cubic": "bicubic"}
"""Names since opset 20 -> torch's, which are those of opset 16."""
MOST_POINTS: Final = 1 << 14
"""Of a bin of a region along an axis; without a sampling ratio there are as many as the bin is wide."""
CUBIC_A: Final = -0.75
"""Coefficient of the cubic kernel of GridSample."""


@op("AffineGrid", 20)
def affine_grid(theta: Tensor, size: Ints, *, align_corners: int = 0) -> Tensor:
    """Evenly spaced points of [-1, 1]^k under each affine map of theta [N, k, k + 1]; size is [N, C, d1 .. dk].

    An axis of one aligned point has it at 1 as in onnxruntime; torch's own has it at 0.
    """
    spatial = size[2:]
    at = _lattice(spatial, (1,) * len(spatial), [0] * len(spatial), theta.device).to(theta.dtype)
    sizes = at.new_tensor(spatial)
    aligned = 1 - 2 * (sizes - 1 - at) / (sizes - 1).clamp(min=1)
    points = aligned if align_corners else (2 * at + 1) / sizes - 1
    homogeneous = torch.cat([points.flip(-1), torch.ones_like(points[..., :1])], -1).reshape(-1, len(spatial) + 1)
    return (homogeneous @ theta.mT).reshape(-1, *spatial, len(spatial))


@op("GridSample", 16)
def grid_sample(
    x: Tensor, grid: Tensor, *, align_corners: int = 0, mode: str = "linear", padding_mode: str = "zeros"
) -> Tensor:
    """Values of x at the points of a grid [N, o1 .. ok, k] in [-1, 1], the last spatial axis first.

    A coordinate that is no finite number counts as -1, as in onnxruntime.
    """
    rank = x.ndim - 2
    mode = MODES.get(mode, mode)
    exact = torch.promote_types(grid.dtype, x.dtype if x.is_floating_point() else torch.float64)
    values, points = x.to(exact), torch.where(grid.isfinite(), grid, -1.0).to(exact)
    if rank == 1:  # an image of one row, read in its middle
        values, points = values.unsqueeze(2), torch.stack([points[..., 0], torch.zeros_like(points[..., 0])], -1)
        points = points.unsqueeze(1)
    if rank == 3 and mode == "bicubic":
        return _cubic_volume(values, points, padding_mode, aligned=bool(align_corners)).to(x.dtype)
    if rank not in {1, 2, 3}:
        raise UnsupportedOp(f"GridSample over {rank} spatial axes")
    sampled = F.grid_sample(values, points, mode, padding_mode, bool(align_corners))
    return (sampled.squeeze(2) if rank == 1 else sampled).to(x.dtype)


def _cubic_volume(x: Tensor, grid: Tensor, padding_mode: str, *, aligned: bool) -> Tensor:
    """Cubic interpolation along every axis, 4^k taps a point; torch has it for images only."""
    points = grid.flatten(1, -2)
    flat = torch.zeros((*points.shape[:2], 1), dtype=torch.int64, device=x.device)
    weight = torch.ones_like(points[..., :1])
    for axis, size in enumerate(x.shape[2:]):
        place = points[..., -1 - axis]
        position = (place + 1) / 2 * (size - 1) if aligned else ((place + 1) * size - 1) / 2
        taps = position.floor().unsqueeze(-1) + torch.arange(-1, 3, device=x.device)
        share = _cubic_weight((taps - position.unsqueeze(-1)).abs())
        if padding_mode == "zeros":
            share = share * ((taps >= 0) & (taps < size))
        elif padding_mode == "reflection":
            taps = _reflected(taps, size, aligned=aligned)
        index = taps.clamp(0, size - 1).long()
        flat = (flat.unsqueeze(-1) * size + index.unsqueeze(-2)).flatten(2)
        weight = (weight.unsqueeze(-1) * share.unsqueeze(-2)).flatten(2)
    read = flat.flatten(1).unsqueeze(1).expand(-1, x.shape[1], -1)
    values: Tensor = x.flatten(2).gather(2, read).unflatten(2, tuple(flat.shape[1:]))
    return (values * weight.unsqueeze(1)).sum(-1).reshape(*x.shape[:2], *grid.shape[1:-1])


def _cubic_weight(distance: Tensor) -> Tensor:
    """Keys' kernel, 1981, for distances below 2."""
    near = (CUBIC_A + 2) * distance**3 - (CUBIC_A + 3) * distance**2 + 1
    far = CUBIC_A * (distance**3 - 5 * distance**2 + 8 * distance - 4)
    return torch.where(distance <= 1, near, far)


def _reflected(taps: Tensor, size: int, *, aligned: bool) -> Tensor:
    """Mirrored at the centres of the outer pixels, or at their edges, as often as it takes."""
    low, span = (0.0, size - 1) if aligned else (-0.5, size)
    if span == 0:
        return torch.zeros_like(taps)
    beyond = (taps - low).remainder(2 * span)
    return low + torch.where(beyond > span, 2 * span - beyond, beyond)


def _corners(x: Tensor, image: Tensor, points: Tensor) -> Iterator[Tensor]:
    """The weighted 2^k pixels around points [.., k] of images [..]; their sum [C, ..] is the interpolated value.

    At a pixel the gradient is the one of the side beyond it; pixels outside are 0.
    """
    channels = x.movedim(1, 0).reshape(x.shape[1], -1)
    low = points.floor()
    above = points - low
    for corner in itertools.product((0, 1), repeat=points.shape[-1]):
        flat, weight = image, torch.ones_like(above[..., 0])
        for axis, far in enumerate(corner):
            place, size = low[..., axis] + far, x.shape[2 + axis]
            share = above[..., axis] if far else 1 - above[..., axis]
            weight = weight * share * ((place >= 0) & (place < size))
            flat = flat * size + place.clamp(0, size - 1).nan_to_num().long()
        yield channels.index_select(1, flat.reshape(-1)).reshape(len(channels), *flat.shape) * weight


# ------------------------------------------------------------------ regions of interest


@op("RoiAlign", 10)
def roi_align_10(
    x: Tensor, rois: Tensor, batch_indices: Tensor, *, mode: str = "avg", output_height: int = 1,
    output_width: int = 1, sampling_ratio: int = 0, spatial_scale: float = 1.0,
) -> Tensor:  # fmt: skip
    """Before opset 16 coordinates are not shifted by half a pixel."""
    return roi_align(
        x, rois, batch_indices, coordinate_transformation_mode="output_half_pixel", mode=mode,
        output_height=output_height, output_width=output_width, sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )  # fmt: skip


@op("RoiAlign", 16)
def roi_align(
    x: Tensor, rois: Tensor, batch_indices: Tensor, *, coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg", output_height: int = 1, output_width: int = 1, sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:  # fmt: skip
    """Mean of points spread over each bin of regions [R, (x1, y1, x2, y2)] (He 2017); rois have a gradient too.

    The maximum is over the weighted pixels around the points, not over interpolated values, as in every runtime.
    """
    shifted = coordinate_transformation_mode == "half_pixel"
    x1, y1, x2, y2 = (rois.to(torch.promote_types(rois.dtype, torch.float32)) * spatial_scale - shifted / 2).unbind(1)
    if not shifted:
        x2, y2 = torch.maximum(x2, x1 + 1), torch.maximum(y2, y1 + 1)
    rows, row_inside, row_used = _spread(y1, y2, output_height, x.shape[2], sampling_ratio)
    columns, column_inside, column_used = _spread(x1, x2, output_width, x.shape[3], sampling_ratio)
    grids = torch.broadcast_tensors(rows[:, :, None, :, None], columns[:, None, :, None, :])
    check_elements(grids[0].expand(x.shape[1], *grids[0].shape))
    inside = row_inside[:, :, None, :, None] & column_inside[:, None, :, None, :]
    used = row_used[:, None, None, :, None] & column_used[:, None, None, None, :]
    image = batch_indices.reshape(-1, 1, 1, 1, 1)
    pixels = (corner.masked_fill(~inside, 0) for corner in _corners(x, image, torch.stack(grids, -1)))
    if mode == "max":
        largest = torch.stack(list(pixels)).amax(0).masked_fill(~used, -math.inf).amax((-1, -2))
        pooled = largest.masked_fill(~used.any(-1).any(-1), 0)
    else:
        count = used.sum((-1, -2)).clamp(min=1)
        pooled = sum(pixels, start=x.new_zeros(())).masked_fill(~used, 0).sum((-1, -2)) / count
    return pooled.movedim(0, 1).to(x.dtype)


def _spread(start: Tensor, end: Tensor, bins: int, size: int, ratio: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points [R, bins, G] along an axis, whether they lie in the image, and which of the G a region uses [R, G]."""
    width = ((end - start) / bins).reshape(-1, 1, 1)
    counts = torch.full_like(width, ratio) if ratio > 0 else width.detach().ceil().clamp(min=0)
    most = max(int(counts.max()), 1) if counts.numel() else 1
    if most > MOST_POINTS:
        raise LimitExceeded(f"{most} points of a bin along an axis, {MOST_POINTS} are allowed")
    steps = torch.arange(most, device=start.device)
    within = (steps + 0.5) / counts.clamp(min=1)
    at = start.reshape(-1, 1, 1) + width * (torch.arange(bins, device=start.device).reshape(-1, 1) + within)
    return at.clamp(0, size - 1), (at >= -1) & (at <= size), (steps < counts).squeeze(1)


@op("MaxRoiPool")
def max_roi_pool(x: Tensor, rois: Tensor, *, pooled_shape: Ints, spatial_scale: float = 1.0) -> Tensor:
    """Maximum of each bin of regions [R, (image, x1, y1, x2, y2)] on whole pixels (Girshick 2015); 0 where empty."""
    image = rois[:, 0].long().reshape(-1, 1, 1, 1, 1)
    corners = rois[:, 1:].detach().float() * spatial_scale
    x1, y1, x2, y2 = (corners.sign() * (corners.abs() + 0.5).floor()).unbind(1)
    rows, in_rows = _bins(y1, y2, pooled_shape[0], x.shape[2])
    columns, in_columns = _bins(x1, x2, pooled_shape[1], x.shape[3])
    flat = (image * x.shape[2] + rows[:, :, None, :, None]) * x.shape[3] + columns[:, None, :, None, :]
    inside = in_rows[:, :, None, :, None] & in_columns[:, None, :, None, :]
    channels = x.movedim(1, 0).reshape(x.shape[1], -1)
    values = channels.index_select(1, flat.reshape(-1)).reshape(len(channels), *flat.shape)
    largest = values.masked_fill(~inside, -math.inf).amax((-1, -2))
    return largest.masked_fill(~inside.any(-1).any(-1), 0).movedim(0, 1)


def _bins(start: Tensor, end: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
    """Pixels [R, bins, E] along an axis, and which of the E belong to the bin; in float32 as onnxruntime rounds."""
    width = ((end - start + 1).clamp(min=1) / bins).unsqueeze(1)
    at = torch.arange(bins, device=start.device)
    first = ((at * width).floor() + start.unsqueeze(1)).clamp(0, size)
    beyond = (((at + 1) * width).ceil() + start.unsqueeze(1)).clamp(0, size)
    most = max(int((beyond - first).max()), 1) if first.numel() else 1
    pixels = first.unsqueeze(-1) + torch.arange(most, device=start.device)
    return pixels.clamp(max=size - 1).long(), pixels < beyond.unsqueeze(-1)


# ------------------------------------------------------------------ deformed kernels


@op("DeformConv", 19)
def deform_conv(
    x: Tensor, w: Tensor, offset: Tensor, b: Tensor | None = None, mask: Tensor | None = None, *,
    dilations: Ints | None = None, group: int = 1, kernel_shape: Ints | None = None, offset_group: int = 1,
    pads: Ints | None = None, strides: Ints | None = None,
) -> Tensor:  # fmt: skip
    """Convolution whose taps are read `offset` pixels beside their place and scaled by a mask (Dai 2017, Zhu 2018).

    Offsets are [N, groups K k, o1 .. ok] for K taps and k spatial axes, masks [N, groups K, o1 .. ok].
    """
    n, c, rank = x.shape[0], x.shape[1], w.ndim - 2
    strides, dilations = strides or (1,) * rank, dilations or (1,) * rank
    kernel, out = w.shape[2:], offset.shape[2:]
    begins = [begin for begin, _ in pads_of(pads, rank)]
    exact = torch.promote_types(offset.dtype, torch.float32)
    taps = _lattice(kernel, dilations, begins, x.device).reshape(-1, *[1] * rank, rank)
    starts = _lattice(out, strides, [0] * rank, x.device)
    shifts = offset.to(exact).reshape(n * offset_group, len(taps), rank, *out).movedim(2, -1)
    images = torch.arange(n * offset_group, device=x.device).reshape(-1, *[1] * (rank + 1))
    grouped = x.reshape(n * offset_group, c // offset_group, *x.shape[2:])
    columns = sum(_corners(grouped, images, taps + starts + shifts), start=x.new_zeros(()))
    if mask is not None:
        columns = columns * mask.reshape(n * offset_group, len(taps), *out)
    columns = columns.to(x.dtype).movedim(0, 1)
    columns = columns.reshape(n, group, c // group * len(taps), math.prod(out))
    y = (w.reshape(group, w.shape[0] // group, -1) @ columns).reshape(n, w.shape[0], *out)
    return y if b is None else y + b.reshape(-1, *[1] * rank)


def _lattice(sizes: Ints, steps: Ints, begins: list[int], device: torch.device) -> Tensor:
    """Coordinates [s1 .. sk, k] of evenly spaced points."""
    axes = [
        torch.arange(size, device=device) * step - begin for size, step, begin in zip(sizes, steps, begins, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
