"""Attention of com.microsoft: rotary positions, self-attention, several heads, shared heads.

B batch, H heads, S sequence, D head size. Source: onnxruntime's ContribOperators.md and its CPU kernels.
"""

import math
from typing import Final

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

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
from analysis.convert.ops.contrib import MICROSOFT
from analysis.convert.registry import Ints, Tensor, op
from analysis.errors import UnsupportedOp

MASKED: Final = -10000.0
"""What is added to the score of a padded key, unless the node says otherwise."""


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


@op("DecoderMaskedMultiHeadAttention", domain=MICROSOFT)
def decoder_masked_multi_head_attention(
    query: Tensor, key: Tensor | None = None, value: Tensor | None = None, mask_index: Tensor | None = None,
    attention_bias: Tensor | None = None, past_key: Tensor | None = None, past_value: Tensor | None = None,
    past_sequence_length: Ints | None = None, beam_width: Ints | None = None, cache_indirection: Tensor | None = None,
    bias: Tensor | None = None, *, mask_filter_value: float = MASKED, num_heads: int, output_qk: int = 0,
    past_present_share_buffer: int = 0, scale: float = 0.0,
) -> tuple[Tensor, ...]:  # fmt: skip
    """MultiHeadAttention of one step, whose keys and values become a row of the cache [B, H, longest, D]."""
    if output_qk or cache_indirection is not None:
        raise UnsupportedOp("DecoderMaskedMultiHeadAttention with beams or scores")
    (before,) = past_sequence_length or (0,)
    filled = (None if past is None else past[:, :, :before] for past in (past_key, past_value))
    y, k, v = multi_head_attention(
        query, key, value, bias, mask_index, attention_bias, *filled, mask_filter_value=mask_filter_value,
        num_heads=num_heads, scale=scale,
    )  # fmt: skip
    if past_key is None or past_value is None:
        return y, k, v
    return y, torch.cat((k, past_key[:, :, before + 1 :]), 2), torch.cat((v, past_value[:, :, before + 1 :]), 2)


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
