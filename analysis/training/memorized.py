"""Which samples a network is to learn by heart: fewer, where a step over all of them is dear.

Only convolutional networks are so dear that it decides what a budget shows, and of 60 of these 8 samples each told as
much as 32 (`docs/performance.md`). The price is counted in multiplications: it is the same on every machine.
"""

import math
from typing import Final

import numpy as np

from analysis.facts import is_matrix
from analysis.model.weights import Array
from analysis.subject.subject import Subject

CONVOLUTIONS: Final = frozenset({"Conv", "ConvTranspose"})
DEAR: Final = 1e9
"""Multiplications of convolutions in a forward pass over all samples: up to this, none is left out."""
FEWEST: Final = 8
"""Samples, however dear they are."""


def affordable(subject: Subject) -> int:
    """How many of its samples are to be learnt by heart at most."""
    price = multiplications(subject) / subject.batch.size
    return subject.batch.size if not price else max(FEWEST, int(DEAR / price))


def few_of(subject: Subject, count: int) -> Subject:
    """The same on so many of its samples; on all where the graph takes no fewer, or they leave nothing to learn."""
    samples, targets = subject.batch.size, subject.objective.targets
    if count >= samples or targets is None or len(targets) != samples or not subject.cuts:
        return subject
    few = subject.on(spread(targets.reshape(samples, -1).mean(1), count))
    return subject if few.objective.chance is None else few


def multiplications(subject: Subject) -> int:
    """Of convolutions in a forward pass over the batch: each weight once for every place of their output.

    [N, C, H, W] has N H W places.
    """
    layers = {layer.output: layer for layer in subject.layers if layer.op in CONVOLUTIONS}
    total = 0
    for output, (samples, _, *places) in subject.shapes(set(layers)).items():
        weights = (math.prod(info.shape) for role, info in layers[output].parameters.items() if is_matrix(role))
        total += sum(weights) * samples * math.prod(places)
    return total


def spread(values: Array, count: int) -> list[int]:
    """So many rows of all, from the smallest value to the largest: every class has its share."""
    places = np.linspace(0, len(values) - 1, count).round().astype(int)
    return sorted(np.argsort(values, kind="stable")[places].tolist())
