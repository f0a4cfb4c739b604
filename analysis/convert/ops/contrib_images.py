"""Operators of com.microsoft on images with the channels last: x [N, d1 .. dk, C].

Most have kernels on other devices only; the arithmetic is that of the standard operators. Layouts that a processor is
tuned for (com.microsoft.nchwc, com.ms.internal.nhwc) are refused by name: a file does not say how wide its blocks are.
Source: onnxruntime's schemas, and the fusions in onnxruntime.transformers that write these operators.
"""

from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.ops import contrib, convolution, pooling
from analysis.convert.registry import Ints, Tensor, op
from analysis.errors import UnsupportedOp

NO_ACTIVATION, SWISH = 0, 1
"""What a GroupNorm has behind it."""


@op("NhwcConv", domain=contrib.MICROSOFT)
def nhwc_conv(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, auto_pad: str = "NOTSET", dilations: Ints | None = None,
    group: int = 1, kernel_shape: Ints | None = None, pads: Ints | None = None, strides: Ints | None = None,
) -> Tensor:  # fmt: skip
    """Conv with the channels last, also those of the weight [M, k1 .. kk, C / group]."""
    return convolution.conv(
        x.movedim(-1, 1), w.movedim(-1, 1), b, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads,
        strides=strides,
    ).movedim(1, -1)  # fmt: skip


@op("NhwcFusedConv", domain=contrib.MICROSOFT)
def nhwc_fused_conv(
    x: Tensor, w: Tensor, b: Tensor | None = None, z: Tensor | None = None, *, activation: str = "",
    activation_params: tuple[float, ...] = (), auto_pad: str = "NOTSET", dilations: Ints | None = None,
    group: int = 1, kernel_shape: Ints | None = None, pads: Ints | None = None, strides: Ints | None = None,
) -> Tensor:  # fmt: skip
    """FusedConv with the channels last, but for those of the weight [M, C / group, k1 .. kk]."""
    return contrib.fused_conv(
        x.movedim(-1, 1), w, b, None if z is None else z.movedim(-1, 1), activation=activation,
        activation_params=activation_params, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads,
        strides=strides,
    ).movedim(1, -1)  # fmt: skip


@op("NhwcMaxPool", domain=contrib.MICROSOFT)
def nhwc_max_pool(
    x: Tensor, *, kernel_shape: Ints, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Ints | None = None,
    pads: Ints | None = None, strides: Ints | None = None,
) -> Tensor:  # fmt: skip
    """MaxPool with the channels last."""
    pooled = pooling.max_pool(
        x.movedim(-1, 1), kernel_shape=kernel_shape, auto_pad=auto_pad, ceil_mode=ceil_mode, dilations=dilations,
        pads=pads, strides=strides,
    )  # fmt: skip
    assert isinstance(pooled, Tensor)
    return pooled.movedim(1, -1)


@op("GroupNorm", domain=contrib.MICROSOFT)
def group_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, *, activation: int, channels_last: int = 1, epsilon: float = 1e-5,
    groups: int,
) -> Tensor:  # fmt: skip
    """GroupNormalization and, if asked for, x sigmoid(x) of it."""
    if activation not in {NO_ACTIVATION, SWISH}:
        raise UnsupportedOp(f"activation {activation} behind a GroupNorm")
    y = F.group_norm(x.movedim(-1, 1) if channels_last else x, groups, gamma, beta, epsilon)
    y = F.silu(y) if activation == SWISH else y
    return y.movedim(1, -1) if channels_last else y


@op("SkipGroupNorm", domain=contrib.MICROSOFT)
def skip_group_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, skip: Tensor, bias: Tensor | None = None, *, activation: int,
    channels_last: int = 1, epsilon: float = 1e-5, groups: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    """GroupNorm of x + skip + bias, and that sum; a skip [N, C] is one for all places of a sample."""
    places = 1 if channels_last else -1
    shortcut = skip.unsqueeze(places).unsqueeze(places) if skip.ndim == 2 else skip
    total = x + shortcut
    if bias is not None:
        total = total + (bias if channels_last else bias.reshape(-1, 1, 1))
    y = group_norm(
        total, gamma, beta, activation=activation, channels_last=channels_last, epsilon=epsilon, groups=groups
    )
    return y, total
