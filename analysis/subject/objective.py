"""The loss that pass A differentiates, and why this one.

Losses are read off the logits (`analysis.graph.heads`) where nothing speaks against it (`analysis.subject.link`), and
reduced by the mean over samples and positions. Read they are from 0 on, over chance: mean squared error is divided by
the variance of the targets, so that 1 is chance everywhere but in classification, where chance is the entropy of the
label frequencies; from cross-entropy the entropy of soft targets is taken off, which no output gets rid of.
Training undoes the division (`Objective.scale`), so that rates are those of the user's own loss.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.batch import Batch
from analysis.errors import BadBatch, BadOptions, NodeFailed
from analysis.facts import Provenance
from analysis.graph.heads import Head, Link
from analysis.graph.ranges import EVERYTHING, Limits
from analysis.model.weights import Array
from analysis.options import LossName
from analysis.subject.invented import invent
from analysis.subject.link import read_by, values_behind
from analysis.subject.targets import (
    IGNORED_LABEL,
    all_but,
    as_labels,
    as_numbers,
    as_shares,
    binary_entropy,
    check_count,
    class_axis,
    label_entropy,
    mean_entropy,
    off_logarithms,
    one_hot,
)

SAME_SCALE: Final = 30.0
"""Within this factor outputs have the scale of their targets; a fresh network's differ a twentieth as much at least."""
ROUNDED_LOGARITHMS: Final = 0.05
"""Nats that sums of probabilities are off by where their logarithms are of half precision, or have an epsilon."""
NO_LOGARITHMS: Final = "asked for nll, of scores that are no logarithms of probabilities: read by cross-entropy"
NO_CHANCE: Final = 1e-9
"""Nothing is left to learn: rounding, where an entropy is the difference of two."""


