"""Operators of com.microsoft that exporters and optimisers emit.

B batch, H heads, S sequence, D head size. What only a graph on its way through onnxruntime for another device holds
(quantised caches, packed batches, prepacked weights) is refused by name. Source: onnxruntime's ContribOperators.md and
its CPU kernels.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.ops import activation, convolution, matmul
from analysis.convert.ops.attention import (
    merge_heads,
    rotated,
    score,
    share_heads,
    split_heads,
    tensor_scatter,
    unmasked,
    window,
)
from analysis.convert.registry import Ints, OutputCount, Tensor, op
from analysis.errors import UnsupportedOp

MICROSOFT: Final = "com.microsoft"
MASKED: Final = -10000.0
"""What is added to the score of a padded key, unless the node says otherwise."""


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
        zero = _unpacked(zero_points.reshape(N, -1), bits)[:, :blocks]
    else:
        zero = zero_points.reshape(N, blocks)
    quantized = _unpacked(b.reshape(N, -1), bits)[:, :K]
    weight = (quantized - zero[:, group]).to(a.dtype) * scales.reshape(N, blocks)[:, group]
    return a @ weight.t() if bias is None else a @ weight.t() + bias


def _unpacked(packed: Tensor, bits: int) -> Tensor:
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
    epsilon: float = 1e-12, outputs: OutputCount = 1,
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


# ------------------------------------------------------------------ attention


@op("RotaryEmbedding", domain=MICROSOFT)
def rotary_embedding(
    x: Tensor, position_ids: Tensor, cos_cache: Tensor, sin_cache: Tensor, *, interleaved: int = 0,
    is_packed_batching: int = 0, num_heads: int = 0, rotary_embedding_dim: int = 0, scale: float = 1.0,
) -> Tensor:  # fmt: skip
    """Queries or keys turned by their position's angles; one position id is that of the first of a sequence.

    `scale` is read by no kernel.
    """
    if is_packed_batching:
        raise UnsupportedOp("RotaryEmbedding of packed batches")
    heads = x if x.ndim == 4 else split_heads(x, num_heads or x.shape[-1] // (2 * cos_cache.shape[-1]))
    steps = torch.arange(heads.shape[2], device=x.device)
    positions = position_ids + steps[None] if position_ids.ndim == 1 else position_ids
    y = rotated(heads, cos_cache[positions][:, None], sin_cache[positions][:, None], interleaved=bool(interleaved))
    return y if x.ndim == 4 else merge_heads(y)


@op("Attention", domain=MICROSOFT)
def attention(
    x: Tensor, weights: Tensor, bias: Tensor | None = None, mask_index: Tensor | None = None,
    past: Tensor | None = None, attention_bias: Tensor | None = None, *, do_rotary: int = 0,
    mask_filter_value: float = MASKED, num_heads: int, qkv_hidden_sizes: Ints | None = None, scale: float = 0.0,
    unidirectional: int = 0,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Self-attention with the projection to queries, keys and values in one weight [hidden, 3 H D]."""
    refuse_rotary(do_rotary)
    sizes = list(qkv_hidden_sizes or [weights.shape[1] // 3] * 3)
    projected = x @ weights if bias is None else x @ weights + bias
    return self_attention(
        projected, sizes, mask_index, past, attention_bias, mask_filter_value, num_heads, scale, unidirectional
    )


def refuse_rotary(asked: int) -> None:
    """No case of onnxruntime's kernel for the CPU shows what it does."""
    if asked:
        raise UnsupportedOp("Attention that applies rotary positions itself")


def self_attention(
    projected: Tensor, sizes: list[int], mask_index: Tensor | None, past: Tensor | None,
    attention_bias: Tensor | None, mask_filter_value: float, num_heads: int, scale: float, unidirectional: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Attention among queries, keys and values that lie behind one another along the last axis."""
    q, k, v = (split_heads(part, num_heads) for part in projected.split(sizes, -1))
    before = 0 if past is None else past.shape[3]
    if past is not None:
        k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
    padding = None if mask_index is None else _padding(mask_index, q, k, before, mask_filter_value)
    y = _attended(q, k, v, scale, _sum(attention_bias, padding), before if unidirectional else None)
    return (y, torch.stack((k, v))) if k.shape == v.shape else (y,)


@op("MultiHeadAttention", domain=MICROSOFT)
def multi_head_attention(
    query: Tensor, key: Tensor | None = None, value: Tensor | None = None, bias: Tensor | None = None,
    key_padding_mask: Tensor | None = None, attention_bias: Tensor | None = None, past_key: Tensor | None = None,
    past_value: Tensor | None = None, *, mask_filter_value: float = MASKED, num_heads: int, scale: float = 0.0,
    unidirectional: int = 0,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Attention between projections: separate, or packed [B, S, H, 2 or 3, D], or keys and values in heads already."""
    if query.ndim == 5:
        query, key, value = (part.flatten(2) for part in query.unbind(3))
    elif key is not None and key.ndim == 5:
        key, value = (part.flatten(2) for part in key.unbind(3))
    if key is None or value is None:
        raise UnsupportedOp("MultiHeadAttention without keys")
    split = key.ndim == 4
    if bias is not None:
        sizes = [query.shape[-1], query.shape[-1], bias.shape[0] - 2 * query.shape[-1]]
        q_bias, k_bias, v_bias = bias.split(sizes)
        query = query + q_bias
        key, value = (key, value) if split else (key + k_bias, value + v_bias)
    q = split_heads(query, num_heads)
    k, v = (key, value) if split else (split_heads(key, num_heads), split_heads(value, num_heads))
    before = 0 if past_key is None else past_key.shape[2]
    if past_key is not None and past_value is not None:
        k, v = torch.cat((past_key, k), 2), torch.cat((past_value, v), 2)
    padding = None if key_padding_mask is None else _padding(key_padding_mask, q, k, before, mask_filter_value)
    return _attended(q, k, v, scale, _sum(attention_bias, padding), before if unidirectional else None), k, v


def _attended(q: Tensor, k: Tensor, v: Tensor, scale: float, bias: Tensor | None, before: int | None) -> Tensor:
    """Attention [B, S, H D]; causal where `before` tells how many keys precede the first query."""
    scale = scale or 1 / math.sqrt(q.shape[-1])
    if bias is None:
        return merge_heads(unmasked(q, k, v, scale, before))
    allowed = None if before is None else window(q, k, before, -1, 0)
    return merge_heads(score(q, k, scale, bias=bias, allowed=allowed).weights @ v)


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return one if other is None else other if one is None else one + other


def _padding(mask: Tensor, q: Tensor, k: Tensor, before: int, filtered: float) -> Tensor:
    """What to add to the scores, [B, 1, 1 or S, K]: `filtered` at a padded key.

    A mask is 1 at a key to see: [B, K], [B, S, K] or [B, 1, M, M]; or it holds the ends [B] or ends and starts [2 B].
    """
    batch, queries, keys = q.shape[0], q.shape[2], k.shape[2]
    if mask.ndim == 1:
        if mask.shape[0] not in {batch, 2 * batch}:
            raise UnsupportedOp("mask of packed sequences")
        place = torch.arange(keys, device=mask.device)
        seen = place < mask[:batch, None]
        seen = seen if mask.shape[0] == batch else seen & (place >= mask[batch:, None])
        seen = seen[:, None, None]
    elif mask.ndim == 4:
        seen = mask[:, :, before : before + queries, :keys] > 0
    else:
        seen = mask.reshape(batch, 1, -1, keys) > 0
    return torch.zeros_like(seen, dtype=q.dtype).masked_fill(~seen, filtered)


@op("GroupQueryAttention", domain=MICROSOFT)
def group_query_attention(
    query: Tensor, key: Tensor | None, value: Tensor | None, past_key: Tensor | None, past_value: Tensor | None,
    seqlens_k: Tensor, total_sequence_length: Ints, cos_cache: Tensor | None = None, sin_cache: Tensor | None = None,
    position_ids: Tensor | None = None, attention_bias: Tensor | None = None, head_sink: Tensor | None = None,
    *refused: Tensor | None, causal: int = 1, do_rotary: int = 0, kv_num_heads: int, local_window_size: int = -1,
    num_heads: int, rotary_interleaved: int = 0, scale: float = 0.0, smooth_softmax: int = 0, softcap: float = 0.0,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Attention in which groups of query heads share keys and values, with rotary positions and a cache.

    `seqlens_k` [B] is one less than the number of keys of a sample; the prompt is what comes whole, and of its
    position ids only the first one is read.
    """
    if any(each is not None for each in refused):
        raise UnsupportedOp("GroupQueryAttention with a quantised cache, normalised heads or padded chunks")
    if key is None or value is None:
        width = query.shape[-1] // (num_heads + 2 * kv_num_heads)
        query, key, value = query.split([num_heads * width, kv_num_heads * width, kv_num_heads * width], -1)
    q, k, v = split_heads(query, num_heads), split_heads(key, kv_num_heads), split_heads(value, kv_num_heads)
    (length,), total, prompt = total_sequence_length, seqlens_k.reshape(-1) + 1, q.shape[2] == total_sequence_length[0]
    before = torch.zeros_like(total) if prompt else total - q.shape[2]
    if do_rotary and cos_cache is not None and sin_cache is not None:
        steps = torch.arange(q.shape[2], device=q.device)
        given = position_ids.reshape(-1)[:1] + steps if prompt and position_ids is not None else position_ids
        places = before[:, None] + steps if given is None else given.expand(q.shape[0], -1)
        cosine, sine = cos_cache[places][:, None], sin_cache[places][:, None]
        q, k = (rotated(part, cosine, sine, interleaved=bool(rotary_interleaved)) for part in (q, k))
    k, v = _appended(past_key, k, before, length), _appended(past_value, v, before, length)
    keys, values = share_heads(k, num_heads), share_heads(v, num_heads)
    scale = scale or 1 / math.sqrt(q.shape[-1])
    sink = q.new_zeros(num_heads) if smooth_softmax and head_sink is None else head_sink
    if prompt and causal and local_window_size <= 0 and not softcap and attention_bias is None and sink is None:
        return merge_heads(unmasked(q, keys, values, scale, 0)), k, v
    if causal:
        allowed = window(q, k, before[:, None, None, None], max(local_window_size, 0) - 1, 0)
    else:
        allowed = torch.arange(k.shape[2], device=q.device) < total[:, None, None, None]
    scores = score(q, keys, scale, softcap=softcap, bias=attention_bias, allowed=allowed)
    weights = scores.weights if sink is None else _drained(scores.biased, sink)
    return merge_heads(weights @ values), k, v


def _drained(scores: Tensor, sink: Tensor) -> Tensor:
    """Softmax [B, H, S, K] part of which goes to a key that is not there, whose score `sink` [H] is."""
    column = sink[:, None, None].expand(*scores.shape[:-1], 1)
    return torch.softmax(torch.cat((scores, column), -1), -1)[..., :-1]


def _appended(past: Tensor | None, new: Tensor, before: Tensor, length: int) -> Tensor:
    """The cache [B, H, at least `length`, D]: what `before` each sample's new rows is kept, the rest is zero."""
    if past is None:
        return new
    past = F.pad(past, (0, 0, 0, max(0, length - past.shape[2])))
    kept = torch.arange(past.shape[2], device=past.device) < before[:, None]
    return tensor_scatter(torch.where(kept[:, None, :, None], past, 0), new, before.long(), axis=2)
