"""Picking what satisfies a condition: slices, distinct values, boxes, n-grams."""

from collections.abc import Sequence

import torch

from analysis.convert.ops.arithmetic import UNSIGNED
from analysis.convert.registry import Ints, OutputElement, Tensor, op


@op("Compress", 9)
def compress(x: Tensor, condition: Tensor, *, axis: int | None = None) -> Tensor:
    """Slices along an axis, or elements of the flattened x, where the condition holds; it may be too short."""
    places = condition.nonzero().squeeze(1)
    return x.reshape(-1).index_select(0, places) if axis is None else x.index_select(axis, places)


@op("Unique", 11)
def unique(
    x: Tensor, *, axis: int | None = None, sorted: int = 1  # noqa: A002 - the name of the attribute
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Distinct elements, or slices along an axis; where each is first, which of them each one is, and how many."""
    values = x.reshape(-1) if axis is None else x
    values = values.long() if x.dtype in UNSIGNED | {torch.bool} else values
    along = 0 if axis is None else axis % x.ndim
    _, which, counts = torch.unique(
        values.detach(), return_inverse=True, return_counts=True, dim=None if axis is None else along
    )
    places = torch.arange(values.shape[along], device=x.device)
    first = torch.full_like(counts, len(places)).scatter_reduce(0, which, places, "amin")
    if not sorted:
        order = first.argsort()
        first, counts, which = first[order], counts[order], order.argsort()[which]
    return values.index_select(along, first).to(x.dtype), first, which, counts


@op("NonMaxSuppression", 10)
def non_max_suppression(
    boxes: Tensor, scores: Tensor, most: Ints | None = None, overlap: Tensor | None = None,
    threshold: Tensor | None = None, *, center_point_box: int = 0,
) -> Tensor:  # fmt: skip
    """Best boxes of each image and class that overlap no better one more than allowed: [n, (image, class, box)].

    Boxes [N, B, 4], scores [N, C, B]. One round picks the best box left of every image and class at once.
    """
    low, high = _edges(boxes.detach(), centred=bool(center_point_box))
    allowed = boxes.new_zeros(()) if overlap is None else overlap.reshape(())
    left = torch.ones_like(scores, dtype=torch.bool) if threshold is None else scores > threshold.reshape(())
    places = torch.arange(boxes.shape[1], device=boxes.device)
    rounds = [places.new_empty((*scores.shape[:2], 0))]
    for _ in range(min(most[0], boxes.shape[1]) if most else 0):
        best = torch.where(left, scores.detach(), -torch.inf).argmax(-1, keepdim=True)
        found = left.gather(-1, best)
        if not found.any():
            break
        rounds.append(torch.where(found, best, -1))
        left = left & (places != best) & (_overlaps(low, high, best) <= allowed)
    picked = torch.cat(rounds, -1)
    image, kind, place = (picked >= 0).nonzero().unbind(1)
    return torch.stack([image, kind, picked[image, kind, place]], 1)


def _edges(boxes: Tensor, *, centred: bool) -> tuple[Tensor, Tensor]:
    """Lower and upper corner: from any two opposite ones, or from centre and size."""
    first, second = boxes[..., :2], boxes[..., 2:]
    if centred:
        return first - second / 2, first + second / 2
    return torch.minimum(first, second), torch.maximum(first, second)


def _overlaps(low: Tensor, high: Tensor, best: Tensor) -> Tensor:
    """Intersection over union [N, C, B] of the best box of each class with every box; 0 where they only touch."""
    chosen = best.expand(-1, -1, 2).reshape(len(low), -1, 2)
    low_best, high_best = (edge.gather(1, chosen).unsqueeze(2) for edge in (low, high))
    low, high = low.unsqueeze(1), high.unsqueeze(1)
    common = (torch.minimum(high, high_best) - torch.maximum(low, low_best)).clamp(min=0).prod(-1)
    union = (high - low).prod(-1) + (high_best - low_best).prod(-1) - common
    return torch.where(common > 0, common / union, 0)


@op("TfIdfVectorizer", 9)
def tf_idf_vectorizer(
    x: Tensor, *, max_gram_length: int, max_skip_count: int, min_gram_length: int, mode: str, ngram_counts: Ints,
    ngram_indexes: Ints, pool_int64s: Ints, weights: Sequence[float] | None = None, element: OutputElement = None,
) -> Tensor:  # fmt: skip
    """How often each n-gram of the pool occurs in a row of integers, skipping up to so many between its items.

    TF: the count, IDF: the weight where it occurs, TFIDF: count times weight.
    """
    rows = x.long().reshape(-1, x.shape[-1])
    dtype = element.dtype if element else torch.float32
    counts = torch.cat(
        [
            _occurrences(rows, grams, max_skip_count, counted=min_gram_length <= grams.shape[1] <= max_gram_length)
            for grams in _pool(pool_int64s, ngram_counts, x.device)
        ],
        1,
    )
    values = counts.to(dtype) if mode != "IDF" else (counts > 0).to(dtype)
    if weights and mode != "TF":
        values = values * torch.tensor(weights, device=x.device, dtype=dtype)
    found = values.new_zeros(len(rows), max(ngram_indexes) + 1)
    found = found.index_add(1, torch.tensor(ngram_indexes, device=x.device), values)
    return found.reshape(*x.shape[:-1], -1)


def _pool(items: Ints, starts: Ints, device: torch.device) -> list[Tensor]:
    """N-grams [count, n] for n = 1, 2 .."""
    ends = (*starts[1:], len(items))
    return [
        torch.tensor(items[start:end], dtype=torch.int64, device=device).reshape(-1, n)
        for n, (start, end) in enumerate(zip(starts, ends, strict=True), start=1)
    ]


def _occurrences(rows: Tensor, grams: Tensor, most_skipped: int, *, counted: bool) -> Tensor:
    """How often each of the n-grams [G, n] occurs in each row: [rows, G]."""
    count, n = grams.shape
    total = torch.zeros(len(rows), count, dtype=torch.int64, device=rows.device)
    for step in range(1, (most_skipped if n > 1 else 0) + 2):
        reach = (n - 1) * step + 1
        if not counted or not count or reach > rows.shape[1]:
            break
        windows = rows.unfold(1, reach, 1)[:, :, ::step]
        _, kinds = torch.unique(torch.cat([grams, windows.reshape(-1, n)]), dim=0, return_inverse=True)
        seen = kinds[count:].reshape(len(rows), -1)
        table = total.new_zeros(len(rows), len(kinds)).scatter_add(1, seen, torch.ones_like(seen))
        total = total + table[:, kinds[:count]]
    return total
