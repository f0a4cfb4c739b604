"""Short real trainings: a run, and the probe that it belongs to."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from analysis.facts.kinds import Outcome, ProbeKind, fact

LATE: Final = 0.2
"""Of chance: what a run has to come under that was given more steps. Of 11 networks that train in 200 steps and had not
learnt in 50, all do; of those that do not train hardly any, though the samples repeat."""
SHORT_STEPS: Final = 20
"""In which no run learns one batch by heart that says nothing of others."""
LATE_STEPS: Final = 200
LATE_BY_HEART: Final = 0.5
"""The same for SGD on one batch."""
FAR_OVER_CHANCE: Final = 10.0
"""A start from which the samples are learnt by heart also by networks that train on no others."""
CARRIED_OVER: Final = 0.7
"""Of chance, on samples held out: of 82 recurrent networks those that train come under it, but for three."""
CARRIED_OVER_OF_FEW: Final = 0.85
"""The same where fewer than ENOUGH_HELD_OUT are: networks that train may know their own samples by heart before. Of 81
recurrent networks with 64 samples 32 of 34 that fail with SGD stay over it, of 47 others 6."""
ENOUGH_HELD_OUT: Final = 48
FEWEST_POINTS: Final = 3
"""In a quarter of a curve, to say at what pace it falls."""
AS_LONG_AGAIN: Final = 4.0
"""In quarters of a run."""


def promises(curve: Sequence[float], limit: float) -> bool:
    """Whether a curve comes under the limit in as many points again, at the pace of its last half.

    The pace is the difference between the means of its last two quarters. What rose over its start does not fall.
    """
    quarter = len(curve) // 4
    if quarter < FEWEST_POINTS or not all(map(math.isfinite, curve)) or max(curve[-quarter:]) > curve[0]:
        return False
    before, after = (sum(part) / quarter for part in (curve[-2 * quarter : -quarter], curve[-quarter:]))
    return after < before and after - AS_LONG_AGAIN * (before - after) < limit


def in_windows(curve: Sequence[float], window: int) -> tuple[float, ...]:
    """A curve as the means of so many steps each: minibatches of few samples are noisy."""
    parts = (curve[start : start + window] for start in range(0, len(curve), window))
    return tuple(sum(part) / len(part) for part in parts)


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
    limit: float = LATE
    """Of chance: what the loss that counts had to come under; not told by versions before this field."""
    own: bool = False
    """Whether optimiser and rate are those that the user trains with."""
    warm_up: int = 0
    """Steps over which the rate rose to its own."""
    evaluated: float | None = None
    """The loss at the end in eval mode, over chance, by running statistics that moved with the training; of treatments
    with BatchNormalization."""
    window: int = 1
    """Steps of the curve that are read together, more than one where minibatches are small."""

    @property
    def trend(self) -> tuple[float, ...]:
        """The curve without the noise of small minibatches."""
        return (*in_windows(self.curve[:-1], self.window), self.curve[-1])

    @property
    def end(self) -> float:
        """The loss that counts: the best on samples held out, or else the last; infinite where it is no number."""
        end = min(filter(math.isfinite, self.held_out), default=math.inf) if self.held_out else self.curve[-1]
        return end if math.isfinite(end) else math.inf

    @property
    def steps(self) -> int:
        """Updates that it took."""
        return len(self.curve) - 1

    @property
    def promises(self) -> bool:
        """Whether the loss that counts comes under the limit in as many steps again, see `promises`."""
        return promises(self.held_out or self.trend, self.limit)


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
class NormalizationTrial:
    """A training in which BatchNormalization works as in the user's own, beside one in which it works as usual."""

    frozen: bool
    """Whether it keeps to its running statistics in the user's; else its minibatches are small."""
    minibatch: int
    """Samples of a step in the user's."""
    usual_minibatch: int
    """The same in the other one."""
    values: int
    """Of a channel, that the layer which sees fewest works with in a step of the user's."""
    without: Run
    """Usual minibatches, whose statistics are used."""
    run: Run

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
    """Runs that had not learnt were given more steps, and had to come further: see `Run.limit`."""
    unfinished: bool = False
    """They were to be given more steps, and the budget ended before."""
    clipped_at: float | None = None
    """Norm of the gradient with which SGD learns at its largest rate, where that blows up without clipping."""
    warmed: Run | None = None
    """With the user's own optimiser and rate, which do not learn, once the rate rises slowly: it learns then."""
    standardized: Run | None = None
    """The same behind standardised inputs, where these are far off and another rate learns: it learns then."""
    runs: tuple[Run, ...]

    @property
    def own(self) -> tuple[Run, ...]:
        """With the user's own optimiser and rate, for each seed."""
        return tuple(run for run in self.runs if run.own)

    @property
    def own_learns(self) -> bool:
        """Whether the user's own training does, where it is known, for every seed."""
        return bool(self.own) and all(run.outcome is Outcome.LEARNT for run in self.own)

    def working(self, optimizer: str) -> Run | None:
        """The run that learnt best, of this optimiser before others; None where none did."""
        learnt = [run for run in self.runs if run.outcome is Outcome.LEARNT]
        return min(learnt, key=lambda run: (run.optimizer != optimizer, run.end), default=None)

    @property
    def falls(self) -> bool:
        """Whether some run of every seed comes under the limit if it goes on for as long again.

        Where runs were given more steps, of those: a short one that comes down from far over chance may end there.
        """
        seeds = {run.seed for run in self.runs}
        asked = [run for run in self.runs if not self.late or run.steps >= LATE_STEPS]
        return all(any(run.promises for run in asked if run.seed == seed) for seed in seeds)

    def learns(self, optimizer: str) -> bool:
        """Whether some run with this optimiser learnt, for every seed that was run."""
        seeds = {run.seed for run in self.runs}
        return all(
            any(run.outcome is Outcome.LEARNT for run in self.runs if run.seed == seed and run.optimizer == optimizer)
            for seed in seeds
        )

    def rates_that_learnt(self, optimizer: str) -> list[float]:
        """Of this optimiser, by any seed."""
        return [run.learning_rate for run in self.runs if run.outcome is Outcome.LEARNT and run.optimizer == optimizer]

    @property
    def closest(self) -> Run:
        """Where SGD does not learn: of the worst seed the run that came furthest without having learnt."""
        learnt = {(run.optimizer, run.seed) for run in self.runs if run.outcome is Outcome.LEARNT}
        failing = [run for run in self.runs if (run.optimizer, run.seed) not in learnt]
        best = (
            min((run for run in failing if run.seed == seed), key=lambda run: run.end)
            for seed in dict.fromkeys(run.seed for run in failing)
            if ("sgd", seed) not in learnt
        )
        return max(best, key=lambda run: run.end)

    @property
    def crams(self) -> bool:
        """Whether nothing learns but with patience, from a start far over chance, or Adam alone one batch by heart.

        So do networks that train on no other samples.
        """
        learnt = [run for run in self.runs if run.outcome is Outcome.LEARNT]
        if any(run.limit > LATE_BY_HEART or run.steps <= SHORT_STEPS for run in learnt):
            return False
        by_heart = self.kind is ProbeKind.MEMORIZING and all(run.optimizer == "adam" for run in learnt)
        return (self.starts_far or by_heart) and not self.own_learns

    @property
    def starts_far(self) -> bool:
        """Whether the loss begins far over chance."""
        return any(run.curve[0] > FAR_OVER_CHANCE for run in self.runs)

    @property
    def fails_sgd_alone(self) -> bool:
        """Whether plain gradient descent is all that a remedy has to mend."""
        return self.learns("adam") and not self.learns("sgd")
