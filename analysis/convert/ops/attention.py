"""Attention in its standard forms: scaled dot product, rotary positions, linear attention, caches.

B batch, H heads, Q queries, K keys, D head size; queries [B, H, Q, D], keys and values [B, H, K, D]. Keys are left out
by choosing, never by adding -inf, so that a query without any key gives zeros and passes gradients of zero. Half
precision is computed in float32 and rounded once.
"""

import math
from typing import NamedTuple

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.registry import Body, DType, Ints, ReadCount, Tensor, op


class Scores(NamedTuple):
    """What attention computes between keys and values, [B, H, Q, K]; the numbers of qk_matmul_output_mode."""

    raw: Tensor
    capped: Tensor
    biased: Tensor
    weights: Tensor


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, S, H D] -> [B, H, S, D]."""
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[B, H, S, D] -> [B, S, H D]."""
    return x.transpose(1, 2).flatten(2)


def share_heads(x: Tensor, heads: int) -> Tensor:
    """Each head of keys or values repeated for its group of query heads (Ainslie 2023)."""
    group = heads // x.shape[1]
    return x if group == 1 else x[:, :, None].expand(-1, -1, group, -1, -1).flatten(1, 2)


def score(
    q: Tensor, k: Tensor, scale: float, *, softcap: float = 0.0, bias: Tensor | None = None,
    allowed: Tensor | None = None, precision: torch.dtype | None = None,
) -> Scores:  # fmt: skip
    """softmax(cap(q k' scale) + bias) over the allowed keys, in `precision`."""
    root = math.sqrt(scale)
    raw = (q * root) @ (k * root).transpose(-1, -2)
    capped = softcap * torch.tanh(raw / softcap) if softcap else raw
    biased = capped if bias is None else capped + bias
    if allowed is None:
        weights = torch.softmax(biased.to(precision or q.dtype), -1)
        return Scores(raw, capped, biased, weights.to(q.dtype))
    biased = torch.where(allowed, biased, -torch.inf)
    alone = ~allowed.any(-1, keepdim=True)
    weights = torch.softmax(biased.masked_fill(alone, 0.0).to(precision or q.dtype), -1).masked_fill(alone, 0.0)
    return Scores(raw, capped, biased, weights.to(q.dtype))


@op("Attention", 23)
def attention_23(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, past_key: Tensor | None = None,
    past_value: Tensor | None = None, *, is_causal: int = 0, kv_num_heads: int = 0, q_num_heads: int = 0,
    qk_matmul_output_mode: int = 0, scale: float | None = None, softcap: float = 0.0,
    softmax_precision: DType | None = None, outputs: ReadCount = 1,
) -> tuple[Tensor, ...]:  # fmt: skip
    """softmax(q k' / sqrt(D) + mask) v (Vaswani 2017), with the keys and values seen so far."""
    return attention(
        q, k, v, attn_mask, past_key, past_value, is_causal=is_causal, kv_num_heads=kv_num_heads,
        q_num_heads=q_num_heads, qk_matmul_output_mode=qk_matmul_output_mode, scale=scale, softcap=softcap,
        softmax_precision=softmax_precision, outputs=outputs,
    )  # fmt: skip


@op("Attention", 24)
def attention_24(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, past_key: Tensor | None = None,
    past_value: Tensor | None = None, nonpad_kv_seqlen: Tensor | None = None, *, is_causal: int = 0,
    kv_num_heads: int = 0, q_num_heads: int = 0, qk_matmul_output_mode: int = 0, scale: float | None = None,
    softcap: float = 0.0, softmax_precision: DType | None = None, outputs: ReadCount = 1,
) -> tuple[Tensor, ...]:  # fmt: skip
    """From opset 24 each sample may say how many of its keys are no padding."""
    return attention(
        q, k, v, attn_mask, past_key, past_value, nonpad_kv_seqlen, is_causal=is_causal, kv_num_heads=kv_num_heads,
        q_num_heads=q_num_heads, qk_matmul_output_mode=qk_matmul_output_mode, scale=scale, softcap=softcap,
        softmax_precision=softmax_precision, outputs=outputs,
    )  # fmt: skip


