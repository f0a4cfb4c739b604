"""Outputs and targets, as facts: how the output is read, between which limits it lies, what the batch asks of it.

The least loss that outputs within limits l .. u can reach, whatever the weights:

    cross-entropy over C classes    log(1 + (C - 1) exp(l - u)): u for the right one, l for all others
    binary cross-entropy            t log(1 + exp(-z)) + (1 - t) log(1 + exp(z)) at the z within limits nearest to its
                                    least, log(t / (1 - t))
    squares                         (t - the number within limits that is nearest to t)^2 / variance
    squares behind a softmax        |t - the probabilities nearest to t|^2 / variance
    yes and no behind a softmax     k log k / C where k of C classes are right, at 1 / k for each of them;
                                    log(C / (C - 1)) where none is, at 1 / C for all
"""

import math
from typing import Final

import numpy as np

from analysis.batch.far_values import far_values
from analysis.facts import OutputFacts, Provenance, TargetFacts
from analysis.graph.heads import Link
from analysis.graph.ranges import Limits, limits_of
from analysis.model.weights import Array
from analysis.options import LossName
from analysis.subject.link import DOUBLED
from analysis.subject.objective import Objective
from analysis.subject.subject import Subject
from analysis.subject.targets import IGNORED_LABEL, off_logarithms

PROBABILITIES: Final = Limits(0.0, 1.0)
SMOOTH: Final = frozenset({Link.SOFTMAX, Link.SIGMOID})
TITLES: Final = {Link.SOFTMAX: "Softmax", Link.SIGMOID: "Sigmoid", Link.LOG_SOFTMAX: "LogSoftmax"}
CLASSIFYING: Final = frozenset({LossName.CROSS_ENTROPY, LossName.NLL})
GUESSED: Final = (
    ", as PyTorch has none for class ids that takes probabilities (say options.loss nll where the logarithm of the "
    "output is what you train)"
)
TAIL: Final = 100
"""One number in so many belongs to the tail."""
FEWEST_FOR_TAIL: Final = 100


def describe_outputs(subject: Subject, values: Array) -> OutputFacts:
    """Of what the loss reads; `values`: on the batch."""
    objective, model = subject.objective, subject.model
    link = objective.link if objective.link is not Link.IDENTITY else objective.head.link
    limits = limits_of(model, objective.head.value, frozenset(subject.converted.initializers))
    if objective.name is LossName.GRAPH:
        limits = Limits(-math.inf, math.inf)
    doubled = objective.link in DOUBLED.get(objective.name, frozenset())
    may_double = _may_double(objective, link, doubled)
    units = values.shape[objective.head.axis % values.ndim] if objective.head.axis is not None and values.ndim else None
    return OutputFacts(
        reading=_reading(objective, link),
        rms=float(np.sqrt(np.square(values.astype(np.float64)).mean())) if values.size else None,
        least=limits.least if math.isfinite(limits.least) else None,
        most=limits.most if math.isfinite(limits.most) else None,
        floor=None if objective.link is Link.SOFTMAX and units == 1 else floor_of(objective, values.shape, limits),
        link=TITLES[link] if link in SMOOTH else "",
        link_units=units if link is Link.SOFTMAX else None,
        link_misses_classes=_misses_classes(objective, link, values.ndim),
        doubled=doubled,
        doubled_floor=floor_of(objective, values.shape, PROBABILITIES) if may_double else None,
        off_logarithms=off_logarithms(values, objective.class_axis) if objective.bare else None,
        guessed=doubled and objective.chosen.startswith("automatic"),
    )


def _misses_classes(objective: Objective, link: Link, rank: int) -> bool:
    """Whether the softmax at the end is taken over another axis than that of the classes."""
    axis, over = objective.head.axis, link in {Link.SOFTMAX, Link.LOG_SOFTMAX}
    return over and axis is not None and objective.name in CLASSIFYING and axis % rank != objective.class_axis


def _may_double(objective: Objective, link: Link, doubled: bool) -> bool:  # noqa: FBT001 - a fact, not a switch
    """Whether the loss would have a likeness that brings its own link, and nobody said that this one does not."""
    return doubled or (link in DOUBLED.get(objective.name, ()) and not objective.chosen.startswith("asked for"))


def _reading(objective: Objective, link: Link) -> str:
    """The sentence of the report."""
    what = {
        LossName.CROSS_ENTROPY: "as class scores", LossName.NLL: "as log-probabilities of classes",
        LossName.BCE: "as scores of yes and no", LossName.MSE: "as numbers",
    }.get(objective.name)  # fmt: skip
    if what is None:
        return "The output is the loss itself."
    name = f"Output {objective.head.output}"
    if objective.link is not Link.IDENTITY:
        behind = f"as it stands, behind the final {TITLES[objective.link]}"
        own = ", by a loss that brings its own" if objective.link in DOUBLED.get(objective.name, ()) else ""
        return f"{name} was read {behind}{own}{GUESSED if own and objective.chosen.startswith('automatic') else ''}."
    if link is not Link.IDENTITY:
        return f"{name} was read {what} in front of the final {TITLES[link]}, which the loss makes up for."
    return f"{name} was read {what}, as it stands."


