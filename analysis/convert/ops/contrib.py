"""Operators of com.microsoft that exporters and optimisers emit.

B batch, H heads, S sequence, D head size. What only a graph on its way through onnxruntime for another device holds
(quantised caches, packed batches, prepacked weights) is refused by name. Source: onnxruntime's ContribOperators.md and
its CPU kernels.
"""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.ops import activation, convolution, matmul
from analysis.convert.registry import Ints, ReadCount, Tensor, op
from analysis.errors import UnsupportedOp
from analysis.model.packed import BNB4_TABLES

MICROSOFT: Final = "com.microsoft"
FUSED: Final[Mapping[str, tuple[Callable[..., Tensor], tuple[str, ...]]]] = {
    "Relu": (activation.relu, ()),
    "Tanh": (activation.tanh, ()),
    "Sigmoid": (activation.sigmoid, ()),
    "HardSwish": (activation.hard_swish, ()),
    "Softplus": (activation.softplus, ()),
    "Softsign": (activation.softsign, ()),
    "LeakyRelu": (activation.leaky_relu, ("alpha",)),
    "Elu": (activation.elu, ("alpha",)),
    "ThresholdedRelu": (activation.thresholded_relu, ("alpha",)),
    "HardSigmoid": (activation.hard_sigmoid, ("alpha", "beta")),
    "ScaledTanh": (activation.scaled_tanh, ("alpha", "beta")),
    "Selu": (activation.selu, ("alpha", "gamma")),
    "Clip": (activation.clip_1, ("min", "max")),
}
"""Activations behind a FusedConv or FusedGemm, and the names of their parameters in order."""


def _fused(name: str) -> tuple[Callable[..., Tensor], tuple[str, ...]]:
    if name not in FUSED:
        raise UnsupportedOp(f"activation {name} behind a fused operator")
    return FUSED[name]


# ------------------------------------------------------------------ products and activations


@op("TransposeMatMul", domain=MICROSOFT)
@op("FusedMatMul", domain=MICROSOFT)
def fused_matmul(
    a: Tensor, b: Tensor, *, alpha: float = 1.0, transA: int = 0, transB: int = 0,  # noqa: N803 - ONNX names
    transBatchA: int = 0, transBatchB: int = 0,  # noqa: N803 - ONNX names
) -> Tensor:  # fmt: skip
    """Alpha A' B': the last two axes swapped where trans, the first moved behind the batch axes where transBatch."""
    a = a.movedim(0, -2) if transBatchA else a
    b = b.movedim(0, -2) if transBatchB else b
    product = torch.matmul(a.mT if transA else a, b.mT if transB else b)
    return product if alpha == 1.0 else alpha * product


@op("FusedGemm", domain=MICROSOFT)
def fused_gemm(
    a: Tensor, b: Tensor, c: Tensor | None = None, *, activation: str = "", activation_alpha: float | None = None,
    activation_beta: float | None = None, activation_gamma: float | None = None, alpha: float = 1.0,
    beta: float = 1.0, transA: int = 0, transB: int = 0,  # noqa: N803 - ONNX names
) -> Tensor:  # fmt: skip
    """A Gemm and the activation behind it."""
    y = matmul.gemm(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)
    if not activation:
        return y
    function, names = _fused(activation)
    given = {"alpha": activation_alpha, "beta": activation_beta, "gamma": activation_gamma}
    return function(y, **{name: given[name] for name in names if given.get(name) is not None})


@op("FusedConv", domain=MICROSOFT)
def fused_conv(
    x: Tensor, w: Tensor, b: Tensor | None = None, z: Tensor | None = None, *, activation: str = "",
    activation_params: tuple[float, ...] = (), auto_pad: str = "NOTSET", dilations: Ints | None = None,
    group: int = 1, kernel_shape: Ints | None = None, pads: Ints | None = None, strides: Ints | None = None,
) -> Tensor:  # fmt: skip
    """A Conv, what is added to it, and the activation behind that."""
    y = convolution.conv(x, w, b, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads, strides=strides)
    y = y if z is None else y + z
    if not activation:
        return y
    function, names = _fused(activation)
    return function(y, **dict(zip(names, activation_params, strict=False)))


