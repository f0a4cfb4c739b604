"""Where the loss is taken: at the logits in front of the graph's Softmax or Sigmoid, or at what the graph puts out.

A probability at the end is read at its logits, which is what training by its likelihood comes to. It is read as it
stands where the user says so, or where nothing else is possible:

    Softmax, loss cross_entropy; Sigmoid, loss bce      these bring their own: it is doubled
    Softmax or Sigmoid, loss mse                        squares are taken of probabilities
    Softmax, loss bce                                   yes and no of probabilities that add up to 1
    Sigmoid, targets outside of 0 to 1                  no likelihood has them: squares
    Softmax, numbers that are no shares of a whole      no cross-entropy has them: squares, or yes and no of each class
    Softmax over one unit                               1, whatever the logit is
    Softmax, class ids, an untrained network of PyTorch  no loss of PyTorch takes class ids for probabilities

A negative log-likelihood (nll) of a softmax is the cross-entropy of its logits.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from analysis.graph.heads import Head, Link
from analysis.model.weights import Array
from analysis.options import LossName
from analysis.subject.targets import as_labels, as_shares

PLAINLY: Final = frozenset({"Softmax", "Sigmoid", "LogSoftmax", "Identity", "Dropout"})
"""Operators behind the logits that leave an output of floats in the shape of the logits."""
DOUBLED: Final = {
    LossName.CROSS_ENTROPY: frozenset({Link.SOFTMAX, Link.SIGMOID}),
    LossName.BCE: frozenset({Link.SIGMOID}),
}
"""The links of a graph that a loss puts its own behind, where it is asked for by its name."""


def read_by(head: Head, logits: Array, targets: Array | None, wanted: LossName, *, takes_logits: bool = False) -> Head:
    """The head at the value that the loss is taken of; `takes_logits`: losses for class ids take nothing else."""
    if head.link is Link.IDENTITY or not (head.before_layout or PLAINLY.issuperset(head.stripped)):
        return head
    guessed = takes_logits and wanted is LossName.AUTOMATIC and _are_class_ids(head, logits, targets)
    doubled = guessed or head.link in DOUBLED.get(wanted, frozenset())
    plain = wanted is LossName.MSE or (wanted is LossName.BCE and head.link is Link.SOFTMAX)
    plain = plain or (wanted is LossName.AUTOMATIC and _is_out_of_reach(head, logits, targets))
    if doubled or plain or units_of_softmax(head, logits) == 1:
        return replace(head, value=head.before_layout or head.output, link=Link.IDENTITY, stripped=())
    return head


def units_of_softmax(head: Head, logits: Array) -> int | None:
    """Over how many units the softmax at the end is taken."""
    if head.link is not Link.SOFTMAX or head.axis is None or not logits.ndim:
        return None
    return int(logits.shape[head.axis % logits.ndim])


def values_behind(head: Head, logits: Array) -> Array:
    """What the graph puts out for these logits."""
    values = logits.astype(np.float64)
    if head.link is Link.SIGMOID:
        return np.asarray(0.5 * (1 + np.tanh(values / 2)))
    if head.link is Link.IDENTITY or head.axis is None or not values.ndim:
        return values
    axis = head.axis % values.ndim
    shifted = values - values.max(axis, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
    return np.asarray(logs if head.link is Link.LOG_SOFTMAX else np.exp(logs))


def _are_class_ids(head: Head, logits: Array, targets: Array | None) -> bool:
    """Whether integers name one unit of a softmax each."""
    units = units_of_softmax(head, logits)
    if targets is None or units is None or targets.dtype.kind not in "iu":
        return False
    return targets.size * units == logits.size


def _is_out_of_reach(head: Head, logits: Array, targets: Array | None) -> bool:
    """Whether numbers of the shape of the output lie where no probability does, or do not add up to 1 as those do."""
    if targets is None or targets.size != logits.size:
        return False
    if head.link is Link.SIGMOID:
        return bool(targets.min() < 0 or targets.max() > 1)
    if head.link is not Link.SOFTMAX or head.axis is None or targets.shape != logits.shape:
        return False
    axis = head.axis % logits.ndim
    shares = as_shares(logits, targets, axis)
    return shares is None and as_labels(logits, targets, axis, LossName.AUTOMATIC) is None
