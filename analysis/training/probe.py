"""A short real training: the question that statistics cannot answer.

Each run of the grid starts from the same weights on the same minibatches. Many samples: minibatches test learning. One
batch: it tests memorising. A run that is to answer "does it learn?" stops early once the loss is under half of chance;
one that is to be ranked goes on to the end. Fifty steps cannot tell a slow network from one that does not learn: an
optimiser that has not learnt by then is given four times as many, and has to come further. Where told to, a quarter of
the samples is held out, and a run has learnt when the loss falls on those. Weights are restored afterwards; running
statistics are never touched.

What is trained is the user's own loss, so rates and clipping are in its units. Chance is the loss of the best constant
prediction; all losses here are read over chance.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import torch

from analysis.facts import GradientStep, Probe, ProbeKind, Run, StartEnd, in_windows, promises
from analysis.graph.training_state import with_running_statistics
from analysis.measure.clipping import take_step
from analysis.measure.readable import split
from analysis.measure.statistics import sum_of_squares
from analysis.options import OptimizerName
from analysis.subject.subject import Subject
from analysis.training.grid import LONGEST, NO_STEP, SMALL_MINIBATCH, STEPS, Training, minibatches_of
from analysis.training.outcome import is_out_of_reach, limit_of, outcome_of, stands_still
from analysis.training.pauses import Pauses
from analysis.training.updates import MOMENTUM, Update, update_of

EARLY: Final = 0.5
"""Over chance: proven, no need to go on."""
EARLY_LATE: Final = 0.15
"""In a run that has to come under LATE, as far under that: the last minibatches may be easier than the rest."""
BLOWN_UP: Final = 1e3
"""Over chance and over the start: no need to go on either."""
EVERY: Final = 10
"""Steps between two looks at the samples held out, or at how far outputs are apart."""
ENOUGH_TO_DIFFER: Final = 16
"""Samples of a minibatch that are not all alike by chance, or for want of a second one."""
SMOOTHED: Final = 5
"""Minibatches whose mean loss stops a run early."""


Enough = Callable[[Run], bool]
"""Whether a run did so well that its optimiser needs no other."""


def probe(
    subject: Subject,
    *,
    kind: ProbeKind,
    grid: Sequence[Training],
    seeds: Sequence[int],
    prepare: Callable[[int], None] | None = None,
    training: bool,
    to_the_end: bool = False,
    evaluate: bool = False,
    lengthen: int = 1,
    late: bool = False,
    go_on: bool = False,
    hold_out: bool = False,
    attentive: bool = False,
    step: GradientStep = NO_STEP,
    minibatch: int | None = None,
    enough: Enough | None = None,
    pauses: Pauses | None = None,
    tick: Callable[[], object] = int,
) -> Probe:
    """All runs of the grid for every seed; `prepare(seed)` sets the weights a seed starts from.

    `training`: BatchNormalization uses the statistics of the minibatch. `to_the_end`: how far the loss falls counts,
    not only whether it does, so no run stops early. `evaluate`: the loss at the end is also taken in eval mode, where
    that differs. `lengthen`: times as many steps as the thresholds were fitted for.
    `late`: so long that a run has learnt only under the limits of late ones. `go_on`: for as many steps again,
    up to LONGEST, while it promises to come under that. `hold_out`: it has learnt when the loss of a quarter of the
    samples, which it is not trained on, comes under CARRIED_OVER, or CARRIED_OVER_OF_FEW. `attentive`: the limits are
    those of attention, see `limit_of`. `step`: clipping and decay before each update.
    `minibatch`: samples of a step, where the user says so. `enough`: of which run an optimiser's further rates
    are left out, but for the user's own. `pauses`: where runs that may get more steps are kept, and go on. `tick` is
    called before each step; what it raises ends the probe, weights restored.
    """
    runs: list[Run] = []
    steps = STEPS[kind] * lengthen
    most = max(steps, LONGEST) if go_on else steps
    for seed in seeds:
        if prepare is not None:
            prepare(seed)
        trained, held_out = split(subject.batch.size, seed) if hold_out else (list(range(subject.batch.size)), [])
        minibatches = list(minibatches_of(trained, kind, seed, most, minibatch))
        session = _Session(
            subject, kind, trained, held_out, minibatches, steps,
            training=training, to_the_end=to_the_end, late=late, attentive=attentive, step=step, tick=tick,
            pauses=pauses or Pauses(0),
            evaluate=evaluate and training and bool(with_running_statistics(subject.model)),
        )  # fmt: skip
        runs += _runs(session, grid, seed, enough)
    best = [min(run.end for run in runs if run.seed == seed) for seed in seeds]
    return Probe(
        kind=kind,
        steps=max(steps, *(run.steps for run in runs)),
        samples=subject.batch.size,
        minibatch=len(session.minibatches[0]),
        held_out=len(session.held_out),
        best_loss_over_chance=max(best),
        late=late,
        runs=tuple(runs),
    )


def joined(proof: Probe, longer: Probe) -> Probe:
    """The same probe with further runs; those that went on take the place of what they were."""
    went_on = {(run.optimizer, run.learning_rate, run.seed): run for run in longer.runs}
    runs = [went_on.pop((run.optimizer, run.learning_rate, run.seed), run) for run in proof.runs]
    runs += went_on.values()
    best = [min(run.end for run in runs if run.seed == seed) for seed in {run.seed for run in runs}]
    return replace(
        proof,
        steps=max(proof.steps, longer.steps),
        late=proof.late or longer.late,
        runs=tuple(runs),
        best_loss_over_chance=max(best),
    )


@dataclass(frozen=True)
class _Session:
    """What the runs of one seed share."""

    subject: Subject
    kind: ProbeKind
    trained: Sequence[int]
    held_out: Sequence[int]
    minibatches: Sequence[Sequence[int]]
    """More than `steps` where a run may go on."""
    steps: int
    training: bool
    to_the_end: bool
    late: bool
    step: GradientStep
    tick: Callable[[], object]
    pauses: Pauses
    evaluate: bool = False
    attentive: bool = False

    @property
    def window(self) -> int:
        """Minibatches that together are as many samples as a usual one."""
        return 1 if self.repeated else max(1, -(-SMALL_MINIBATCH // len(self.minibatches[0])))

    @cached_property
    def judged(self) -> Sequence[int]:
        """The samples whose loss counts at the end: those that were memorised, or all that it was trained on."""
        memorized = {row for rows in self.minibatches for row in rows}
        return sorted(memorized) if self.kind is ProbeKind.MEMORIZING else self.trained

    @cached_property
    def repeated(self) -> bool:
        """Whether every step sees the same samples."""
        return all(rows is self.minibatches[0] for rows in self.minibatches)

    def is_over(self, curve: Sequence[float], held_out: Sequence[float], limit: float) -> bool:
        """Far enough under chance; where minibatches differ, a few of them have to agree. Or blown up, or at a stand.

        Where samples are held out: on those, or else on the others, which are known by heart then.
        """
        if not self.to_the_end and curve[-1] > BLOWN_UP * max(curve[0], 1.0):
            return True
        if not self.to_the_end and self.repeated and stands_still(curve, self.steps, limit):
            return True
        if held_out and not self.to_the_end and held_out[-1] < EARLY:
            return True
        wanted = 1 if self.repeated else SMOOTHED * self.window
        recent = curve[-wanted:]
        complete = len(recent) == wanted
        return not self.to_the_end and complete and sum(recent) / len(recent) < self._enough(limit)

    def is_lost(self, optimizer: OptimizerName, outputs: torch.Tensor, taken: int, steps: int, limit: float) -> bool:
        """Whether outputs are too much alike for the steps of SGD that are left to tell them apart.

        Not of Adam, whose steps are as large where gradients are faint: 14 layers got from 1e-8 to 1 in 50 steps. Not
        before a short run would be at its end: a last layer that starts at zero makes all outputs equal. Not of a few
        samples.
        """
        several = len(self.minibatches[0]) >= ENOUGH_TO_DIFFER
        asked = optimizer is OptimizerName.SGD and self.late and taken >= STEPS[self.kind] and taken % EVERY == 0
        return several and asked and is_out_of_reach(self.subject.objective.reach(outputs), steps - taken, limit)

    def limit(self, entry: Training) -> float:
        """Of chance: what a run has to come under; what the user trains with has all the time it takes."""
        attentive = self.attentive and not entry.own
        return limit_of(self.kind, entry.optimizer, late=self.late, held_out=len(self.held_out), attentive=attentive)

    def _enough(self, limit: float) -> float:
        if self.repeated and self.late:
            return limit
        return EARLY_LATE if self.held_out or self.late else EARLY


def _runs(session: _Session, grid: Sequence[Training], seed: int, enough: Enough | None) -> list[Run]:
    """One after the other; see `probe` for what is enough."""
    runs: list[Run] = []
    for entry in grid:
        before = [run for run in runs if run.optimizer == entry.optimizer.value]
        if entry.own or enough is None or not any(map(enough, before)):
            runs.append(_run(session, entry, seed))
    return runs


def _run(session: _Session, entry: Training, seed: int) -> Run:
    """Train, read the curve, put the weights back."""
    subject, limit = session.subject, session.limit(entry)
    weights = list(subject.converted.initializers.values())
    start = [weight.detach().clone() for weight in weights]
    moving = subject.converted.moving_statistics() if session.evaluate else nullcontext()
    subject.converted.train(session.training)
    try:
        with moving:
            curve, held_out = _train(session, weights, entry, seed)
            evaluated = _evaluated(session) if session.evaluate else None
        before, after = _squares(start), _squares(weights)
        norms = StartEnd(start=math.sqrt(sum(before)), end=math.sqrt(sum(after)))
        moved = _moved(subject, before, [_apart(now, then) for now, then in zip(weights, start, strict=True)])
    finally:
        subject.converted.train(False)  # noqa: FBT003 - torch's signature
        with torch.no_grad():
            torch._foreach_copy_([*weights], start)
    return Run(
        optimizer=entry.optimizer.value,
        momentum=MOMENTUM if entry.optimizer is OptimizerName.SGD else None,
        learning_rate=entry.learning_rate,
        seed=seed,
        outcome=outcome_of((*in_windows(curve[:-1], session.window), curve[-1]), held_out, limit),
        curve=tuple(curve),
        held_out=tuple(held_out),
        weight_norm=norms,
        moved=moved,
        limit=limit,
        own=entry.own,
        evaluated=evaluated,
        window=session.window,
        warm_up=entry.warm_up,
    )


def _train(
    session: _Session, weights: Sequence[torch.Tensor], entry: Training, seed: int
) -> tuple[list[float], list[float]]:
    """Loss over chance before each step, and after the last on what it was trained on; now and then on the others.

    Where there are minibatches for it, a run gets as many steps again while it promises to come under the limit. None
    ends before its rate is the one that was asked for.
    """
    subject, repeated, limit = session.subject, session.repeated, session.limit(entry)
    update, curve, held_out = _begin(session, weights, entry, seed)
    tensors, enough = subject.tensors(session.minibatches[0]), session.steps
    for rows in session.minibatches[len(curve) :]:
        if len(curve) == enough:
            if not promises(held_out or in_windows(curve, session.window), limit):
                break
            enough *= 2
        session.tick()
        inputs, targets = tensors if repeated else subject.tensors(rows)
        outputs = subject.training_outputs(inputs, rows)
        loss = subject.objective.loss(outputs, targets)
        curve.append(subject.objective.over_chance(float(loss.detach())))
        if not math.isfinite(curve[-1]):
            return curve, held_out
        if session.held_out and len(curve) % EVERY == 1:
            held_out.append(_loss(session, session.held_out))
        taken = len(curve) - 1
        if taken >= entry.warm_up and (
            session.is_over(curve, held_out, limit) or session.is_lost(entry.optimizer, outputs, taken, enough, limit)
        ):
            break
        gradients = torch.autograd.grad(subject.objective.scale * loss, weights, allow_unused=True)
        pairs = [(w, g) for w, g in zip(weights, gradients, strict=True) if g is not None]
        if pairs:
            held = [weight for weight, _ in pairs]
            with torch.no_grad():
                update(held, take_step([gradient for _, gradient in pairs], held, session.step))
    else:
        session.pauses.put(entry, seed, weights, update, curve, held_out)
    curve.append(_loss(session, session.minibatches[0] if repeated else session.judged))
    if session.held_out:
        held_out.append(_loss(session, session.held_out))
    return curve, held_out


def _begin(
    session: _Session, weights: Sequence[torch.Tensor], entry: Training, seed: int
) -> tuple[Update, list[float], list[float]]:
    """A run from its first step, or where it stopped: its update, and the losses by then."""
    paused = session.pauses.take(entry, seed)
    if paused is None:
        return update_of(entry), [], []
    with torch.no_grad():
        torch._foreach_copy_([*weights], [*paused.weights])
    return paused.update, [*paused.curve], [*paused.held_out]


def _loss(session: _Session, rows: Sequence[int]) -> float:
    """Over chance, of these samples."""
    with torch.no_grad():
        loss = float(session.subject.loss(*session.subject.tensors(rows), rows))
    return session.subject.objective.over_chance(loss)


def _evaluated(session: _Session) -> float:
    """Over chance, in eval mode, of what was trained on."""
    session.subject.converted.train(False)  # noqa: FBT003 - torch's signature
    return _loss(session, session.judged)


def _squares(tensors: Sequence[torch.Tensor]) -> list[float]:
    """The sum of squares of each."""
    return [sum_of_squares(tensor) for tensor in tensors]


def _apart(now: torch.Tensor, then: torch.Tensor) -> float:
    """The sum of squares of their difference."""
    return sum_of_squares(now.detach() - then)


def _moved(subject: Subject, before: Sequence[float], change: Sequence[float]) -> dict[str, float]:
    """|W_K - W_0| / |W_0| over the weights of each layer, of the sums of squares of W_0 and W_K - W_0."""
    place = {name: place for place, name in enumerate(subject.converted.initializers)}
    moved: dict[str, float] = {}
    for layer in subject.layers:
        places = [place[info.initializer] for info in layer.parameters.values()]
        base = math.sqrt(sum(before[at] for at in places))
        if base:
            moved[layer.id] = math.sqrt(sum(change[at] for at in places)) / base
    return moved
