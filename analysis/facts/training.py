"""Short real trainings: a run, and the probe that it belongs to."""

import math
from collections.abc import Mapping
from typing import Final

from analysis.facts.kinds import Outcome, ProbeKind, fact

LATE: Final = 0.2
"""Of chance: what a run has to come under that was given four times as many steps. Of 11 networks that train in 200
steps and had not learnt in 50, all do; of those that do not train hardly any, though the samples repeat."""
CARRIED_OVER: Final = 0.7
"""Of chance, on samples held out: of 82 recurrent networks those that train come under it, but for three."""


@fact
class StartEnd:
    """A quantity before and after training."""

    start: float
    end: float


@fact
class Run:
    """One short training."""

    optimizer: str
    momentum: float | None = None
    learning_rate: float
    seed: int
    outcome: Outcome
    curve: tuple[float, ...]
    """Loss over chance before each step and after the last."""
    held_out: tuple[float, ...] = ()
    """The same on samples that it was not trained on, every ten steps; where there are any, they decide the outcome."""
    weight_norm: StartEnd
    moved: Mapping[str, float]
    """Layer id to |W_K - W_0| / |W_0|."""

    @property
    def end(self) -> float:
        """The loss that counts: the best on samples held out, or else the last; infinite where it is no number."""
        end = min(filter(math.isfinite, self.held_out), default=math.inf) if self.held_out else self.curve[-1]
        return end if math.isfinite(end) else math.inf


@fact
class DropoutTrial:
    """A training with the graph's Dropout on, beside the same without."""

    nodes: int
    """That drop something."""
    most: float
    """The largest ratio of them."""
    without: Run
    run: Run
    """Four times as long; its last loss is taken with Dropout off."""

    @property
    def learns(self) -> bool:
        """Whether it learnt all the same."""
        return self.run.outcome is Outcome.LEARNT


@fact
class OwnLoss:
    """Trainings of a graph by its own loss."""

    steps: int
    samples: int
    unit: float
    """In parts of which curves are: the loss at the start; where that is not over 0, its size or 1."""
    runs: tuple[Run, ...]

    @property
    def start(self) -> float:
        """The loss before all runs."""
        return self.runs[0].curve[0] * self.unit

    def best(self, optimizer: str | None = None) -> Run | None:
        """The run that ends lowest, of all or with this optimiser; None where none ends in a number."""
        runs = [run for run in self.runs if optimizer in {None, run.optimizer} and math.isfinite(run.end)]
        return min(runs, key=lambda run: run.end, default=None)

    def fall(self, optimizer: str | None = None) -> float:
        """How far the best run comes down, in units; nothing where none ends in a number."""
        best = self.best(optimizer)
        return 0.0 if best is None else best.curve[0] - best.end


@fact
class TargetReading:
    """Whether targets follow from the inputs: explained shares of variance on samples not seen, 0 as by a constant."""

    samples: int
    linear: float
    """By a straight line."""
    neighbours: float
    """By the mean of the nearest neighbours."""
    permuted: float
    """The best that both came to with permuted targets: luck."""
    reference: float
    """By a small network of known health, at its best moment."""


@fact
class LargerRate:
    """The unchanged network at a learning rate it cannot take, and the same with clipping by norm."""

    without: Run
    clipped: Run
    max_norm: float


@fact
class Probe:
    """Short trainings of one variant on the sample batch; weights are restored after."""

    kind: ProbeKind
    steps: int
    samples: int
    minibatch: int
    held_out: int = 0
    """Samples kept from training, to see whether what is learnt carries over to them."""
    best_loss_over_chance: float
    """Best run of the worst seed."""
    late: bool = False
    """Runs that had not learnt were given four times as many steps, and had learnt only under 0.2 of chance."""
    unfinished: bool = False
    """They were to be given more steps, and the budget ended before."""
    runs: tuple[Run, ...]

    def learns(self, optimizer: str) -> bool:
        """Whether some run with this optimiser learnt, for every seed that was run."""
        seeds = {run.seed for run in self.runs}
        return all(
            any(run.outcome is Outcome.LEARNT for run in self.runs if run.seed == seed and run.optimizer == optimizer)
            for seed in seeds
        )

    @property
    def fails_sgd_alone(self) -> bool:
        """Whether plain gradient descent is all that a remedy has to mend."""
        return self.learns("adam") and not self.learns("sgd")
