"""Which trainings a probe consists of: optimisers, rates, steps, minibatches."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.facts import GradientStep, ProbeKind
from analysis.options import OptimizerName

ENOUGH_TO_LEARN: Final = 192  # samples
STEPS: Final = {ProbeKind.LEARNING: 50, ProbeKind.MEMORIZING: 20}
MINIBATCH: Final = 64
SMALL_MINIBATCH: Final = 32
PATIENCE: Final = {ProbeKind.LEARNING: 4, ProbeKind.MEMORIZING: 10}
"""Times as many steps for an optimiser that has not learnt; it has to come further then, see `limit_of`."""
LONGEST: Final = 800
"""Steps of a run that was granted as many again because its loss fell fast enough."""


@dataclass(frozen=True, slots=True)
class Training:
    """One run of the grid."""

    optimizer: OptimizerName
    learning_rate: float
    own: bool = False
    """Whether the user trains with it."""


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
NO_STEP: Final = GradientStep()


def in_units(rate: float, optimizer: OptimizerName, scale: float) -> float:
    """The rate for a loss that is about `scale` at chance, to the next power of ten.

    SGD's steps are proportional to the loss: what trains one of about 1 is as many times too large. Adam's are not.
    """
    if optimizer is not OptimizerName.SGD or not 0 < scale < math.inf:
        return rate
    return float(f"{rate * 10.0 ** -round(math.log10(scale)):g}")


def kind_for(samples: int) -> ProbeKind:
    """What so many samples can show."""
    return ProbeKind.LEARNING if samples >= ENOUGH_TO_LEARN else ProbeKind.MEMORIZING


def passes(kind: ProbeKind, grid: Sequence[Training], seeds: Sequence[int]) -> int:
    """Forward and backward passes a probe needs at most."""
    return STEPS[kind] * len(grid) * len(seeds)


def minibatches_of(rows: Sequence[int], kind: ProbeKind, seed: int, steps: int) -> Iterator[list[int]]:
    """Rows of each step: the same ones when memorising, epochs of shuffled ones when learning."""
    random, samples = np.random.default_rng((seed, 2)), len(rows)
    size = min(
        MINIBATCH if samples >= 2 * ENOUGH_TO_LEARN or kind is ProbeKind.MEMORIZING else SMALL_MINIBATCH, samples
    )
    if kind is ProbeKind.MEMORIZING:
        chosen = list(rows) if samples <= size else sorted(random.permutation(rows)[:size].tolist())
        for _ in range(steps):
            yield chosen
        return
    pending: list[int] = []
    for _ in range(steps):
        if len(pending) < size:
            pending = random.permutation(rows).tolist()
        yield pending[:size]
        pending = pending[size:]