@op("MatMulNBits", domain=MICROSOFT)
def matmul_n_bits(
    a: Tensor, b: Tensor, scales: Tensor, zero_points: Tensor | None = None, g_idx: Tensor | None = None,
    bias: Tensor | None = None, *, K: int, N: int, accuracy_level: int = 0, bits: int = 4,  # noqa: N803 - ONNX names
    block_size: int,
) -> Tensor:  # fmt: skip
    """A W' + bias with W [N, K] = (quantised - zero point) scale, a scale for each block of a row."""
    if 8 % bits:
        raise UnsupportedOp(f"MatMulNBits of {bits} bits")
    if not b.numel():
        y = a.new_zeros(*a.shape[:-1], N)
        return y if bias is None else y + bias
    blocks = -(-K // block_size)
    group = torch.arange(K, device=a.device) // block_size if g_idx is None else g_idx[:K]
    if zero_points is None:
        zero = torch.full((N, blocks), 2 ** (bits - 1), device=a.device)
    elif zero_points.dtype is torch.uint8:
        zero = unpacked(zero_points.reshape(N, -1), bits)[:, :blocks]
    else:
        zero = zero_points.reshape(N, blocks)
    quantized = unpacked(b.reshape(N, -1), bits)[:, :K]
    weight = (quantized - zero[:, group]).to(a.dtype) * scales.reshape(N, blocks)[:, group]
    return a @ weight.t() if bias is None else a @ weight.t() + bias


@op("MatMulBnb4", domain=MICROSOFT)
def matmul_bnb4(
    a: Tensor, b: Tensor, absmax: Tensor, *, K: int, N: int, block_size: int, quant_type: int,  # noqa: N803
    training_mode: int = 0, transB: int = 1,  # noqa: N803 - ONNX names
) -> Tensor:  # fmt: skip
    """A W' with W [N, K] = table[code] absmax, one for each block of the numbers of all rows in turn.

    Of the two codes in a byte the one in the high bits comes first.
    """
    if not transB or quant_type not in BNB4_TABLES:
        raise UnsupportedOp(f"MatMulBnb4 of type {quant_type}" if transB else "MatMulBnb4 with its weight as it lies")
    codes = unpacked(b, 4).reshape(-1, 2).flip(-1).flatten()[: N * K]
    block = torch.arange(N * K, device=a.device) // block_size
    table = torch.tensor(BNB4_TABLES[quant_type], dtype=a.dtype, device=a.device)
    return a @ (table[codes] * absmax[block]).reshape(N, K).t()


def unpacked(packed: Tensor, bits: int) -> Tensor:
    """The numbers in each byte along the last axis, lowest bits first, as int32."""
    shifts = torch.arange(0, 8, bits, dtype=torch.int32, device=packed.device)
    return torch.bitwise_and(torch.bitwise_right_shift(packed.int()[..., None], shifts), 2**bits - 1).flatten(-2)


@op("Gelu", domain=MICROSOFT)
def gelu(x: Tensor) -> Tensor:
    """X Phi(x)."""
    return F.gelu(x)


@op("BiasGelu", domain=MICROSOFT)
def bias_gelu(x: Tensor, bias: Tensor) -> Tensor:
    """Gelu of x + bias."""
    return F.gelu(x + bias)


@op("FastGelu", domain=MICROSOFT)
def fast_gelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    """Gelu of x + bias by its tanh approximation."""
    return F.gelu(x if bias is None else x + bias, approximate="tanh")


@op("QuickGelu", domain=MICROSOFT)
def quick_gelu(x: Tensor, *, alpha: float = 1.702) -> Tensor:
    """X sigmoid(alpha x)."""
    return activation.swish(x, alpha=alpha)


@op("BiasSplitGelu", domain=MICROSOFT)
def bias_split_gelu(x: Tensor, bias: Tensor) -> Tensor:
    """Left Gelu(right), the halves of the last axis of x + bias."""
    left, right = (x + bias).chunk(2, -1)
    return left * F.gelu(right)


@op("BiasSoftmax", domain=MICROSOFT)
def bias_softmax(x: Tensor, bias: Tensor, *, axis: int = 1, is_inner_broadcast: int) -> Tensor:
    """Softmax of x + bias over all axes from `axis` on."""
    return activation.softmax_1(x + bias, axis=axis)


@op("BiasDropout", domain=MICROSOFT)
def bias_dropout(
    x: Tensor, bias: Tensor, residual: Tensor | None = None, ratio: Tensor | None = None,
    training_mode: Tensor | None = None, *, seed: int | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """X + bias + residual; off while measuring, also where the graph asks for training."""
    y = x + bias
    return y if residual is None else y + residual, torch.ones_like(x, dtype=torch.bool)


# ------------------------------------------------------------------ normalisation


@op("SkipLayerNormalization", domain=MICROSOFT)
def skip_layer_normalization(
    x: Tensor, skip: Tensor, gamma: Tensor, beta: Tensor | None = None, bias: Tensor | None = None, *,
    epsilon: float = 1e-12, outputs: ReadCount = 1,
) -> tuple[Tensor, ...]:  # fmt: skip
    """LayerNormalization of x + skip + bias; also mean, 1 / std and that sum."""
    total = x + skip if bias is None else x + skip + bias
    y = F.layer_norm(total, total.shape[-1:], gamma, beta, epsilon)
    if outputs == 1:
        return (y,)
    variance, mean = torch.var_mean(total, -1, correction=0, keepdim=True)
    return y, mean, torch.rsqrt(variance + epsilon), total


@op("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_simplified_layer_normalization(
    x: Tensor, skip: Tensor, gamma: Tensor, bias: Tensor | None = None, *, epsilon: float = 1e-12
) -> tuple[Tensor, ...]:
    """RMSNormalization of x + skip + bias; also 0 for the mean, 1 / root mean square and that sum."""
    total = x + skip if bias is None else x + skip + bias
    inverse = torch.rsqrt(total.square().mean(-1, keepdim=True) + epsilon)
    return total * inverse * gamma, torch.zeros_like(inverse), inverse, total


@op("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_normalization(
    input_ids: Tensor, segment_ids: Tensor | None, word_embedding: Tensor, position_embedding: Tensor,
    segment_embedding: Tensor | None, gamma: Tensor, beta: Tensor, mask: Tensor | None = None,
    position_ids: Tensor | None = None, *, epsilon: float = 1e-12, mask_index_type: int = 0,
) -> tuple[Tensor, ...]:  # fmt: skip
    """LayerNormalization of word + position + segment; also the number of words, and the sum."""
    positions = position_embedding[: input_ids.shape[1]] if position_ids is None else position_embedding[position_ids]
    total = F.embedding(input_ids, word_embedding) + positions
    if segment_ids is not None and segment_embedding is not None:
        total = total + F.embedding(segment_ids, segment_embedding)
    words = torch.zeros_like(input_ids[:, 0]) if mask is None else (mask == 1).sum(1)
    return F.layer_norm(total, total.shape[-1:], gamma, beta, epsilon), words.int(), total
