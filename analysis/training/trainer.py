"""Which short trainings an analysis pays for: grid, seeds, patience, and the budget that ends any of them.

What trains is `probe`; what it is given is decided here. Nothing trains at effort quick, nor where the loss has no
chance level to be compared with. A training that the budget ends in the middle is left out by name.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Final

from analysis.clock import Clock
from analysis.facts import (
    Clip,
    ClipKind,
    GradientStep,
    LargerRate,
    Measurement,
    Outcome,
    Probe,
    ProbeKind,
    Provenance,
    Run,
    Zone,
)
from analysis.facts.zones import zone
from analysis.graph.training_state import with_running_statistics
from analysis.options import AnalysisOptions, Effort, LossName, OptimizerName
from analysis.subject.dropout import dropping_of
from analysis.subject.subject import Subject
from analysis.training.crew import ALONE, Crew
from analysis.training.grid import (
    FEW_WEIGHTS,
    GRID,
    LOWER,
    MINIBATCH,
    NO_STEP,
    PATIENCE,
    STEPS,
    THOROUGH_GRID,
    Training,
    as_many_samples,
    in_units,
    kind_for,
    passes,
)
from analysis.training.memorized import affordable, few_of
from analysis.training.pauses import Pauses
from analysis.training.probe import Enough, probe
from analysis.training.search import Search

Prepare = Callable[[int], None]
"""(seed): set the weights that a training with this seed starts from."""
REPLICATES: Final = 3
LENGTHENED: Final = 2
"""How much longer effort thorough trains the unchanged model, and every effort treatments from minibatches."""
TOLD: Final = 15
"""Times that the probe of the unchanged model says how far it is."""
WARM_UP: Final = "training with your own rate after a warm-up"
UNCHANGED: Final = "training probe of the unchanged model"
SGD: Final = OptimizerName.SGD.value
READABLE: Final = 0.7
"""Share of the labels a straight line names right beyond guessing, from which a network is expected to."""
ENOUGH: Final = 0.05
"""Of chance: a treatment that learns one batch so well at one rate is not trained at an optimiser's others."""
CLIP_NORMS: Final = (0.1, 1.0)
"""With 0.1, 30 of 46 networks train that diverge without clipping; with 1, 26; with 5, 6."""


def labels_are_readable(unchanged: Measurement) -> bool:
    """Whether what a network learns of these labels has to carry over to samples it has not seen."""
    return any((each.readable_share or 0.0) >= READABLE for each in unchanged.through_time)