@dataclass(frozen=True, eq=False)
class Objective:
    """A loss over the logits of one head."""

    name: LossName
    chosen: str
    head: Head
    targets: Array | None
    """Along axis 0: samples. Class ids [N, ..], or numbers shaped like the logits, of cross-entropy the probability of
    each class; None: the graph's own loss."""
    class_axis: int
    scale: float
    """What mean squared error, or the graph's own loss, is divided by."""
    chance: float | None
    provenance: Provenance
    absent_chance: str = ""
    """Why there is no chance level."""
    spread: float = 1.0
    """Standard deviation over samples of outputs that are numbers, root mean square over them."""
    link: Link = Link.IDENTITY
    """A softmax or sigmoid of the graph that the loss is taken behind."""
    bare: bool = False
    """The user's nll is taken of scores that no softmax made logarithms of: it has no floor. Read by cross-entropy."""

    def over_chance(self, loss: float) -> float:
        """A loss as it is read: 1 at chance. There has to be a chance level."""
        assert self.chance is not None
        return loss / self.chance

    def on(self, targets: Array) -> "Objective":
        """The same loss of these targets, some of its own, which have a chance level of their own."""
        chance = _chance_of(self.name, targets, self.class_axis) / self.scale
        return replace(self, targets=targets, chance=chance if chance > NO_CHANCE else None)

    @property
    def unit(self) -> float:
        """What one step of the outputs is worth; 1 for logits.

        Of numbers the deviation of the targets where that of the outputs is near: a network that writes millimetres
        is measured in them. Else the middle one of 1 and both: targets that the outputs are far from change nothing.
        """
        is_near = self.spread < SAME_SCALE * self.deviation and self.deviation < SAME_SCALE * self.spread
        return self.deviation if is_near else sorted((1.0, self.spread, self.deviation))[1]

    @property
    def deviation(self) -> float:
        """The deviation of targets that are numbers, 1 for others."""
        return math.sqrt(self.scale)

    @property
    def soft(self) -> bool:
        """Whether targets are the probabilities of classes."""
        return self.name is LossName.CROSS_ENTROPY and self.targets is not None and self.targets.dtype.kind == "f"

    def axis_of_targets(self, axis: int) -> int | None:
        """Which axis of the targets is this one of the logits: class ids have none for the classes."""
        if self.name not in {LossName.CROSS_ENTROPY, LossName.NLL} or axis < self.class_axis or self.soft:
            return axis
        return axis - 1 if axis > self.class_axis else None

    def loss(self, logits: torch.Tensor, targets: torch.Tensor | None) -> torch.Tensor:
        """Scalar, mean over samples and positions. Raises NodeFailed where other weights make other shapes."""
        if targets is None or self.name is LossName.GRAPH:
            return logits.reshape(()) / self.scale
        self._check_shape(logits, targets)
        if self.soft:
            shares = targets.to(logits.dtype).movedim(self.class_axis, 1)
            own = torch.xlogy(shares, shares).sum(1).mean()
            return F.cross_entropy(logits.movedim(self.class_axis, 1), shares) + own
        if self.name is LossName.CROSS_ENTROPY:
            return F.cross_entropy(logits.movedim(self.class_axis, 1), targets, ignore_index=IGNORED_LABEL)
        if self.name is LossName.NLL:
            return F.nll_loss(logits.movedim(self.class_axis, 1), targets, ignore_index=IGNORED_LABEL)
        if self.name is LossName.BCE:
            return self._binary(logits, targets.to(logits.dtype))
        return F.mse_loss(logits, targets.to(logits.dtype)) / self.scale

    def reach(self, outputs: torch.Tensor) -> float:
        """How far under chance the loss may come, at most, in parts of it, as far as these outputs differ at all.

        Outputs that are the same for all samples (scores of classes: and positions) are a constant prediction, which
        comes to chance. From that a mean squared error comes down by less than 2 d over the deviation of the targets, d
        being how far the furthest output lies from the mean one; a cross-entropy, whose gradient is shorter than 2, by
        less than 2 d. Infinite where nothing is known: behind a softmax or sigmoid.
        """
        if self.name is LossName.GRAPH or self.link is not Link.IDENTITY or not self.chance or not outputs.numel():
            return math.inf
        values, classes = outputs.detach(), self.name in {LossName.CROSS_ENTROPY, LossName.NLL}
        others = [axis for axis in range(values.ndim) if axis != self.class_axis] if classes else [0]
        squares = (values - values.mean(others, keepdim=True)).square_()
        furthest = (squares.sum(self.class_axis) if classes else squares).max()
        return 2 * math.sqrt(float(furthest)) / (self.deviation * self.chance)

    def _check_shape(self, logits: torch.Tensor, targets: torch.Tensor) -> None:
        """No broadcasting: a target belongs to each number, or to each place that has a number for each class."""
        labels = self.name in {LossName.CROSS_ENTROPY, LossName.NLL} and not self.soft
        places = [size for axis, size in enumerate(logits.shape) if not labels or axis != self.class_axis]
        if places != list(targets.shape):
            shapes = f"{list(logits.shape)} where targets are {list(targets.shape)}"
            raise NodeFailed(f"the shape of the output depends on the weights: {shapes}", where=self.head.value)

    def _binary(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy over the entropy of the targets, which is 0 for bits."""
        if self.link is Link.SOFTMAX:  # over one unit
            loss = F.binary_cross_entropy(logits.clamp(0, 1), targets)
        else:
            loss = F.binary_cross_entropy_with_logits(logits, targets)
        return loss + (torch.xlogy(targets, targets) + torch.xlogy(1 - targets, 1 - targets)).mean()


def choose_objective(
    heads: Sequence[Head],
    logits: Mapping[str, Array],
    batch: Batch,
    wanted: LossName,
    *,
    trained: bool,
    seed: int,
    takes_logits: bool = False,
    limits: Callable[[str], Limits] = lambda _: EVERYTHING,
) -> Objective:
    """The loss for the first head that has a target, or for the first head with synthetic ones.

    `logits` are the values of the heads on this batch; `takes_logits`: losses for class ids take nothing else where
    this model comes from; `limits`: between which a value lies whatever the weights are.

    Raises BadBatch (targets do not fit), BadOptions.
    """
    head, targets = _head_with_target(heads, batch, logits)
    if targets is not None:
        _check_unit(head)
    values = logits[head.value]
    if values.size == 1 and (wanted is LossName.GRAPH or (targets is None and _is_own_loss(heads, values, batch))):
        which = "only" if len(heads) == 1 else "first"
        reason = f"the graph's {which} output is a scalar: its own loss"
        absent = "the loss is the graph's own, its value for a constant prediction is unknown"
        return Objective(LossName.GRAPH, reason, head, None, 0, 1.0, None, Provenance.NOT_NEEDED, absent)
    if wanted is LossName.GRAPH:
        raise BadOptions(f"output {head.output} is no scalar: {list(values.shape)}", where="options.loss")
    read = read_by(head, values, targets, wanted, takes_logits=takes_logits and not trained)
    if targets is None:
        made = invent(read, values, wanted, batch, limits(read.value), trained=trained, seed=seed)
        objective = _fitting(read, values, made.targets, made.loss, Provenance.SYNTHETIC, made.why)
    else:
        within = limits(read.value) if read is head else EVERYTHING
        objective = _fitting(read, values, targets, wanted, Provenance.UPLOADED, "", within)
    if read is not head:
        objective = replace(objective, link=head.link)
    return with_spread(objective, values if read is head else values_behind(head, values))


def with_spread(objective: Objective, outputs: Array) -> Objective:
    """The same for outputs with these values on the batch."""
    if objective.name is not LossName.MSE or not outputs.ndim:
        return objective
    spread = np.sqrt(outputs.reshape(len(outputs), -1).astype(np.float64).var(0).mean())
    return replace(objective, spread=float(spread) if np.isfinite(spread) else 1.0)


def _head_with_target(heads: Sequence[Head], batch: Batch, logits: Mapping[str, Array]) -> tuple[Head, Array | None]:
    """The head that a target names, else the first; targets of samples pass over a scalar, which may be a loss."""
    for head in heads:
        for name in (head.output, *head.read_also_by):
            if name in batch.targets:
                return head, batch.targets[name]
    named = [name for name in batch.targets if name]
    if named:
        raise BadBatch(
            f"output {named[0]} has no gradient to train it",
            where=f"target.{named[0]}",
            hint=f"targets can go to {', '.join(head.output for head in heads)}",
        )
    unnamed = batch.targets.get("")
    if unnamed is not None and unnamed.ndim:
        return next((head for head in heads if logits[head.value].ndim), heads[0]), unnamed
    return heads[0], unnamed


def _check_unit(head: Head) -> None:
    """No target is held against a value in another unit than the output that it is for. Raises BadBatch."""
    if head.converted:
        raise BadBatch(
            f"output {head.output} is made of whole numbers, through which no loss comes",
            where=f"target.{head.output}",
            hint=f"add {head.value} to the graph's outputs and send a target for that, or send none",
        )


def _is_own_loss(heads: Sequence[Head], values: Array, batch: Batch) -> bool:
    """A scalar, first or alone, as modules answer that are handed their labels: loss, logits.

    Not like this: one number of shape [1] beside other outputs, which may be the answer to one sample.
    """
    return values.ndim == 0 or (len(heads) == 1 and values.ndim == 1 and batch.size > 1)


# ------------------------------------------------------------------ uploaded targets


def _fitting(
    head: Head,
    logits: Array,
    targets: Array,
    wanted: LossName,
    provenance: Provenance,
    why: str,
    limits: Limits = EVERYTHING,
) -> Objective:
    """Read the targets the one way that fits the logits, which lie within limits."""
    axis = class_axis(head, logits, targets)
    labels = as_labels(logits, targets, axis, wanted) if axis is not None else None
    name, reason = (wanted, "asked for")
    if wanted is LossName.AUTOMATIC:
        are_shares = as_shares(logits, targets, axis) is not None
        name, reason = _automatic(head, targets, labels, are_shares=are_shares, reaches=_reaches(limits))
    if name is LossName.NLL and head.link in {Link.SOFTMAX, Link.LOG_SOFTMAX}:
        name, reason = LossName.CROSS_ENTROPY, "asked for: nll of a softmax is the cross-entropy of its logits"
    bare = name is LossName.NLL and axis is not None and off_logarithms(logits, axis) > ROUNDED_LOGARITHMS
    if bare:
        name, reason = LossName.CROSS_ENTROPY, NO_LOGARITHMS
    chosen = why or reason
    shares = as_shares(logits, targets, axis) if labels is None and name is LossName.CROSS_ENTROPY else None
    if shares is not None and axis is not None:
        chosen = f"{chosen}, counted from their entropy of {mean_entropy(shares.astype(np.float64), axis):.3f}"
        return _objective(name, chosen, head, shares, axis, 1.0, _chance_of(name, shares, axis), provenance)
    if name in {LossName.CROSS_ENTROPY, LossName.NLL}:
        labels, axis = _class_targets(head, logits, targets, labels, axis)
        chance = _chance_of(name, labels, axis)
        return replace(_objective(name, chosen, head, labels, axis, 1.0, chance, provenance), bare=bare)
    if name is LossName.BCE and labels is not None and axis is not None and targets.shape != logits.shape:
        targets = one_hot(labels, logits.shape[axis], axis)
    numbers = as_numbers(head, logits, targets)
    if name is LossName.BCE:
        if numbers.min() < 0 or numbers.max() > 1:
            raise BadBatch("binary cross-entropy needs targets within [0, 1]", where="target")
        own = binary_entropy(numbers.astype(np.float64))
        if own > 0:
            chosen = f"{chosen}, counted from their entropy of {own:.3f}"
        return _objective(name, chosen, head, numbers, 0, 1.0, _chance_of(name, numbers, 0), provenance)
    variance = (
        float(np.var(numbers.reshape(len(numbers), -1).astype(np.float64), axis=0).mean()) if numbers.ndim else 0.0
    )
    return _objective(LossName.MSE, chosen, head, numbers, 0, variance or 1.0, 1.0 if variance else 0.0, provenance)


def _objective(
    name: LossName, chosen: str, head: Head, targets: Array, axis: int, scale: float, chance: float,
    provenance: Provenance,
) -> Objective:  # fmt: skip
    if chance > NO_CHANCE:
        return Objective(name, chosen, head, targets, axis, scale, chance, provenance)
    reason = "all targets of the batch are equal, so a constant prediction is perfect"
    return Objective(name, chosen, head, targets, axis, scale, None, provenance, reason)


def _chance_of(name: LossName, targets: Array, axis: int) -> float:
    """Loss of the best constant prediction, from 0 on: of class ids, shares of classes along an axis, or numbers."""
    if name in {LossName.CROSS_ENTROPY, LossName.NLL} and targets.dtype.kind != "f":
        return label_entropy(targets, 0)
    exact = targets.astype(np.float64)
    if name in {LossName.CROSS_ENTROPY, LossName.NLL}:
        return mean_entropy(exact.mean(all_but(exact, axis), keepdims=True), axis) - mean_entropy(exact, axis)
    rows = exact.reshape(len(exact), -1)
    if name is LossName.BCE:
        return binary_entropy(rows.mean(0)) - binary_entropy(rows)
    return float(rows.var(0).mean())


def _reaches(limits: Limits) -> bool:
    """Whether outputs that are bounded, as those of tanh, get to 0 and 1: they are no scores, which need more room."""
    return -math.inf < limits.least <= 0 and 1 <= limits.most < math.inf


def _automatic(
    head: Head, targets: Array, labels: Array | None, *, are_shares: bool, reaches: bool
) -> tuple[LossName, str]:
    """`reaches`: the outputs are bounded, and 0 and 1 are within their bounds."""
    kind = "integer" if targets.dtype.kind in "iub" else "float"
    tail = {
        Link.IDENTITY: "logits output",
        Link.SOFTMAX: "softmax output, read at its logits",
        Link.LOG_SOFTMAX: "log-softmax output, read at its logits",
        Link.SIGMOID: "sigmoid output, read at its logits",
    }[head.link]
    if labels is not None and head.link is not Link.SIGMOID:
        return LossName.CROSS_ENTROPY, f"automatic: {kind} class targets, {tail}"
    if are_shares and head.link in {Link.SOFTMAX, Link.LOG_SOFTMAX}:
        return LossName.CROSS_ENTROPY, f"automatic: rows that are probabilities of classes, {tail}"
    binary = bool(np.isin(targets, (0, 1)).all())
    if binary and reaches and head.link is Link.IDENTITY:
        return LossName.MSE, f"automatic: {kind} targets of 0 and 1, within the bounds of the output"
    if head.link is Link.SIGMOID or binary:
        return LossName.BCE, f"automatic: {kind} targets of 0 and 1, {tail}"
    return LossName.MSE, f"automatic: {kind} targets, {tail}"


def _class_targets(
    head: Head, logits: Array, targets: Array, labels: Array | None, axis: int | None
) -> tuple[Array, int]:
    if labels is not None and axis is not None:
        return labels, axis
    check_count(head, logits, targets)
    raise BadBatch(
        f"class ids do not fit output {head.output} of shape {list(logits.shape)}: given {list(targets.shape)}",
        where="target",
        hint="send one id per sample (and position), one-hot rows, or rows of probabilities that add up to 1",
    )
