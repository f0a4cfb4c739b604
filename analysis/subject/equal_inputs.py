"""The least loss that is left to whoever answers equal inputs alike, as networks do that see samples one by one.

Within a group of samples whose inputs are equal the best answer is the mean target m of each place:

    cross-entropy     entropy of the labels of the place in the group; of shares the mean of sum t log(t / m)
    binary            mean of t log(t / m) + (1 - t) log((1 - t) / (1 - m))
    squares           mean of (t - m)^2 / variance

over chance: 1 where all inputs are equal, 0 where no two samples are equal that are asked for different things.
"""

import hashlib

import numpy as np

from analysis.batch import Batch
from analysis.facts import Provenance
from analysis.model.weights import Array
from analysis.options import LossName
from analysis.subject.objective import Objective
from analysis.subject.subject import Subject
from analysis.subject.targets import IGNORED_LABEL


def floor_of_equal_inputs(subject: Subject) -> float | None:
    """Over chance; None where samples are no rows of their own, or targets or chance are unknown."""
    objective, batch = subject.objective, subject.batch
    if batch.provenance is Provenance.SYNTHETIC or objective.provenance is not Provenance.UPLOADED:
        return None
    targets = objective.targets
    if targets is None or not objective.chance or len(targets) != batch.size or not subject.rows.cut:
        return None
    groups = groups_of(batch)
    return None if groups is None else left_within(objective, targets, groups) / objective.chance


def groups_of(batch: Batch) -> Array | None:
    """Of each sample the number of its group; None where an input is no row of numbers a sample."""
    if belongs_to_all(batch):
        return None
    digests = [hashlib.blake2b(digest_size=16) for _ in range(batch.size)]
    for name, array in batch.inputs.items():
        axis = batch.axes[name]
        if axis is None:
            continue
        for digest, row in zip(digests, np.moveaxis(array, axis, 0), strict=True):
            digest.update(np.ascontiguousarray(row).tobytes())
    numbers = {digest: number for number, digest in enumerate(dict.fromkeys(each.digest() for each in digests))}
    return np.array([numbers[each.digest()] for each in digests])


def belongs_to_all(batch: Batch) -> bool:
    """Whether an input belongs to all samples together, as the edges of a graph do, or is missing."""
    return not batch.inputs or any(batch.axes[name] is None and array.size > 1 for name, array in batch.inputs.items())


def left_within(objective: Objective, targets: Array, groups: Array) -> float:
    """The loss of the best answer to each group, in the units of the loss as it is read."""
    if objective.name in {LossName.CROSS_ENTROPY, LossName.NLL} and not objective.soft:
        return _entropy_of_labels(targets.reshape(len(targets), -1), groups)
    rows = targets.reshape(len(targets), -1).astype(np.float64)
    counts = np.bincount(groups)
    sums = np.zeros((len(counts), rows.shape[1]))
    np.add.at(sums, groups, rows)
    means = (sums / counts[:, None])[groups]
    if objective.soft:
        return float(_divergence(rows, means).sum() / (targets.size / targets.shape[objective.class_axis]))
    if objective.name is LossName.BCE:
        return float((_divergence(rows, means) + _divergence(1 - rows, 1 - means)).mean())
    return float(np.square(rows - means).mean()) / objective.scale


def _divergence(shares: Array, means: Array) -> Array:
    """T log(t / m); 0 for t = 0."""
    ratio: Array = np.divide(shares, means, out=np.ones_like(shares), where=shares > 0)
    return shares * np.log(ratio)


def _entropy_of_labels(labels: Array, groups: Array) -> float:
    """Of the labels of each place in each group, mean over all that count."""
    places = groups[:, None] * labels.shape[1] + np.arange(labels.shape[1])
    counted = labels != IGNORED_LABEL
    pairs, counts = np.unique(np.stack([places[counted], labels[counted]]), axis=1, return_counts=True)
    whole = np.unique(pairs[0], return_inverse=True)[1].reshape(-1)
    totals = np.bincount(whole, weights=counts)[whole]
    return float(-(counts * np.log(counts / totals)).sum() / max(counts.sum(), 1))
