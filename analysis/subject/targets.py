"""Targets as they fit logits: class ids, probabilities of classes, or numbers; and the entropies that are chance."""

from typing import Final

import numpy as np

from analysis.errors import BadBatch
from analysis.graph.heads import Head
from analysis.model.weights import Array
from analysis.options import LossName

ADDS_UP: Final = 1e-3
"""How far probabilities of classes may be from one, as rounded to three digits."""
IGNORED_LABEL: Final = -100
"""Positions with this label count for nothing (torch's convention)."""


def class_axis(head: Head, logits: Array, targets: Array) -> int | None:
    """The axis of the logits that counts classes, or None where nothing says so.

    That of the softmax, unless the targets only fit another one: it is taken over the steps then, by mistake.
    """
    if logits.ndim < 2:
        return None
    candidates = [*([] if head.axis is None else [head.axis % logits.ndim]), 1, logits.ndim - 1]
    candidates = [axis for axis in candidates if logits.shape[axis] > 1]
    for axis in candidates:
        if logits.shape[:axis] + logits.shape[axis + 1 :] == targets.shape or _is_one_hot(logits, targets, axis):
            return axis
    shares = (axis for axis in candidates if as_shares(logits, targets, axis) is not None)
    if (found := next(shares, None)) is not None:
        return found
    column = tuple(size for size in targets.shape if size != 1) == logits.shape[:1]
    return 1 if logits.ndim == 2 and logits.shape[1] > 1 and column else None


def _is_one_hot(logits: Array, targets: Array, axis: int) -> bool:
    return targets.shape == logits.shape and bool(np.isin(targets, (0, 1)).all() and (targets.sum(axis) == 1).all())


def as_shares(logits: Array, targets: Array, axis: int | None) -> Array | None:
    """Probabilities of classes, where the targets are shaped like the logits and add up to one along the classes."""
    if axis is None or targets.shape != logits.shape or targets.dtype.kind != "f" or not targets.size:
        return None
    sums = targets.astype(np.float64).sum(axis)
    probable = bool((targets >= 0).all() and (np.abs(sums - 1) < ADDS_UP).all())
    return targets.astype(np.float64 if targets.dtype == np.float64 else np.float32) if probable else None


def all_but(values: Array, axis: int) -> tuple[int, ...]:
    """The other axes."""
    return tuple(each for each in range(values.ndim) if each != axis)


def mean_entropy(shares: Array, axis: int) -> float:
    """Of probabilities along an axis, in nats, mean over all others."""
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return float(-(shares * logs).sum(axis).mean())


def off_logarithms(values: Array, axis: int) -> float:
    """|log sum exp| along an axis, the largest: 0 of logarithms of probabilities; and where a value is no number."""
    exact = values.astype(np.float64)
    sums = np.logaddexp.reduce(exact, axis) if exact.size and np.isfinite(exact).all() else np.zeros(1)
    return float(np.abs(sums).max())


def as_labels(logits: Array, targets: Array, axis: int, wanted: LossName) -> Array | None:
    """Class ids, where the targets can be read as such. Raises BadBatch for ids that are no class."""
    classes = logits.shape[axis]
    if targets.shape == logits.shape:
        return targets.argmax(axis).astype(np.int64) if _is_one_hot(logits, targets, axis) else None
    if targets.dtype.kind not in "iub" and not bool((targets == np.floor(targets)).all()):
        return None
    labels = targets.astype(np.int64).reshape(logits.shape[:axis] + logits.shape[axis + 1 :])
    valid = (labels == IGNORED_LABEL) | ((labels >= 0) & (labels < classes))
    if not valid.all() and (targets.dtype.kind in "iub" or wanted in {LossName.CROSS_ENTROPY, LossName.NLL}):
        counted = labels[labels != IGNORED_LABEL]
        low, high = int(counted.min()), int(counted.max())
        raise BadBatch(
            f"class ids must lie in 0..{classes - 1}, given {low}..{high}",
            where="target",
            hint="they are counted from 0: subtract 1" if (low, high) == (1, classes) else (
                f"number the classes from 0; what is to be left out is {IGNORED_LABEL}"
            ),
        )  # fmt: skip
    return labels if valid.all() else None


def as_numbers(head: Head, logits: Array, targets: Array) -> Array:
    """One for each of the logits, in their shape. Raises BadBatch."""
    if targets.size == logits.size and (targets.shape[:1] == logits.shape[:1] or head.before_layout):
        return targets.reshape(logits.shape).astype(np.float64 if targets.dtype == np.float64 else np.float32)
    check_count(head, logits, targets)
    raise BadBatch(
        f"expected targets of shape {list(logits.shape)} for output {head.output}, given {list(targets.shape)}",
        where="target",
        hint="or class ids, one per sample",
    )


def check_count(head: Head, logits: Array, targets: Array) -> None:
    """Raises BadBatch where there are more or fewer targets than samples, whatever their shape is besides."""
    samples, given = logits.shape[:1], targets.shape[:1]
    if given != samples and len(given) == len(samples) == 1:
        raise BadBatch(
            f"{given[0]} targets for {samples[0]} samples (output {head.output} is {list(logits.shape)}, the targets "
            f"are {list(targets.shape)})",
            where="target",
            hint="send one target for each sample",
        )


def one_hot(labels: Array, classes: int, axis: int) -> Array:
    """A sigmoid for each class asks for one bit a class; an ignored label has none."""
    return np.moveaxis(labels[..., None] == np.arange(classes), -1, axis)


def label_entropy(labels: Array, classes: int) -> float:
    """Of the frequencies of class ids, in nats; ignored ones are none."""
    counted = labels[labels != IGNORED_LABEL]
    counts = np.bincount(counted.reshape(-1).astype(np.int64), minlength=classes)
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(max(-(shares * np.log(shares)).sum(), 0.0)) if len(shares) > 1 else 0.0


def binary_entropy(shares: Array) -> float:
    """Of shares of yes, in nats, mean over them; 0 where all or none are."""
    within = shares[(shares > 0) & (shares < 1)]
    total = -(within * np.log(within) + (1 - within) * np.log(1 - within)).sum()
    return float(total / max(shares.size, 1))
