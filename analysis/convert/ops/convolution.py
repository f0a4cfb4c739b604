"""Convolutions. [N, C, d1 .. dk] with k = 1, 2 or 3; the weight is a tensor, wherever it comes from."""

from collections.abc import Callable
from typing import Final

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.ops.arithmetic import also_unsigned
from analysis.convert.registry import Ints, Tensor, op
from analysis.errors import UnsupportedOp

CONVOLUTIONS: Final[dict[int, Callable[..., Tensor]]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED: Final[dict[int, Callable[..., Tensor]]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}
Pads = list[tuple[int, int]]
"""Begin and end, per spatial axis."""


def pads_of(pads: Ints | None, rank: int) -> Pads:
    """ONNX's [begins .., ends ..] as pairs."""
    return list(zip(pads[:rank], pads[rank:], strict=True)) if pads else [(0, 0)] * rank


def same_pads(auto_pad: str, sizes: Ints, extents: Ints, strides: Ints) -> Pads:
    """Padding that makes the output ceil(size / stride); the odd one goes to the end (UPPER) or the start."""
    pairs = []
    for size, extent, stride in zip(sizes, extents, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + extent - size, 0)
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if auto_pad == "SAME_UPPER" else (large, small))
    return pairs


def pad_spatial(x: Tensor, pads: Pads, value: float = 0.0) -> Tensor:
    """Constant padding of the last axes; negative pads crop."""
    if not any(map(any, pads)):
        return x
    return F.pad(x, [pad for pair in reversed(pads) for pad in pair], value=value)


@op("Conv")
def conv(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, auto_pad: str = "NOTSET", dilations: Ints | None = None,
    group: int = 1, kernel_shape: Ints | None = None, pads: Ints | None = None, strides: Ints | None = None,
) -> Tensor:  # fmt: skip
    """Cross-correlation; w [M, C / group, k1 .. kk], b [M]."""
    rank = _rank(w)
    strides, dilations = strides or (1,) * rank, dilations or (1,) * rank
    pairs = pads_of(pads, rank)
    if auto_pad.startswith("SAME"):
        extents = tuple((k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True))
        pairs = same_pads(auto_pad, tuple(x.shape[2:]), extents, strides)
    elif auto_pad == "VALID":
        pairs = pads_of(None, rank)
    if all(begin == end >= 0 for begin, end in pairs):
        return CONVOLUTIONS[rank](x, w, b, strides, [begin for begin, _ in pairs], dilations, group)
    return CONVOLUTIONS[rank](pad_spatial(x, pairs), w, b, strides, 0, dilations, group)


@op("ConvTranspose")
def conv_transpose(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, auto_pad: str = "NOTSET", dilations: Ints | None = None,
    group: int = 1, kernel_shape: Ints | None = None, output_padding: Ints | None = None,
    output_shape: Ints | None = None, pads: Ints | None = None, strides: Ints | None = None,
) -> Tensor:  # fmt: skip
    """Gradient of a convolution; w [C, M / group, k1 .. kk], b [M]."""
    rank = _rank(w)
    strides, dilations = strides or (1,) * rank, dilations or (1,) * rank
    extra = output_padding or (0,) * rank
    pairs = pads_of(pads, rank)
    if output_shape or auto_pad.startswith("SAME"):
        wanted = output_shape or tuple(n * s for n, s in zip(x.shape[2:], strides, strict=True))
        full = [
            (n - 1) * s + (k - 1) * d + 1 + e
            for n, s, k, d, e in zip(x.shape[2:], strides, w.shape[2:], dilations, extra, strict=True)
        ]
        pairs = [_split(f - size, auto_pad) for f, size in zip(full, wanted[-rank:], strict=True)]
    elif auto_pad == "VALID":
        pairs = pads_of(None, rank)
    if not any(extra) and all(begin == end >= 0 for begin, end in pairs):
        return TRANSPOSED[rank](x, w, b, strides, [begin for begin, _ in pairs], 0, group, dilations)
    y = TRANSPOSED[rank](x, w, None, strides, 0, 0, group, dilations)
    y = pad_spatial(y, [(-begin, more - end) for (begin, end), more in zip(pairs, extra, strict=True)])
    return y if b is None else y + b.reshape(-1, *[1] * rank)


def _split(total: int, auto_pad: str) -> tuple[int, int]:
    """Total padding as begin and end; where it is negative the output grows at the end, as by output_padding."""
    if total < 0:
        return 0, total
    small = total // 2
    return (small, total - small) if auto_pad == "SAME_UPPER" else (total - small, small)


def _rank(w: Tensor) -> int:
    rank = w.ndim - 2
    if rank not in CONVOLUTIONS:
        raise UnsupportedOp(f"convolution over {rank} spatial axes")
    return rank


@op("Col2Im", 18)
@also_unsigned
def col2im(
    x: Tensor, image_shape: Ints, block_shape: Ints, *, dilations: Ints | None = None,
    pads: Ints | None = None, strides: Ints | None = None,
) -> Tensor:  # fmt: skip
    """Columns [N, C prod(block), L] summed back into images [N, C, d1 .. dk]: the gradient of taking patches."""
    rank = len(image_shape)
    strides, dilations, pairs = strides or (1,) * rank, dilations or (1,) * rank, pads_of(pads, rank)
    padded = [size + begin + end for size, (begin, end) in zip(image_shape, pairs, strict=True)]
    steps = [
        (size - (k - 1) * d - 1) // s + 1 for size, k, d, s in zip(padded, block_shape, dilations, strides, strict=True)
    ]
    offsets = torch.cartesian_prod(*(torch.arange(k) * d for k, d in zip(block_shape, dilations, strict=True)))
    starts = torch.cartesian_prod(*(torch.arange(n) * s for n, s in zip(steps, strides, strict=True)))
    places = offsets.reshape(-1, 1, rank) + starts.reshape(1, -1, rank)
    scale = torch.tensor([int(torch.tensor(padded[axis + 1 :]).prod()) for axis in range(rank)])
    flat = (places * scale).sum(-1).reshape(-1).to(x.device)
    blocks = x.reshape(x.shape[0], -1, flat.numel())
    image = x.new_zeros(*blocks.shape[:2], int(torch.tensor(padded).prod())).index_add(2, flat, blocks)
    return pad_spatial(image.reshape(*blocks.shape[:2], *padded), [(-begin, -end) for begin, end in pairs])
