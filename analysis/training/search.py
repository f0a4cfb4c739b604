"""The search for a rate: which trainings the unchanged model gets before it is said that it does not learn.

    the grid, and the user's own          20 or 50 steps each
    a larger rate of SGD, then of Adam    as short, where no layer has more than a few units
    smaller rates of SGD, then of Adam    as short, until one learns; SGD's go on falling while the smallest blows up
    more steps                            200, for the user's own, the best and the largest rate that does not blow up;
                                          as many again, up to 800, while the loss falls fast enough to get there

Each line only for an optimiser that has not learnt by then, Adam only where SGD has not learnt after all of them: one
that learns at any rate is a network that learns. Where the user's own training learns, nothing is searched.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Protocol

from analysis.clock import Clock
from analysis.facts import Outcome, Probe, ProbeKind, Run
from analysis.options import OptimizerName
from analysis.training.crew import ALONE, Crew, Work
from analysis.training.grid import HIGHER, LOWER, LOWEST, PATIENCE, PATIENCE_WITH_ATTENTION, STEPS, Training, in_units
from analysis.training.probe import joined

WITHIN_REACH: Final = 2.0
"""Over the start: a run that ends higher has no use for more steps."""
SIDE_BY_SIDE: Final = 2
"""Runs of an optimiser that came down, to be given more steps."""


class Train(Protocol):
    """Trains the unchanged model. Raises OutOfTime."""

    def __call__(self, *, lengthen: int, late: bool, go_on: bool, grid: Sequence[Training]) -> Probe:
        """See `Trainer.train`."""


@dataclass(eq=False)
class Search:
    """Further trainings of the unchanged model, joined to its probe as they end."""

    train: Train
    clock: Clock
    seeds: Sequence[int]
    proof: Probe
    """Of the grid."""
    patient: bool = field(kw_only=True)
    """Whether many steps show more than what is learnt by heart."""
    attentive: bool = field(default=False, kw_only=True)
    """Whether they do so less where SGD trains, see PATIENCE_WITH_ATTENTION."""
    tiny: bool = field(default=False, kw_only=True)
    """Whether all matrices are small, see HIGHER."""
    scale: float = field(default=1.0, kw_only=True)
    """What the user's loss is at chance, see `in_units`."""
    crew: Crew = field(default=ALONE, kw_only=True)

    def run(self) -> Probe:
        """The probe with all that was tried."""
        if self.proof.own_learns:
            return self.proof
        for optimizer in (OptimizerName.SGD, OptimizerName.ADAM):
            if self._is_wanted(optimizer) and not (self._go_further(optimizer) and self._be_patient(optimizer)):
                return replace(self.proof, unfinished=True)
        return self.proof

    def _is_wanted(self, optimizer: OptimizerName) -> bool:
        """Adam, too, where it is what the user trains with."""
        if self.proof.learns(optimizer.value):
            return self._waiting(optimizer)
        own = any(run.optimizer == optimizer.value for run in self.proof.own)
        return optimizer is OptimizerName.SGD or own or not self.proof.learns("sgd")

    def _waiting(self, optimizer: OptimizerName) -> bool:
        """Whether the user's own training with it has not learnt."""
        return any(run.optimizer == optimizer.value for run in self.proof.own) and not self.proof.own_learns

    def _go_further(self, optimizer: OptimizerName) -> bool:
        """Short runs at larger and smaller rates, until one learns; False where the budget ended."""
        blows_up = any(run.outcome is Outcome.DIVERGED for run in self.proof.runs if run.optimizer == optimizer.value)
        higher = HIGHER[optimizer] if self.tiny and not blows_up else ()
        rates = (*higher, *LOWER[optimizer], *(LOWEST if optimizer is OptimizerName.SGD else ()))
        blew_up = False
        for usual in rates:
            rate = in_units(usual, optimizer, self.scale)
            if self.proof.learns(optimizer.value) or (usual in LOWEST and not blew_up):
                break
            known = self._runs(optimizer, rate)
            if not known and not self._join(*self._training(Training(optimizer, rate), 1, late=False)):
                return False
            blew_up = any(run.outcome is Outcome.DIVERGED for run in self._runs(optimizer, rate))
        return True

    def _be_patient(self, optimizer: OptimizerName) -> bool:
        """More steps for what may only be slow, until a run learns; False where the budget ended."""
        if not self.patient:
            return True
        slow = self._slow(optimizer)
        trainings = [self._training(each, self._patience(each), late=True) for each in slow]
        longer = self.crew.ahead([train for _, train in trainings], self.clock)
        for each, (what, _) in zip(slow, trainings, strict=True):
            if not each.own and self.proof.learns(optimizer.value):
                break  # the user's own come first
            if not self._join(what, next(longer)):
                return False
        return True

    def _patience(self, entry: Training) -> int:
        """Times as many steps."""
        return PATIENCE_WITH_ATTENTION if self._hurries(entry) else PATIENCE[self.proof.kind]

    def _hurries(self, entry: Training) -> bool:
        by_heart = self.proof.kind is ProbeKind.MEMORIZING and entry.optimizer is OptimizerName.SGD
        return self.attentive and by_heart and not entry.own

    def _slow(self, optimizer: OptimizerName) -> list[Training]:
        """The user's own, the one that came furthest, the largest rate that does not blow up, the next that came down.

        At a rate that is too large the loss may come down first and stand still then.
        """
        runs = [run for run in self.proof.runs if run.optimizer == optimizer.value and run.seed == self.seeds[0]]
        going = [run for run in runs if run.outcome is not Outcome.DIVERGED and not self._by_heart(run)]
        if not going:
            return []
        largest = max(going, key=lambda run: run.learning_rate)
        best = min(going, key=_trained)
        own = [run for run in going if run.own and not _learnt(run)]
        chosen = [*own, best, *([largest] if largest.end < WITHIN_REACH * largest.curve[0] else [])]
        coming = sorted((run for run in going if run.outcome is Outcome.SLOW), key=_trained)
        chosen += coming[:SIDE_BY_SIDE]
        entries = (Training(optimizer, run.learning_rate, own=run.own) for run in chosen if not _learnt(run))
        return list(dict.fromkeys(entries))

    def _by_heart(self, run: Run) -> bool:
        """Whether a run that is asked about other samples knows its own already."""
        return bool(run.held_out) and run.steps < STEPS[self.proof.kind]

    def _runs(self, optimizer: OptimizerName, rate: float) -> list[Run]:
        return [run for run in self.proof.runs if (run.optimizer, run.learning_rate) == (optimizer.value, rate)]

    def _training(self, entry: Training, lengthen: int, *, late: bool) -> tuple[str, Work[Probe]]:
        """What it is called, and what trains."""
        what = f"training with {entry.optimizer.value} at {entry.learning_rate:g}"
        go_on = late and not self._hurries(entry)
        train = partial(self.train, lengthen=lengthen, late=late, go_on=go_on, grid=(entry,))
        return f"{what} for {lengthen * STEPS[self.proof.kind]} steps", train

    def _join(self, what: str, train: Work[Probe]) -> bool:
        """False where the budget ended."""
        longer = self.clock.finished(what, train)
        if longer is not None:
            self.proof = joined(self.proof, longer)
        return longer is not None


def _trained(run: Run) -> float:
    """The loss on what it was trained on: what that is good for on samples held out shows later."""
    return run.curve[-1]


def _learnt(run: Run) -> bool:
    return run.outcome is Outcome.LEARNT