@dataclass(frozen=True)
class Trainer:
    """The trainings of one analysis."""

    baseline: Subject
    options: AnalysisOptions
    clock: Clock
    holds_out: bool
    """Whether trainings from minibatches keep a quarter of the samples to ask about: see `labels_are_readable`."""
    drops: bool = False
    """Whether the Dropout of a graph is on in training steps."""
    frozen: bool = False
    """Whether BatchNormalization keeps to its running statistics in training steps."""
    minibatch: int | None = None
    """Samples of a step, where the user says so."""
    crew: Crew = ALONE
    """What the trainings of the unchanged model are dealt to."""

    def dropping(self) -> "Trainer":
        """The same with Dropout on."""
        return replace(self, drops=True)

    def freezing(self) -> "Trainer":
        """The same with the statistics of BatchNormalization frozen."""
        return replace(self, frozen=True)

    def with_usual_minibatches(self) -> "Trainer":
        """The same with as many samples in a step as where nobody says how many."""
        return replace(self, minibatch=None)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of all trainings; the first alone is that of the exported draw."""
        return tuple(range(self.options.seed, self.options.seed + REPLICATES))

    @property
    def grid(self) -> tuple[Training, ...]:
        """Optimisers and rates, the user's own last."""
        if self.options.learning_rate is None:
            return self.usual
        own = Training(self.options.optimizer or OptimizerName.SGD, self.options.learning_rate, own=True)
        return (*(each for each in self.usual if replace(each, own=True) != own), own)

    @property
    def usual(self) -> tuple[Training, ...]:
        """Optimisers and rates of anybody, in units of the user's loss; SGD's largest first."""
        scale = self.baseline.objective.scale
        return tuple(
            replace(each, learning_rate=in_units(each.learning_rate, each.optimizer, scale))
            for each in (THOROUGH_GRID if self.options.effort is Effort.THOROUGH else GRID)
        )

    @property
    def lower(self) -> tuple[Training, ...]:
        """Smaller rates than those of the grid, in the same units: for treatments that blow up at all of these."""
        scale = self.baseline.objective.scale
        rates = (Training(name, in_units(rate, name, scale)) for name, rates in LOWER.items() for rate in rates)
        return tuple(each for each in rates if each not in self.usual)

    @property
    def kind(self) -> ProbeKind:
        """What the uploaded samples can show."""
        return kind_for(self.baseline.batch.size, holds_out=self.holds_out)

    def may_train(self, what: str) -> bool:
        """Whether effort, loss and budget allow it; otherwise it is left out with the reason."""
        if self.options.effort is Effort.QUICK:
            self.clock.leave_out(what, "effort is quick")
            return False
        if self.baseline.objective.chance is None:
            self.clock.leave_out(what, self.baseline.objective.absent_chance)
            return False
        return self.clock.allows(what)

    def train(
        self,
        subject: Subject,
        kind: ProbeKind,
        seeds: Sequence[int],
        measured: Measurement,
        *,
        prepare: Prepare | None = None,
        step: GradientStep = NO_STEP,
        to_the_end: bool = False,
        evaluate: bool = False,
        lengthen: int = 1,
        late: bool = False,
        go_on: bool = False,
        attentive: bool = False,
        grid: Sequence[Training] | None = None,
        enough: Enough | None = None,
        pauses: Pauses | None = None,
        tell: bool = False,
    ) -> Probe:
        """One probe: `prepare(seed)` sets the weights that a seed starts from, `step` is what becomes of gradients.

        `tell`: how far it is, as the part of the whole that the unchanged model's is. Raises OutOfTime.
        """
        grid = self.grid if grid is None else grid
        if kind is ProbeKind.MEMORIZING:
            subject = self._memorizing(subject)
        if self.drops:
            subject = replace(subject, dropping=dropping_of(subject.model, self.options.seed))
        lengthen *= as_many_samples(self.minibatch)
        steps, done = lengthen * passes(kind, grid, seeds), itertools.count()

        def tick() -> None:
            self.clock.check()
            if tell and (at := next(done)) % max(1, steps // TOLD) == 0:
                self.clock.between("probe", 0.2, 0.35, at, steps)

        return probe(
            subject,
            kind=kind,
            grid=grid,
            seeds=seeds,
            prepare=prepare,
            training=self._uses_batch_statistics(subject, measured),
            to_the_end=to_the_end,
            evaluate=evaluate,
            lengthen=lengthen,
            late=late,
            go_on=go_on,
            attentive=attentive,
            hold_out=self.holds_out and kind is ProbeKind.LEARNING,
            step=step,
            minibatch=self.minibatch,
            enough=enough,
            pauses=pauses,
            tick=tick,
        )

    def _memorizing(self, subject: Subject) -> Subject:
        """On what it is to learn by heart; on all samples where the user says how many a step has."""
        return subject if self.minibatch is not None else few_of(subject, self._affordable)

    @cached_property
    def _affordable(self) -> int:
        """The same for the unchanged model and for treatments."""
        return affordable(self.baseline)

    def _uses_batch_statistics(self, subject: Subject, measured: Measurement) -> bool:
        """As measured; of minibatches whose size the user says, however few values a channel that are."""
        told = self.minibatch is not None and bool(with_running_statistics(subject.model))
        return not self.frozen and (measured.batch_statistics or told)

    def prove(
        self,
        subject: Subject,
        seeds: Sequence[int],
        measured: Measurement,
        prepare: Prepare | None = None,
        step: GradientStep = NO_STEP,
        grid: Sequence[Training] | None = None,
        enough: Enough | None = None,
    ) -> Probe:
        """The training that treatments are put to: one batch, to the end, as a twentieth of the cost of learning.

        Where samples are held out, how fast a batch is learnt by heart says nothing: minibatches, twice as long.
        `grid`: in this order. `enough`: of which run further rates are left out; of one batch by default under ENOUGH.
        """
        if self.holds_out and self.kind is ProbeKind.LEARNING:
            return self.train(
                subject, ProbeKind.LEARNING, seeds, measured,
                prepare=prepare, step=step, evaluate=True, lengthen=LENGTHENED, grid=grid, enough=enough,
            )  # fmt: skip
        return self.train(
            subject, ProbeKind.MEMORIZING, seeds, measured,
            prepare=prepare, step=step, evaluate=True, to_the_end=True, grid=grid, enough=enough or _is_low,
        )  # fmt: skip

    def probes_as_it_proves(self, measured: Measurement) -> bool:
        """Whether the probe of the unchanged model is a training that treatments are put to, but for an early end.

        Not where the loss in eval mode is taken at the end of it.
        """
        changed = self.drops or self.frozen or self.minibatch is not None
        return self.kind is ProbeKind.MEMORIZING and not changed and not measured.batch_statistics

    @property
    def seeds_agree(self) -> bool:
        """Whether what treatments are put to is the same with every seed, from the same weights: nothing is drawn."""
        samples = self._memorizing(self.baseline).batch.size
        whole = samples <= MINIBATCH and (self.minibatch is None or self.minibatch >= samples)
        return whole and self.kind is ProbeKind.MEMORIZING and not self.drops

    def learns(
        self, subject: Subject, measured: Measurement, prepare: Prepare, step: GradientStep, *, sgd_alone: bool
    ) -> bool:
        """Whether some run from minibatches comes under LATE; the rate that did best on one batch goes first.

        `sgd_alone`: plain gradient descent has to, as it alone fails the unchanged model.
        """
        assert measured.probe is not None
        ends = {(run.optimizer, run.learning_rate): run.end for run in measured.probe.runs}
        grid = sorted(
            (each for each in self._tried(ends) if each.optimizer is OptimizerName.SGD or not sgd_alone),
            key=lambda each: ends.get((each.optimizer.value, each.learning_rate), math.inf),
        )
        return any(
            self.train(
                subject, ProbeKind.LEARNING, self.seeds[:1], measured,
                prepare=prepare, step=step, lengthen=PATIENCE[ProbeKind.LEARNING], late=True, grid=(each,),
            ).learns(each.optimizer.value)
            for each in grid
        )  # fmt: skip

    def _tried(self, ends: Mapping[tuple[str, float], float]) -> tuple[Training, ...]:
        """The grid, and those of the smaller rates that were tried on one batch."""
        return (*self.grid, *(each for each in self.lower if (each.optimizer.value, each.learning_rate) in ends))

    # -------------------------------------------------------------- the unchanged model

    def probe_unchanged(self, measured: Measurement) -> Probe | None:
        """Does it learn, and at which rate? None where it could not be trained.

        Recurrent networks learn labels by heart in 200 steps, whether they would learn the task or not: they get so
        many only where samples are held out, or where they predict numbers. So does attention, if not all, with labels
        that are not made up: it gets a third of these steps.
        """
        if not self.may_train(UNCHANGED):
            return None
        thorough = self.options.effort is Effort.THOROUGH
        seeds, lengthen = (self.seeds, LENGTHENED) if thorough else (self.seeds[:1], 1)
        numbers = self.baseline.objective.name is LossName.MSE
        made_up = measured.loss.targets is Provenance.SYNTHETIC
        attentive = measured.attentive and not (measured.recurrent or numbers or made_up)
        each = partial(
            self.train, self.baseline, self.kind, seeds, measured, attentive=attentive, pauses=Pauses(), tell=True
        )
        train = partial(each, lengthen=lengthen)
        proof = self.clock.finished(UNCHANGED, train)
        if proof is None:
            return None
        patient = numbers or not measured.recurrent or proof.held_out > 0
        scale = self.baseline.objective.scale
        sizes = [math.prod(info.shape) for layer in measured.layers for info in layer.parameters.values()]
        tiny = max(sizes, default=0) <= FEW_WEIGHTS
        search = Search(
            each, self.clock, seeds, proof, patient=patient, attentive=attentive, tiny=tiny, scale=scale, crew=self.crew
        )
        proof = search.run()
        return replace(proof, warmed=self._warmed(proof, measured)) if patient and not proof.own_learns else proof

    def _warmed(self, proof: Probe, measured: Measurement) -> Run | None:
        """The user's own training with a rate that rises slowly, where that learns."""
        if not proof.own:
            return None
        own, steps = proof.own[0], STEPS[proof.kind] * PATIENCE[proof.kind] * as_many_samples(self.minibatch)
        entry = Training(OptimizerName(own.optimizer), own.learning_rate, own=True, warm_up=steps // 2)
        train = partial(
            self.train, self.baseline, proof.kind, (own.seed,), measured,
            lengthen=PATIENCE[proof.kind], late=True, grid=(entry,),
        )  # fmt: skip
        warmed = self.clock.finished(WARM_UP, train)
        return None if warmed is None or warmed.runs[0].outcome is not Outcome.LEARNT else warmed.runs[0]

    def probe_larger_rate(self, measured: Measurement) -> LargerRate | None:
        """Where SGD's largest rate blows up a network whose start is not red: the same run with clipping.

        None where there is nothing to mend, or where clipping does not mend it.
        """
        proof, large = measured.probe, self.usual[0]
        if proof is None or zone(measured.flow) is Zone.RED or measured.non_finite is not None:
            return None
        without = next(run for run in proof.runs if (run.optimizer, run.learning_rate) == (SGD, large.learning_rate))
        if without.outcome not in {Outcome.DIVERGED, Outcome.OSCILLATING}:
            return None
        if proof.kind is ProbeKind.MEMORIZING and proof.starts_far:
            return None
        waits = proof.late and not proof.learns(SGD)
        lengthen = PATIENCE[proof.kind] if waits else LENGTHENED if self.options.effort is Effort.THOROUGH else 1
        found: list[LargerRate] = []
        for norm in CLIP_NORMS:
            train = partial(
                self.train, self.baseline, proof.kind, (without.seed,), measured,
                lengthen=lengthen, late=waits, grid=(large,),
                step=GradientStep(clip=Clip(kind=ClipKind.GLOBAL_NORM, max_norm=norm)),
            )  # fmt: skip
            clipped = self.clock.finished(f"learning rate {large.learning_rate:g} with clipping at {norm:g}", train)
            if clipped is not None and clipped.runs[0].outcome is Outcome.LEARNT:
                found.append(LargerRate(without=without, clipped=clipped.runs[0], max_norm=norm))
        return min(found, key=lambda each: each.clipped.end, default=None)


def _is_low(run: Run) -> bool:
    return run.end < ENOUGH
