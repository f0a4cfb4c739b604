"""Whether labels can be read off an input at all: what a straight line learns of them on samples it has not seen.

A network that learns its samples by heart and names no other one right may face labels that do not follow from the
input. Where a linear reader names them, the network is at fault.
"""

from typing import Final

import numpy as np

from analysis.model.weights import Array

HELD_OUT: Final = 4
"""One sample in so many is kept from training."""
RIDGE: Final = 0.1
"""Of the mean squared norm of a sample."""


def split(samples: int, seed: int) -> tuple[list[int], list[int]]:
    """Rows to train on, and rows to ask about: a random quarter, as uploads may be sorted by class."""
    rows: list[int] = np.random.default_rng((seed, 3)).permutation(samples).tolist()
    held = samples // HELD_OUT
    return rows[held:], rows[:held]


def readable_share(x: Array, labels: Array, seed: int = 0) -> float:
    """What a linear reader of x [N, F] names right of the labels [N] it has not seen: 0 as by guessing, 1 all.

    Guessing names the most frequent label. Ridge regression on one-hot labels in its dual form, centred, so that the
    number of features costs nothing (Saunders et al. 1998).
    """
    trained, held = map(np.array, split(len(labels), seed))
    classes = np.unique(labels)
    targets = (labels[trained, None] == classes[None]).astype(np.float64)
    mean = x[trained].mean(0)
    known, asked = x[trained] - mean, x[held] - mean
    gram = known @ known.T
    ridge = RIDGE * float(np.trace(gram)) / len(gram)
    if not 0 < ridge < np.inf:
        return 0.0
    weights = np.linalg.solve(gram + ridge * np.eye(len(gram)), targets - targets.mean(0))
    named = classes[(asked @ known.T @ weights + targets.mean(0)).argmax(1)]
    guessed = max(float((labels[held] == each).mean()) for each in classes)
    return (float((named == labels[held]).mean()) - guessed) / (1 - guessed) if guessed < 1 else 0.0