def floor_of(objective: Objective, shape: tuple[int, ...], limits: Limits) -> float | None:
    """Least loss over chance that outputs within limits can reach; None where chance or targets are unknown."""
    low, high = limits
    targets, chance = objective.targets, objective.chance
    if targets is None or not chance:
        return None
    if objective.soft:
        return None
    if objective.name in CLASSIFYING:
        others = shape[objective.class_axis] - 1
        return (math.log1p(others * math.exp(low - high)) if objective.name is LossName.CROSS_ENTROPY else 0.0) / chance
    numbers = targets.astype(np.float64)
    if objective.link is Link.SOFTMAX:
        least = _floor_of_shares(objective, numbers)
        return None if least is None else least / chance
    if objective.name is LossName.BCE:
        share = np.clip(numbers, 1e-12, 1 - 1e-12)
        best = np.clip(np.log(share / (1 - share)), low, high)
        own = -(share * np.log(share) + (1 - share) * np.log(1 - share))
        loss = numbers * np.logaddexp(0, -best) + (1 - numbers) * np.logaddexp(0, best)
        return max(float((loss - own).mean()), 0.0) / chance
    return float(np.square(numbers - np.clip(numbers, low, high)).mean()) / objective.scale / chance


def _floor_of_shares(objective: Objective, numbers: Array) -> float | None:
    """Least loss of probabilities that add up to 1 along the axis of the softmax; None for a yes in parts."""
    assert objective.head.axis is not None
    rows = np.moveaxis(numbers, objective.head.axis, -1).reshape(-1, numbers.shape[objective.head.axis])
    if objective.name is LossName.BCE:
        if not np.isin(rows, (0, 1)).all():
            return None
        right, classes = rows.sum(1), rows.shape[1]
        several = np.maximum(right, 1.0)
        losses = np.where(right, several * np.log(several) / classes, np.log(classes / (classes - 1)))
        return float(losses.mean())
    return float(np.square(rows - _nearest_probabilities(rows)).mean()) / objective.scale


def _nearest_probabilities(rows: Array) -> Array:
    """Of each row the nearest point of the simplex: max(t - b, 0) for the b at which they add up to 1.

    Duchi et al. 2008 (Efficient projections onto the l1-ball, figure 1).
    """
    down = -np.sort(-rows, axis=1)
    over = (down.cumsum(1) - 1) / np.arange(1, rows.shape[1] + 1)
    last = (down > over).sum(1, keepdims=True) - 1
    return np.maximum(rows - np.take_along_axis(over, last, 1), 0)


def describe_targets(objective: Objective, classes: int | None) -> TargetFacts | None:
    """Of targets that were sent; `classes`: that the outputs can tell apart."""
    targets = objective.targets
    if targets is None or not targets.size or objective.provenance is not Provenance.UPLOADED:
        return None
    if objective.name in CLASSIFYING:
        counted = targets.argmax(objective.class_axis) if objective.soft else targets[targets != IGNORED_LABEL]
        return _counts("labels", counted.astype(np.float64), classes) if counted.size else None
    numbers = targets.astype(np.float64)
    if objective.name is LossName.BCE:
        single = math.prod(targets.shape[1:]) == 1 and bool(np.isin(targets, (0, 1)).all())
        return _counts("bits", numbers, 2) if single else _moments("bits", numbers)
    return _moments("numbers", numbers)


def _moments(kind: str, numbers: Array, **more: float | None) -> TargetFacts:
    rows = numbers.reshape(len(numbers), -1) if numbers.ndim else numbers.reshape(1, 1)
    far = far_values(rows, len(rows)) if kind == "numbers" else None
    return TargetFacts(
        kind=kind,
        least=float(numbers.min()),
        most=float(numbers.max()),
        mean=float(numbers.mean()),
        std=float(np.sqrt(rows.var(0).mean())),
        rms=float(np.sqrt(np.square(numbers).mean())),
        tail_share=_tail_share(rows) if kind == "numbers" else None,
        far_decades=None if far is None else math.log10(far.times),
    )


def _tail_share(rows: Array) -> float | None:
    """Of the squares of deviations from the mean of each output, in its own deviations."""
    deviation = rows.std(0)
    if rows.size < FEWEST_FOR_TAIL or not (deviation > 0).any():
        return None
    squares = np.sort(np.square((rows - rows.mean(0))[:, deviation > 0] / deviation[deviation > 0]).reshape(-1))
    return float(squares[-max(len(squares) // TAIL, 1) :].sum() / squares.sum())


def _counts(kind: str, labels: Array, classes: int | None) -> TargetFacts:
    _, counts = np.unique(labels, return_counts=True)
    moments = _moments(kind, labels)
    return TargetFacts(
        kind=kind,
        least=moments.least,
        most=moments.most,
        mean=moments.mean,
        std=moments.std,
        rms=moments.rms,
        classes=classes,
        present=len(counts),
        rarest_share=float(counts.min() / counts.sum()),
        imbalance=float(counts.max() / counts.min()),
    )
