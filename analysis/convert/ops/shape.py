"""Data movement: shapes, slices, gathers. Shape arithmetic runs on the host."""

import math
from typing import Final

import numpy as np
import torch

from analysis.convert.ops.arithmetic import also_unsigned, check_elements
from analysis.convert.registry import DType, Ints, OutputCount, OutputElement, Tensor, op


@op("Identity")
def identity(x: Tensor) -> Tensor:
    """X."""
    return x


@op("Shape")
def shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    """Sizes of the axes [start, end), on the host."""
    return torch.tensor(list(x.shape)[start:end], dtype=torch.int64)


@op("Size")
def size(x: Tensor) -> Tensor:
    """Number of elements, on the host."""
    return torch.tensor(x.numel(), dtype=torch.int64)


@op("Reshape")
def reshape_1(x: Tensor, *, shape: Ints) -> Tensor:
    """Before opset 5 the shape is an attribute."""
    return reshape(x, shape)


@op("Reshape", 5)
def reshape(x: Tensor, shape: Ints, *, allowzero: int = 0) -> Tensor:
    """New sizes; 0 keeps the old one unless allowzero, -1 takes the rest."""
    if not allowzero:
        shape = tuple(x.shape[axis] if n == 0 else n for axis, n in enumerate(shape))
    return x.reshape(shape)


@op("Flatten")
def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    """A matrix: axes before `axis`, axes from it on."""
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@op("Squeeze")
def squeeze_1(x: Tensor, *, axes: Ints | None = None) -> Tensor:
    """Before opset 13 the axes are an attribute."""
    return squeeze(x, axes)


@op("Squeeze", 13)
def squeeze(x: Tensor, axes: Ints | None = None) -> Tensor:
    """Drop axes of size 1, all of them by default."""
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


@op("Unsqueeze")
def unsqueeze_1(x: Tensor, *, axes: Ints) -> Tensor:
    """Before opset 13 the axes are an attribute."""
    return unsqueeze(x, axes)


@op("Unsqueeze", 13)
def unsqueeze(x: Tensor, axes: Ints) -> Tensor:
    """Insert axes of size 1 at these places of the result."""
    rank = x.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


@op("Transpose")
def transpose(x: Tensor, *, perm: Ints | None = None) -> Tensor:
    """Axes in another order, backwards by default."""
    return x.permute(perm or tuple(reversed(range(x.ndim))))


@op("Expand", 8)
def expand(x: Tensor, shape: Ints) -> Tensor:
    """Broadcast both ways."""
    expanded: Tensor = torch.broadcast_tensors(x, x.new_empty(()).expand(shape))[0]
    check_elements(expanded)
    return expanded


@op("Tile")
def tile_1(x: Tensor, tiles: Ints, axis: Ints) -> Tensor:
    """Before opset 6 one axis."""
    return x.repeat([tiles[0] if a == axis[0] else 1 for a in range(x.ndim)])


@op("Tile", 6)
def tile(x: Tensor, repeats: Ints) -> Tensor:
    """Repeat whole axes."""
    return x.repeat(repeats)


@op("Concat")
def concat_1(*tensors: Tensor, axis: int = 1) -> Tensor:
    """Before opset 4 the axis has a default."""
    return concat(*tensors, axis=axis)


@op("Concat", 4)
def concat(*tensors: Tensor, axis: int) -> Tensor:
    """Side by side along an axis."""
    return torch.cat(tensors, axis)


@op("Split")
def split_1(
    x: Tensor, lengths: Ints | None = None, *, axis: int = 0, split: Ints | None = None, outputs: OutputCount = 1
) -> tuple[Tensor, ...]:
    """Before opset 13 the sizes are an attribute (opset 1: or an input)."""
    return split_13(x, split or lengths, axis=axis, outputs=outputs)


