"""Which trainings a probe consists of: optimisers, rates, steps, minibatches."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.facts import GradientStep, ProbeKind
from analysis.options import OptimizerName

ENOUGH_TO_LEARN: Final = 192  # samples
ENOUGH_TO_HOLD_OUT: Final = 64  # samples, of which a quarter is
STEPS: Final = {ProbeKind.LEARNING: 50, ProbeKind.MEMORIZING: 20}
MINIBATCH: Final = 64
SMALL_MINIBATCH: Final = 32
PATIENCE: Final = {ProbeKind.LEARNING: 4, ProbeKind.MEMORIZING: 10}
"""Times as many steps for an optimiser that has not learnt; it has to come further then, see `limit_of`."""
PATIENCE_WITH_ATTENTION: Final = 3
"""The same for SGD where attention learns one batch by heart: with more steps it does so in networks that train on no
other samples. Of 165 transformers with 64 samples, 81 of which fail with SGD, 71 of these and 7 others do not come
under half of chance by then; of 75 others 41 of 48, and 4."""
SHORTEST_EPOCH: Final = 8
"""Times as many steps where minibatches are small, at most: see `as_many_samples`."""
LONGEST: Final = 800
"""Steps of a run that was granted as many again because its loss fell fast enough."""


@dataclass(frozen=True, slots=True)
class Training:
    """One run of the grid."""

    optimizer: OptimizerName
    learning_rate: float
    own: bool = False
    """Whether the user trains with it."""
    warm_up: int = 0
    """Steps over which the rate rises to its own, in a straight line."""

    def rate_at(self, step: int) -> float:
        """Of the step with this number; the first is 1."""
        return self.learning_rate * min(1.0, step / self.warm_up) if self.warm_up else self.learning_rate


GRID: Final = (
    Training(OptimizerName.SGD, 0.1),
    Training(OptimizerName.SGD, 0.01),
    Training(OptimizerName.ADAM, 3e-3),
)
THOROUGH_GRID: Final = (*GRID, Training(OptimizerName.SGD, 0.001), Training(OptimizerName.ADAM, 3e-4))
LOWER: Final = {OptimizerName.SGD: (1e-3,), OptimizerName.ADAM: (1e-3, 3e-4)}
"""Rates that are tried, in this order, where those of the grid have not learnt."""
LOWEST: Final = (1e-4, 1e-5, 1e-6, 1e-7)
"""Of SGD, where even the rate before blew up."""
HIGHER: Final = {OptimizerName.SGD: (1.0,), OptimizerName.ADAM: (0.03,)}
"""Tried before these where no matrix has more than so many weights: what a step moves grows with the units."""
FEW_WEIGHTS: Final = 64
NO_STEP: Final = GradientStep()


def in_units(rate: float, optimizer: OptimizerName, scale: float) -> float:
    """The rate for a loss that is about `scale` at chance, to the next power of ten.

    SGD's steps are proportional to the loss: what trains one of about 1 is as many times too large. Adam's are not.
    """
    if optimizer is not OptimizerName.SGD or not 0 < scale < math.inf:
        return rate
    return float(f"{rate * 10.0 ** -round(math.log10(scale)):g}")


def kind_for(samples: int, *, holds_out: bool) -> ProbeKind:
    """What so many samples can show; `holds_out`: where what is learnt by heart shows nothing."""
    enough = ENOUGH_TO_HOLD_OUT if holds_out else ENOUGH_TO_LEARN
    return ProbeKind.LEARNING if samples >= enough else ProbeKind.MEMORIZING


def passes(kind: ProbeKind, grid: Sequence[Training], seeds: Sequence[int]) -> int:
    """Forward and backward passes a probe needs at most."""
    return STEPS[kind] * len(grid) * len(seeds)


def as_many_samples(size: int | None) -> int:
    """Times as many steps for minibatches of this size as for usual ones, which see more samples in a step."""
    return 1 if size is None else min(max(SMALL_MINIBATCH // size, 1), SHORTEST_EPOCH)


def minibatches_of(
    rows: Sequence[int], kind: ProbeKind, seed: int, steps: int, size: int | None = None
) -> Iterator[list[int]]:
    """Rows of each step: the same ones when memorising, epochs of shuffled ones when learning.

    `size`: samples of a step as the user has them; what is to be memorised comes in several steps where it is small.
    """
    random, samples = np.random.default_rng((seed, 2)), len(rows)
    if kind is ProbeKind.MEMORIZING:
        chosen = list(rows) if samples <= MINIBATCH else sorted(random.permutation(rows)[:MINIBATCH].tolist())
        if size is None or size >= len(chosen):
            yield from itertools.repeat(chosen, steps)
        else:
            yield from _epochs(chosen, size, steps, random)
        return
    usual = MINIBATCH if samples >= 2 * ENOUGH_TO_LEARN else SMALL_MINIBATCH
    yield from _epochs(rows, min(size or usual, samples), steps, random)


def _epochs(rows: Sequence[int], size: int, steps: int, random: np.random.Generator) -> Iterator[list[int]]:
    """All rows in another order each time; what is left over of one is dropped."""
    pending: list[int] = []
    for _ in range(steps):
        if len(pending) < size:
            pending = random.permutation(rows).tolist()
        yield pending[:size]
        pending = pending[size:]
