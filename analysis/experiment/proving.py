"""Treatments put to the proof: a shortlist at a time, until one of them holds.

A batch that was memorised in a few steps ranks treatments, and is no promise: the best ones are trained from
minibatches, too. What the trainings come to is judged by whoever asks; here variants are known by their ids.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from analysis.clock import Clock
from analysis.experiment.cells import Cells, Measured, with_probe
from analysis.experiment.measuring import Measuring
from analysis.experiment.replay import draw, drawn
from analysis.experiment.seeds import (
    as_for_treatments,
    blew_up,
    further_seeds,
    is_hopeless,
    joined_probes,
    was_tried,
)
from analysis.facts import Measurement, Probe, ProbeKind
from analysis.interventions.contract import Recipe
from analysis.measure.passes import cotangent_seeds
from analysis.subject.subject import Subject
from analysis.training.crew import ALONE, Crew
from analysis.training.grid import Training
from analysis.training.probe import Enough, joined
from analysis.training.trainer import Trainer

SHORTLIST: Final = 5
"""Trained side by side."""
ROUNDS: Final = 3
"""Shortlists, while no treatment learns from minibatches."""
SLOW: Final = 2
"""Given minibatches where none learns a batch."""
Grid = Sequence[Training] | None
Ranked = Callable[[Sequence[str]], Sequence[str]]
"""Ids of variants that were trained -> those to look at, the most promising first."""


@dataclass(eq=False)
class Proving:
    """The trainings of treatments in one analysis."""

    measuring: Measuring
    trainer: Trainer
    clock: Clock
    crew: Crew = ALONE
    """What the trainings are dealt to."""
    unchanged: Probe | None = field(default=None, init=False)
    """The unchanged model in the training that treatments are put to."""

    @property
    def cells(self) -> Cells:
        """What was measured so far."""
        return self.measuring.cells

    def prove_until(self, hopeful: Sequence[str], proven: Ranked, furthest: Ranked) -> tuple[str, ...]:
        """Train the hopeful, a shortlist at a time, until the best proven one of them learns from minibatches, too.

        Where no treatment learnt a batch, those that came furthest may only be slow: they get minibatches, if the
        unchanged model does not learn from them. Returns the ids of those that were trained.
        """
        tried: list[str] = []
        for start in range(0, min(len(hopeful), ROUNDS * SHORTLIST), SHORTLIST):
            more = self.prove(hopeful[start : start + SHORTLIST])
            tried += [each.info.id for each in more]
            if not more or self.confirm(proven(tried)):
                break
        probe = self.cells.baseline.probe
        if probe is not None and not probe.learns("sgd") and not proven(tried):
            self.confirm(furthest(tried)[:SLOW])
        return tuple(tried)

    def prove(self, wanted: Sequence[str]) -> list[Measured]:
        """Train these variants, after the unchanged model in the same training.

        All with one seed first; those that look hopeless beside the best get no further ones.
        """
        if not wanted or not self.trainer.may_train("training of treatments"):
            return []
        first, others = self.trainer.seeds[:1], self.trainer.seeds[1:]
        if self.unchanged is None:
            self.unchanged = self._train_unchanged()
        if self.unchanged is None:
            return []
        tried = self._try(wanted, first, [place / len(wanted) for place in range(len(wanted))])
        more = [name for name in self._worth_more_seeds(tried) if self.clock.allows(f"further seeds of {name}")]
        self._try(more, others, [1.0] * len(more))
        return [self.cells[name] for name in tried]

    def confirm(self, ranked: Iterable[str]) -> bool:
        """Train proven variants from minibatches, best first, until one learns; says whether to stop looking.

        With the draw that is exported; where there are too few samples to test learning, nothing is asked, nor where
        the proof was one of learning.
        """
        names = [name for name in ranked if self.cells[name].info.learns is None]
        if self.unchanged is not None and self.unchanged.held_out:
            return bool(names)
        if self.trainer.kind is not ProbeKind.LEARNING:
            return True
        for done, name in enumerate(names):
            self.clock.between("prove", 0.6, 0.95, done, len(names))
            learns = self.clock.finished(f"training of {name} from minibatches", partial(self._learns, name))
            if learns is None:
                return True
            cell = self.cells[name]
            self.cells.put(replace(cell, info=replace(cell.info, learns=learns)))
            if learns:
                return True
        return False

    def _worth_more_seeds(self, tried: Sequence[str]) -> list[str]:
        """Those whose first seed is not hopeless beside the best one's."""
        losses = {name: self._loss(name) for name in tried}
        best = min(losses.values(), default=0.0)
        return [name for name in tried if not is_hopeless(losses[name], best)]

    def _loss(self, name: str) -> float:
        probe = self.cells.measurement(name).probe
        assert probe is not None
        return probe.best_loss_over_chance

    def _train_unchanged(self) -> Probe | None:
        """As treatments will be; where samples are held out, its own probe has asked already."""
        measurement, subject = self.cells.baseline, self.measuring.structures.unchanged
        if measurement.probe is not None and measurement.probe.held_out:
            return measurement.probe

        def train(seeds: Sequence[int], grid: Grid = None, enough: Enough | None = None) -> Probe:
            return self.trainer.prove(subject, seeds, measurement, grid=grid, enough=enough)

        def every_seed() -> Probe:
            seeds, grid, alike = self.trainer.seeds, self.trainer.grid, self.trainer.seeds_agree
            own = measurement.probe if self.trainer.probes_as_it_proves(measurement) else None
            first = (own and as_for_treatments(own, seeds[0], grid)) or train(seeds[:1])
            return joined_probes(first, further_seeds(first, seeds[1:], grid, train, alike=alike))

        return self.clock.finished("training of treatments", every_seed)

    def _try(self, names: Sequence[str], seeds: Sequence[int], done: Sequence[float]) -> list[str]:
        """Train these variants with these seeds; those of which that was finished. `done` before each: of the stage."""
        works = [partial(self._prove, name, seeds, so_far) for name, so_far in zip(names, done, strict=True)]
        tried: list[str] = []
        for name, work in zip(names, self.crew.each(works, self.clock), strict=True):
            proved = self.clock.finished(f"training of {name}", work)
            if proved is not None:
                self.cells.put(replace(proved, recipe=self.cells[name].recipe))
                tried.append(name)
        return tried

    def _prove(self, name: str, seeds: Sequence[int], done: float) -> Measured:
        """Measure with pass B and train, every seed from a draw of its own; the recipe itself is left out."""
        self.clock.report("prove", 0.6 + 0.35 * done)
        recipe, before, options = self.cells[name].recipe, self.cells.measurement(name), self.measuring.options
        assert recipe is not None
        subject = self.measuring.structures.subject_of(recipe)
        with drawn(subject, recipe, options.seed):
            measurement = before
            if not before.cotangents:
                measurement = self.measuring.measured(subject, recipe, cotangent_seeds(options))
            whole = self._trained(subject, recipe, seeds, measurement)
        replicates = len({run.seed for run in whole.runs})
        info = replace(self.cells[name].info, replicates=replicates)
        return Measured(info, with_probe(measurement, whole))

    def _trained(self, subject: Subject, recipe: Recipe, seeds: Sequence[int], measurement: Measurement) -> Probe:
        """With these seeds, and with those before; after the first, what that has left open.

        At smaller rates, too, where all of the grid are too large: networks of sines train at Adam's 0.0003.
        """
        again = partial(draw, subject, recipe, statistics=True)

        def train(seeds: Sequence[int], grid: Grid = None, enough: Enough | None = None) -> Probe:
            return self.trainer.prove(subject, seeds, measurement, again, recipe.gradient_step, grid, enough)

        first = measurement.probe
        if first is None:
            proof = train(seeds)
            return joined(proof, train(seeds, self.trainer.lower)) if blew_up(proof) else proof
        grid = (*self.trainer.grid, *(each for each in self.trainer.lower if was_tried(first, each)))
        alike = self.trainer.seeds_agree and not any(each.random for each in recipe.draws.values())
        return joined_probes(first, further_seeds(first, seeds, grid, train, alike=alike))

    def _learns(self, name: str) -> bool:
        """With the draw that is exported."""
        recipe, unchanged = self.cells[name].recipe, self.cells.baseline.probe
        assert recipe is not None
        subject = self.measuring.structures.subject_of(recipe)
        with drawn(subject, recipe, self.measuring.options.seed):
            return self.trainer.learns(
                subject,
                self.cells.measurement(name),
                partial(draw, subject, recipe),
                recipe.gradient_step,
                sgd_alone=unchanged is not None and unchanged.fails_sgd_alone,
            )