@op("Split", 13)
def split_13(
    x: Tensor, sizes: Ints | None = None, *, axis: int = 0, num_outputs: int | None = None, outputs: OutputCount = 1
) -> tuple[Tensor, ...]:
    """Pieces along an axis: of these sizes, or equal ones, the last one smaller."""
    each = -(-x.shape[axis] // (num_outputs or outputs))
    pieces: tuple[Tensor, ...] = x.split(list(sizes) if sizes else each, axis)
    return pieces


@op("Slice")
def slice_1(x: Tensor, *, starts: Ints, ends: Ints, axes: Ints | None = None) -> Tensor:
    """Before opset 10 bounds are attributes."""
    return slice_(x, starts, ends, axes)


@op("Slice", 10)
def slice_(x: Tensor, starts: Ints, ends: Ints, axes: Ints | None = None, steps: Ints | None = None) -> Tensor:
    """Python's slices; going backwards a start before the first element is the first one."""
    axes = axes or tuple(range(len(starts)))
    for axis, start, end, step in zip(axes, starts, ends, steps or (1,) * len(axes), strict=True):
        size = x.shape[axis]
        first, last, stride = slice(start, end, step).indices(size)
        if stride > 0:
            x = x[(slice(None),) * (axis % x.ndim) + (slice(first, last, stride),)]
        else:
            places = range(max(first, 0) if size else first, last, stride)
            x = x.index_select(axis, torch.tensor(places, dtype=torch.int64, device=x.device))
    return x


@op("DynamicSlice")
def dynamic_slice(x: Tensor, starts: Ints, ends: Ints, axes: Ints | None = None) -> Tensor:
    """Slice-10 under the name it had before."""
    return slice_(x, starts, ends, axes)


@op("Crop")
def crop(x: Tensor, *, border: Ints, scale: Ints | None = None) -> Tensor:
    """Images [N, C, H, W] without a border (left, top, right, bottom), or of this height and width behind it."""
    left, top, right, bottom = border
    height, width = scale or (x.shape[2] - top - bottom, x.shape[3] - left - right)
    return x[:, :, top : top + height, left : left + width]


@op("Pad")
def pad_1(
    x: Tensor, *, pads: Ints | None = None, paddings: Ints | None = None, mode: str = "constant", value: float = 0.0
) -> Tensor:
    """Before opset 11 everything is an attribute (`paddings` in opset 1)."""
    return pad(x, pads or paddings or (), torch.tensor(value, dtype=x.dtype), mode=mode)


@op("Pad", 11)
def pad(
    x: Tensor, pads: Ints, value: Tensor | None = None, axes: Ints | None = None, *, mode: str = "constant"
) -> Tensor:
    """Begins, then ends, of each axis; negative ones crop. Modes constant, reflect, edge, wrap."""
    chosen = axes if axes is not None else tuple(range(x.ndim))
    for place, axis in enumerate(chosen):
        begin, end = pads[place], pads[place + len(chosen)]
        if begin or end:
            x = _pad_axis(x, axis % x.ndim, begin, end, mode, value)
    return x


NUMPY_MODES: Final = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


def _pad_axis(x: Tensor, axis: int, begin: int, end: int, mode: str, value: Tensor | None) -> Tensor:
    x = x.narrow(axis, max(-begin, 0), x.shape[axis] + min(begin, 0) + min(end, 0))
    begin, end = max(begin, 0), max(end, 0)
    if mode != "constant":
        places = np.pad(np.arange(x.shape[axis]), (begin, end), mode=NUMPY_MODES[mode])  # type: ignore[call-overload]
        return x.index_select(axis, torch.from_numpy(places).to(x.device))
    filler = torch.zeros((), dtype=x.dtype, device=x.device) if value is None else value.to(x.dtype).reshape(())
    sides = []
    for width in (begin, end):
        block = list(x.shape)
        block[axis] = width
        sides.append(filler.expand(block))
    return torch.cat([sides[0], x, sides[1]], axis)


@op("CenterCropPad", 18)
def center_crop_pad(x: Tensor, sizes: Ints, *, axes: Ints | None = None) -> Tensor:
    """The middle of each axis, or zeros around it; an odd one goes to the end."""
    chosen = axes or tuple(range(x.ndim))
    missing = [size - x.shape[axis] for axis, size in zip(chosen, sizes, strict=True)]
    begins = [int(count / 2) for count in missing]
    ends = [count - begin for count, begin in zip(missing, begins, strict=True)]
    return pad(x, (*begins, *ends), None, chosen)


@op("ConstantOfShape", 9)
def constant_of_shape(sizes: Ints, *, value: Tensor | None = None, element: OutputElement = None) -> Tensor:
    """A tensor of one number, 0.0 by default."""
    if value is None:
        return torch.zeros(sizes, dtype=element.dtype if element else torch.float32)
    return value.reshape(()).expand(sizes).contiguous()


@op("Range", 11)
def range_(start: Tensor, limit: Tensor, delta: Tensor, *, stash_type: int = 1) -> Tensor:
    """start, start + delta .. below limit; in the type of start, computed in float32 where that has 16 bits."""
    count = max(math.ceil((limit.item() - start.item()) / delta.item()), 0)
    widened = start.is_floating_point() and stash_type == 1
    wide = torch.promote_types(start.dtype, torch.float32) if widened else start.dtype
    steps = torch.arange(count, dtype=wide, device=start.device) * delta.to(wide).reshape(())
    return (start.to(wide).reshape(()) + steps).to(start.dtype)


@op("EyeLike", 9)
def eye_like(x: Tensor, *, dtype: DType | None = None, k: int = 0) -> Tensor:
    """Ones on diagonal k."""
    rows, columns = x.shape
    diagonal = torch.arange(rows).unsqueeze(1) + k == torch.arange(columns).unsqueeze(0)
    return diagonal.to(device=x.device, dtype=dtype or x.dtype)


@op("Trilu", 14)
def trilu(x: Tensor, k: Ints | None = None, *, upper: int = 1) -> Tensor:
    """The upper or lower triangle from diagonal k on; zeros elsewhere."""
    diagonal = k[0] if k else 0
    return x.triu(diagonal) if upper else x.tril(diagonal)


@op("DepthToSpace")
def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """Blocks of channels become pixels (DCR: block index outermost, CRD: innermost)."""
    n, c, h, w = x.shape
    b = blocksize
    if mode == "CRD":
        return x.reshape(n, c // b**2, b, b, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // b**2, h * b, w * b)
    return x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)


@op("SpaceToDepth")
def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    """Pixels become blocks of channels."""
    n, c, h, w = x.shape
    b = blocksize
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return x.reshape(n, c, h // b, b, w // b, b).permute(order).reshape(n, c * b**2, h // b, w // b)


@op("ReverseSequence", 10)
@also_unsigned
def reverse_sequence(x: Tensor, lengths: Tensor, *, batch_axis: int = 1, time_axis: int = 0) -> Tensor:
    """The first lengths[n] steps of each sample backwards."""
    steps = x.shape[time_axis]
    time = torch.arange(steps, device=x.device).unsqueeze(0)
    ends = lengths.unsqueeze(1)
    places = torch.where(time < ends, ends - 1 - time, time)
    places = places if batch_axis < time_axis else places.t()
    return x.gather(time_axis, places.reshape(*places.shape, *[1] * (x.ndim - 2)).expand_as(x))