@op("Attention", 25)
def attention(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, past_key: Tensor | None = None,
    past_value: Tensor | None = None, nonpad_kv_seqlen: Tensor | None = None, *, is_causal: int = 0,
    kv_num_heads: int = 0, left_window_size: int = -1, q_num_heads: int = 0, qk_matmul_output_mode: int = 0,
    right_window_size: int = -1, scale: float | None = None, softcap: float = 0.0,
    softmax_precision: DType | None = None, outputs: ReadCount = 1,
) -> tuple[Tensor, ...]:  # fmt: skip
    """From opset 25 a query may see only the keys in a window around it."""
    packed, dtype = q.ndim == 3, q.dtype
    if packed:
        q, k, v = split_heads(q, q_num_heads), split_heads(k, kv_num_heads), split_heads(v, kv_num_heads)
    offset: int | Tensor = 0
    if past_key is not None and past_value is not None:
        k, v, offset = torch.cat((past_key, k), 2), torch.cat((past_value, v), 2), past_key.shape[2]
    elif nonpad_kv_seqlen is not None:
        offset = nonpad_kv_seqlen.reshape(-1, 1, 1, 1) - q.shape[2]
    wide = torch.promote_types(dtype, torch.float32)
    queries, keys, values = q.to(wide), share_heads(k, q.shape[1]).to(wide), share_heads(v, q.shape[1]).to(wide)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    bounds = left_window_size, 0 if is_causal else right_window_size
    plain = attn_mask is None and nonpad_kv_seqlen is None and left_window_size < 0 and bounds[1] <= 0
    if plain and not softcap and softmax_precision in {None, wide} and outputs < 4:
        y = unmasked(queries, keys, values, scale, None if bounds[1] < 0 else offset).to(dtype)
        return merge_heads(y) if packed else y, k, v
    bias, allowed = _mask(attn_mask, k.shape[2])
    if max(bounds) >= 0:
        allowed = both(allowed, window(queries, keys, offset, *bounds))
    if nonpad_kv_seqlen is not None:
        allowed = both(allowed, torch.arange(k.shape[2], device=q.device) < nonpad_kv_seqlen.reshape(-1, 1, 1, 1))
    scores = score(queries, keys, scale, softcap=softcap, bias=bias, allowed=allowed, precision=softmax_precision)
    y = (scores.weights @ values).to(dtype)
    return merge_heads(y) if packed else y, k, v, scores[qk_matmul_output_mode].to(dtype)


def unmasked(q: Tensor, k: Tensor, v: Tensor, scale: float, offset: int | Tensor | None) -> Tensor:
    """Torch's own kernel, for queries that all have a key; causal after `offset` keys where there is one."""
    if offset is None or (isinstance(offset, int) and offset == 0 and q.shape[2] == k.shape[2]):
        return F.scaled_dot_product_attention(q, k, v, scale=scale, is_causal=offset is not None)
    return F.scaled_dot_product_attention(q, k, v, window(q, k, offset, -1, 0), scale=scale)


def window(q: Tensor, k: Tensor, offset: int | Tensor, left: int, right: int) -> Tensor:
    """Whether key j lies within [i + offset - left, i + offset + right] for query i; -1 leaves a side open."""
    position = torch.arange(q.shape[2], device=q.device)[:, None] + offset
    ahead = torch.arange(k.shape[2], device=q.device) - position
    if left < 0:
        return ahead <= right
    return ahead >= -left if right < 0 else (ahead >= -left) & (ahead <= right)


def both(one: Tensor | None, other: Tensor) -> Tensor:
    """What two masks allow, of which the first may be missing."""
    return other if one is None else one & other


def _mask(mask: Tensor | None, keys: int) -> tuple[Tensor | None, Tensor | None]:
    """What a mask adds to the scores, and which keys it allows; those a short one does not reach are not."""
    if mask is None:
        return None, None
    missing = keys - mask.shape[-1]
    if mask.dtype is torch.bool:
        return None, F.pad(mask, (0, missing)) if missing > 0 else mask
    mask = F.pad(mask, (0, missing), value=-torch.inf) if missing > 0 else mask
    return mask, ~torch.isneginf(mask)


