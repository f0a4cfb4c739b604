"""Pooling and resampling. [N, C, d1 .. dk]."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.ops.convolution import CONVOLUTIONS, Pads, pad_spatial, pads_of, same_pads
from analysis.convert.registry import Ints, ReadCount, Tensor, op
from analysis.errors import LimitExceeded, UnsupportedOp

MAX_POOLS: Final[dict[int, Callable[..., Tensor]]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE_POOLS: Final[dict[int, Callable[..., Tensor]]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
LARGEST_WINDOW: Final = 1 << 20
"""Along one axis: torch walks through it, padding included, for every element of the output."""


def _window(
    x: Tensor, kernel: Ints, auto_pad: str, ceil_mode: int, dilations: Ints, pads: Ints | None, strides: Ints
) -> tuple[Pads, Pads]:
    """Padding asked for, and the extra at the end that turns ceil mode into floor mode."""
    rank = len(kernel)
    if rank not in MAX_POOLS or x.ndim != rank + 2:
        raise UnsupportedOp(f"pooling over {rank} spatial axes of a tensor with {x.ndim}")
    sizes = tuple(x.shape[2:])
    extents = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    if max(extents) > LARGEST_WINDOW:
        raise LimitExceeded(f"a window of {max(extents)} elements along an axis, {LARGEST_WINDOW} are allowed")
    if auto_pad.startswith("SAME"):
        return same_pads(auto_pad, sizes, extents, strides), [(0, 0)] * rank
    pairs = [(0, 0)] * rank if auto_pad == "VALID" else pads_of(pads, rank)
    if not ceil_mode:
        return pairs, [(0, 0)] * rank
    more = []
    for size, extent, stride, (begin, end) in zip(sizes, extents, strides, pairs, strict=True):
        padded = size + begin + end
        windows = -(-(padded - extent) // stride) + 1
        if (windows - 1) * stride >= size + begin:  # a window that starts in the padding at the end is dropped
            windows -= 1
        more.append((0, max((windows - 1) * stride + extent - padded, 0)))
    return pairs, more


@op("MaxPool")
def max_pool(
    x: Tensor, *, kernel_shape: Ints, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Ints | None = None,
    pads: Ints | None = None, storage_order: int = 0, strides: Ints | None = None, outputs: ReadCount = 1,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """Largest value of each window, and its index in the flattened input."""
    rank = len(kernel_shape)
    strides, dilations = strides or (1,) * rank, dilations or (1,) * rank
    pairs, more = _window(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    both = [(begin, end + extra) for (begin, end), (_, extra) in zip(pairs, more, strict=True)]
    if outputs == 1 and x.is_floating_point() and _pads_natively(both, kernel_shape):
        return MAX_POOLS[rank](x, kernel_shape, strides, [begin for begin, _ in both], dilations)
    lowest = -math.inf if x.is_floating_point() else torch.iinfo(x.dtype).min
    padded = pad_spatial(x, both, lowest)
    if not x.is_floating_point():
        padded = padded.double()  # torch pools floats only; exact up to 2 ** 53
    largest, places = MAX_POOLS[rank](padded, kernel_shape, strides, 0, dilations, return_indices=True)
    pooled: Tensor = largest.to(x.dtype)
    if outputs == 1:
        return pooled
    return pooled, _flat_index(places, x.shape, padded.shape[2:], both, storage_order)


def _pads_natively(pads: Pads, kernel: Ints) -> bool:
    """Whether torch's own padding, symmetric and at most half the kernel, will do."""
    return all(begin == end <= size // 2 for (begin, end), size in zip(pads, kernel, strict=True))


def _flat_index(places: Tensor, shape: torch.Size, padded: torch.Size, pads: Pads, storage_order: int) -> Tensor:
    """Index over the whole unpadded tensor, from one over the padded spatial axes of each channel."""
    coordinates = list(torch.unravel_index(places, tuple(padded)))
    sizes = list(shape[2:])
    coordinates = [c - begin for c, (begin, _) in zip(coordinates, pads, strict=True)]
    if storage_order:
        coordinates, sizes = coordinates[::-1], sizes[::-1]
    flat = torch.zeros_like(places)
    for coordinate, size in zip(coordinates, sizes, strict=True):
        flat = flat * size + coordinate
    channels = torch.arange(shape[0] * shape[1], device=places.device).reshape(shape[0], shape[1], *[1] * len(sizes))
    return flat + channels * math.prod(sizes)


@op("AveragePool")
def average_pool(
    x: Tensor, *, kernel_shape: Ints, auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0,
    dilations: Ints | None = None, pads: Ints | None = None, strides: Ints | None = None,
) -> Tensor:  # fmt: skip
    """Mean of each window; padding counts only where asked for, the overhang of ceil mode never."""
    rank = len(kernel_shape)
    strides, dilations = strides or (1,) * rank, dilations or (1,) * rank
    pairs, more = _window(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    plain = all(d == 1 for d in dilations)
    if plain and not any(map(any, pairs)) and not any(map(any, more)):
        return AVERAGE_POOLS[rank](x, kernel_shape, strides)
    counted = x.new_ones(1, 1, *x.shape[2:])
    counted = pad_spatial(pad_spatial(counted, pairs, float(bool(count_include_pad))), more)
    summed = window_sum(pad_spatial(pad_spatial(x, pairs), more), kernel_shape, strides, dilations)
    return summed / window_sum(counted, kernel_shape, strides, dilations)


def window_sum(x: Tensor, kernel: Ints, strides: Ints, dilations: Ints) -> Tensor:
    """Sum of each window, channel by channel."""
    ones = x.new_ones(1, 1, *kernel)
    single = x.reshape(-1, 1, *x.shape[2:])
    summed = CONVOLUTIONS[len(kernel)](single, ones, None, strides, 0, dilations)
    return summed.reshape(*x.shape[:2], *summed.shape[2:])


@op("LpPool")
def lp_pool(
    x: Tensor, *, kernel_shape: Ints, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Ints | None = None,
    p: float = 2, pads: Ints | None = None, strides: Ints | None = None,
) -> Tensor:  # fmt: skip
    """P-norm of each window."""
    rank = len(kernel_shape)
    strides, dilations = strides or (1,) * rank, dilations or (1,) * rank
    pairs, more = _window(x, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    powers = pad_spatial(pad_spatial(x.abs() ** p, pairs), more)
    return _root(window_sum(powers, kernel_shape, strides, dilations), p)


def _root(powers: Tensor, p: float) -> Tensor:
    """Powers ** (1 / p); at 0, where the slope is infinite, the gradient is 0."""
    empty = powers == 0
    return (powers.masked_fill(empty, 1) ** (1.0 / p)).masked_fill(empty, 0)


@op("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    """Mean over the spatial axes."""
    return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)


@op("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    """Maximum over the spatial axes; at ties the gradient is shared."""
    return x.amax(dim=tuple(range(2, x.ndim)), keepdim=True)


@op("GlobalLpPool")
def global_lp_pool(x: Tensor, *, p: float = 2) -> Tensor:
    """P-norm over the spatial axes."""
    return _root((x.abs() ** p).sum(dim=tuple(range(2, x.ndim)), keepdim=True), p)


@op("MaxUnpool", 9)
def max_unpool(
    x: Tensor, places: Tensor, output_shape: Ints | None = None, *, kernel_shape: Ints, pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:  # fmt: skip
    """Each value where MaxPool found it, zeros elsewhere; places count in the flattened output.

    Given an output shape onnxruntime counts in that one, and so do we: only this undoes a MaxPool. The case of ONNX's
    suite counts in the shape that kernel, strides and pads lead to (onnx issue 2398).
    """
    rank = len(kernel_shape)
    steps = zip(x.shape[2:], strides or (1,) * rank, kernel_shape, pads_of(pads, rank), strict=True)
    sizes = tuple((n - 1) * stride + extent - begin - end for n, stride, extent, (begin, end) in steps)
    shape = tuple(output_shape or (*x.shape[:2], *sizes))
    return x.new_zeros(math.prod(shape)).scatter(0, places.reshape(-1), x.reshape(-1)).reshape(shape)


# ------------------------------------------------------------------ resize


@op("Upsample")
def upsample_1(x: Tensor, *, height_scale: float, width_scale: float, mode: str = "nearest") -> Tensor:
    """Before opset 7 of images only."""
    return upsample_7(x, scales=[1.0, 1.0, height_scale, width_scale], mode=mode.removeprefix("bi"))


@op("Upsample", 7)
def upsample_7(x: Tensor, *, scales: list[float], mode: str = "nearest") -> Tensor:
    """Resize with scales as an attribute."""
    return upsample(x, torch.tensor(scales), mode=mode)


@op("Upsample", 9)
def upsample(x: Tensor, scales: Tensor, *, mode: str = "nearest") -> Tensor:
    """Resize of opset 10 with another name."""
    return resize_10(x, scales, mode=mode)


@op("Resize", 10)
def resize_10(x: Tensor, scales: Tensor, *, mode: str = "nearest") -> Tensor:
    """Resize before coordinates could be chosen: asymmetric, floor."""
    return resize(x, None, scales, mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor")


@op("Resize", 11)
def resize(
    x: Tensor, roi: Tensor | None = None, scales: Tensor | None = None, sizes: Ints | None = None, *,
    antialias: int = 0, axes: Ints | None = None, coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75, exclude_outside: int = 0, extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch", mode: str = "nearest", nearest_mode: str = "round_prefer_floor",
) -> Tensor:  # fmt: skip
    """Separable interpolation: one sparse linear map per axis, so every mode has the right gradient.

    Integers as onnxruntime has them: cut towards zero at the end, with antialias rounded after every axis, the last
    axis first. Two cases of ONNX's suite align corners to sizes before these are cut to whole pixels, against its own
    page; onnxruntime takes whole ones, and so do we.
    """
    chosen = [axis % x.ndim for axis in axes] if axes else list(range(x.ndim))
    old = [x.shape[axis] for axis in chosen]
    new, factors = _target(old, scales, sizes, keep_aspect_ratio_policy)
    region = _numbers(roi) if roi is not None and roi.numel() else [0.0] * len(chosen) + [1.0] * len(chosen)
    element = x.dtype
    if mode != "nearest":
        x = x.to(torch.promote_types(element, torch.float32) if element.is_floating_point else torch.float64)
    for place, axis in reversed(list(enumerate(chosen))):
        cropped = coordinate_transformation_mode == "tf_crop_and_resize"
        if new[place] == old[place] and factors[place] == 1.0 and not cropped:
            continue
        positions = _positions(
            coordinate_transformation_mode, old[place], new[place], factors[place],
            (region[place], region[place + len(chosen)]),
        ).double()  # fmt: skip
        kernel = _kernel(mode, cubic_coeff_a, min(factors[place], 1.0) if antialias else 1.0)
        outside = (positions < 0) | (positions > old[place] - 1) if cropped else None
        if mode == "nearest":
            index = _nearest(positions, nearest_mode).clamp(0, old[place] - 1)
            x = x.index_select(axis, index.to(x.device))
        else:
            matrix = _matrix(positions, old[place], *kernel, exclude=bool(exclude_outside))
            x = torch.tensordot(x, matrix.to(x), dims=([axis], [1])).movedim(-1, axis)
            x = torch.floor(x + 0.5) if antialias and not element.is_floating_point else x
        if outside is not None:
            shape = [-1 if a == axis else 1 for a in range(x.ndim)]
            x = x.masked_fill(outside.reshape(shape).to(x.device), extrapolation_value)
    return x.to(element)


def _numbers(vector: Tensor) -> Sequence[float | Tensor]:
    """On the host, unless they have a gradient."""
    return vector.unbind() if vector.requires_grad else vector.tolist()


def _target(
    old: list[int], scales: Tensor | None, sizes: Ints | None, policy: str
) -> tuple[list[int], Sequence[float | Tensor]]:
    """Output sizes and scale factors per axis."""
    if sizes is None or len(sizes) == 0:
        if scales is None or scales.numel() == 0:
            raise UnsupportedOp("Resize without scales or sizes")
        scales = scales.float()  # 10 * 0.7 is 7 in float32, where runtimes multiply, and 6.99 in float64
        return torch.floor(scales * scales.new_tensor(old)).int().tolist(), _numbers(scales)
    ratios = [size / n for size, n in zip(sizes, old, strict=True)]
    if policy == "stretch":
        return list(sizes), ratios
    factor = min(ratios) if policy == "not_larger" else max(ratios)
    return [math.floor(n * factor + 0.5) for n in old], [factor] * len(old)


def _positions(
    mode: str, old: int, new: int, factor: float | Tensor, region: tuple[float | Tensor, float | Tensor]
) -> Tensor:
    """Where each output sample lies in the input; an unknown mode is half_pixel.

    In float32 like onnxruntime and torch: which pixel is nearest depends on how a tie is rounded.
    """
    at = torch.arange(new, dtype=torch.float32)
    centres = (at + 0.5) / factor
    if new == 1 and mode in {"align_corners", "pytorch_half_pixel"}:
        return torch.zeros_like(at)
    if mode == "align_corners":
        return at * (old - 1) / (new - 1)
    if mode == "half_pixel_symmetric":
        return old / 2 * (1 - new / (factor * old)) + centres - 0.5
    if mode == "tf_crop_and_resize":
        start, end = region
        if new == 1:
            return at + (start + end) / 2 * (old - 1)
        return start * (old - 1) + at * (end - start) * (old - 1) / (new - 1)
    return {"asymmetric": at / factor, "tf_half_pixel_for_nn": centres}.get(mode, centres - 0.5)


HALF: Final = 0.5 + 1e-6
"""What still counts as half a pixel in float32, as onnxruntime decides it."""


def _nearest(positions: Tensor, mode: str) -> Tensor:
    """Index of the input sample taken; the two rounding modes differ at halves only."""
    rounded = {
        "round_prefer_floor": torch.ceil(positions - HALF),
        "round_prefer_ceil": torch.floor(positions + HALF),
        "floor": torch.floor(positions),
        "ceil": torch.ceil(positions),
    }
    return rounded[mode].long()


def _kernel(mode: str, a: float, shrink: float | Tensor) -> tuple[Callable[[Tensor], Tensor], float]:
    """Weight by distance, and the radius it reaches; stretched by 1 / shrink against aliasing."""

    def linear(distance: Tensor) -> Tensor:
        return (1 - distance * shrink).clamp(min=0)

    def cubic(distance: Tensor) -> Tensor:
        d = distance * shrink
        near = (a + 2) * d**3 - (a + 3) * d**2 + 1
        far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))

    return (cubic, 2 / float(shrink)) if mode == "cubic" else (linear, 1 / float(shrink))


def _matrix(positions: Tensor, old: int, weigh: Callable[[Tensor], Tensor], radius: float, *, exclude: bool) -> Tensor:
    """[new, old]: how much of each input sample goes into each output sample; edges are repeated or left out."""
    reach = math.ceil(radius)
    taps = torch.floor(positions).unsqueeze(1) + torch.arange(-reach + 1, reach + 1, dtype=torch.float64)
    if radius > 1:
        taps = torch.floor(positions).unsqueeze(1) + torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = weigh((taps - positions.unsqueeze(1)).abs())
    if exclude:
        weights = weights * ((taps >= 0) & (taps < old))
    total = weights.sum(1, keepdim=True)
    weights = weights / total.masked_fill(total == 0, 1.0)
    matrix = torch.zeros(len(positions), old, dtype=torch.float64)
    return matrix.scatter_add(1, taps.clamp(0, old - 1).long(), weights)