@op("FlexAttention", domain="ai.onnx.preview")
def flex_attention(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None, softmax_precision: DType | None = None,
    score_mod: Body | None = None, prob_mod: Body | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Attention whose scores and weights pass through functions of the user's."""
    precision = softmax_precision or torch.promote_types(q.dtype, torch.float32)
    root = math.sqrt(1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    keys, values = share_heads(k, q.shape[1]), share_heads(v, q.shape[1])
    scores = ((q * root) @ (keys * root).transpose(-1, -2)).to(precision)
    if score_mod is not None:
        (scores,) = score_mod(scores)
    weights = torch.softmax(scores, -1)
    if prob_mod is not None:
        (weights,) = prob_mod(weights)
    return ((weights.to(values.dtype) @ values).to(q.dtype),)


# ------------------------------------------------------------------ positions and caches


def rotated(x: Tensor, cosine: Tensor, sine: Tensor, *, interleaved: bool) -> Tensor:
    """The first 2 R of the last axis turned by R angles, in pairs or in halves; the rest as it is (Su 2021)."""
    turning, rest = x[..., : 2 * cosine.shape[-1]], x[..., 2 * cosine.shape[-1] :]
    if interleaved:
        real, imaginary = turning[..., 0::2], turning[..., 1::2]
    else:
        real, imaginary = turning.chunk(2, -1)
    turned = (real * cosine - imaginary * sine, real * sine + imaginary * cosine)
    whole = torch.stack(turned, -1).flatten(-2) if interleaved else torch.cat(turned, -1)
    return torch.cat((whole, rest), -1) if rest.shape[-1] else whole


@op("RotaryEmbedding", 23)
def rotary_embedding(
    x: Tensor, cos_cache: Tensor, sin_cache: Tensor, position_ids: Tensor | None = None, *, interleaved: int = 0,
    num_heads: int = 0, rotary_embedding_dim: int = 0,
) -> Tensor:  # fmt: skip
    """Queries or keys turned by their position's angles; [B, H, S, D] or [B, S, H D]."""
    if position_ids is not None:
        cos_cache, sin_cache = cos_cache[position_ids], sin_cache[position_ids]
    if x.ndim == 4:
        return rotated(x, cos_cache[:, None], sin_cache[:, None], interleaved=bool(interleaved))
    heads = x.unflatten(-1, (num_heads, -1))
    return rotated(heads, cos_cache[:, :, None], sin_cache[:, :, None], interleaved=bool(interleaved)).flatten(2)


@op("TensorScatter", 24)
def tensor_scatter(
    past_cache: Tensor, update: Tensor, write_indices: Tensor | None = None, *, axis: int = -2, mode: str = "linear"
) -> Tensor:
    """The cache with `update` written along an axis from each sample's index on, around its end where circular."""
    axis %= update.ndim
    places = torch.arange(update.shape[axis], device=update.device)[None]
    if write_indices is not None:
        places = places + write_indices[:, None]
    if mode == "circular":
        places = places % past_cache.shape[axis]
    shape = [places.shape[0], *[1] * (update.ndim - 1)]
    shape[axis] = -1
    return past_cache.scatter(axis, places.reshape(shape).expand_as(update), update)


# ------------------------------------------------------------------ recurrences


@op("LinearAttention", 27)
def linear_attention(
    query: Tensor, key: Tensor, value: Tensor, past_state: Tensor | None = None, decay: Tensor | None = None,
    beta: Tensor | None = None, *, q_num_heads: int, kv_num_heads: int, chunk_size: int = 64, scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> tuple[Tensor, ...]:  # fmt: skip
    """o = scale q' S with S = exp(g) S + beta k (v - S' k)', step by step; without g or beta where there are none.

    S is [B, H, D, Dv] (Katharopoulos 2020; gates: Yang 2024; the delta rule: Schlag 2021).
    """
    wide = torch.promote_types(query.dtype, torch.float32)
    keys, values = split_heads(key, kv_num_heads).to(wide), split_heads(value, kv_num_heads).to(wide)
    queries = split_heads(query, q_num_heads).to(wide).unflatten(1, (kv_num_heads, -1))
    steps = range(query.shape[1])
    gates = None if decay is None else split_heads(decay, kv_num_heads).to(wide).exp()[..., None].unbind(2)
    rates = None if beta is None else beta.to(wide).transpose(1, 2)[..., None].unbind(2)
    kept = value.dtype if past_state is None else past_state.dtype
    state = keys.new_zeros(*keys.shape[:2], keys.shape[-1], values.shape[-1]) if past_state is None else past_state
    state = state.to(wide)
    read = []
    for step, k, v, q in zip(steps, keys.unbind(2), values.unbind(2), queries.unbind(3), strict=True):
        state = state if gates is None else gates[step] * state
        written = v if rates is None else rates[step] * (v - (k[..., None, :] @ state)[..., 0, :])
        state = state + k[..., None] * written[..., None, :]
        read.append(q @ state)
    scale = scale or 1 / math.sqrt(keys.shape[-1])
    y = scale * torch.stack(read, 3).flatten(1, 2)
    return merge_heads(y).to(query.dtype), state.to(kept)


@op("CausalConvWithState", 27)
def causal_conv_with_state(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, past_state: Tensor | None = None, *,
    activation: str = "none",
) -> tuple[Tensor, ...]:  # fmt: skip
    """Each channel convolved with its own kernel over what came before; [B, C, S], weight [C, 1, k]."""
    before = weight.shape[-1] - 1
    whole = F.pad(x, (before, 0)) if past_state is None else torch.cat((past_state, x), -1)
    y = F.conv1d(whole, weight, bias, groups=x.shape[1])
    return y if activation == "none" else F.silu(y), whole[..., whole.shape[-1] - before :]


@op("SwiGLU", 28)
def swiglu(gate: Tensor, value: Tensor, *, alpha: float = 1.0) -> Tensor:
    """Gate sigmoid(alpha gate) value (Shazeer 2020)."""
    return (F.silu(gate) if alpha == 1.0 else gate * torch.sigmoid(alpha * gate)) * value


@op("CumProd", 26)
def cum_prod(x: Tensor, axis: Ints, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Running product along an axis; exclusive leaves out the element itself."""
    along = axis[0]
    x = x.flip(along) if reverse else x
    if exclusive:
        ones = torch.ones_like(x.narrow(along, 0, min(1, x.shape[along])))
        x = torch.cat((ones, x.narrow(along, 0, max(x.shape[along] - 1, 0))), along)
    product = x.cumprod(along, dtype=x.dtype)
    return product.flip(along) if reverse else product
