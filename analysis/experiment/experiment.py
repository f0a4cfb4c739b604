"""The variants of one analysis, measured: convert once per structure, draw per seed, derive gradient steps.

A cell's recipe is its treatments applied in order, each to the result of the one before. Structures are converted
once and shared by all cells that differ only in draws or gradient step. Redrawn weights are written into the shared
module and put back, so nothing is copied per variant. Clipping by norm and weight decay are arithmetic on the
measured norms.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import torch

from analysis.clock import Clock
from analysis.errors import AnalysisError
from analysis.experiment.replay import draw, drawn
from analysis.facts import (
    ClipKind,
    Effect,
    GradientStep,
    LargerRate,
    Measurement,
    ParameterChoice,
    Probe,
    ProbeKind,
    Status,
    Structure,
    VariantInfo,
)
from analysis.facts.after_step import after_step
from analysis.interventions.contract import Context, Factor, NotApplicable, Recipe
from analysis.interventions.join import join
from analysis.interventions.plan import is_factorial, make_plan
from analysis.interventions.variants import BASELINE, Cell, asked_for, variant_id
from analysis.measure.passes import cotangent_seeds, measure
from analysis.options import AnalysisOptions, Effort
from analysis.subject.preparation import variant
from analysis.subject.subject import Subject
from analysis.training.trainer import Trainer, labels_are_readable

KEPT: Final = "kept"
HOPELESS: Final = 2.0
"""A treatment whose first seed ends this many times over the best one's gets no further seeds."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A variant with what was measured of it; without where it was derived from nothing or does not apply."""

    info: VariantInfo
    measurement: Measurement | None = None
    recipe: Recipe | None = None


Composed = tuple[Recipe, Subject] | NotApplicable


class Experiment:
    """The cells of one analysis over shared structures, in the order they are worth their time."""

    def __init__(self, subject: Subject, measurement: Measurement, options: AnalysisOptions, clock: Clock) -> None:
        """The unchanged model is the first structure and the first cell. Raises BadOptions (variants, without)."""
        self.baseline = subject
        self.options = options
        self.clock = clock
        self._trainer = Trainer(subject, options, clock, holds_out=labels_are_readable(measurement))
        self._plan = make_plan(measurement, options)
        recipe = Recipe(model=subject.model, effect=Effect.PRESERVES_OUTPUT, words="", cost="nothing changed")
        self._structures: dict[tuple[str, ...], Composed] = {(): (recipe, subject)}
        self._shapes: dict[int, Mapping[str, tuple[int, ...]]] = {}
        self.cells: dict[str, Measured] = {BASELINE: Measured(self._info((), recipe), measurement, recipe)}
        """By variant id."""
        self.unchanged: Probe | None = None
        """The unchanged model in the training that treatments are put to."""

    # -------------------------------------------------------------- what is done, in the order of its worth

    def probe_baseline(self) -> Measurement:
        """Train the unchanged model, as far as effort, budget and targets allow."""
        measurement = self.baseline_measurement()
        proof = self._trainer.probe_unchanged(measurement)
        if proof is not None:
            self.cells[BASELINE] = replace(self.cells[BASELINE], measurement=with_probe(measurement, proof))
        return self.baseline_measurement()

    def probe_larger_rate(self) -> LargerRate | None:
        """See Trainer."""
        return self._trainer.probe_larger_rate(self.baseline_measurement())

    def run_plan(self, *, cures: bool) -> list[Measured]:
        """Measure the factorial and what the user asked for with pass A, and with `cures` the rest of the plan."""
        asked = asked_for(self.options)
        wanted = [cell for cell in self._plan if cures or is_factorial(cell) or cell in asked]
        for done, cell in enumerate(wanted):
            self.clock.between("experiment", 0.35, 0.6, done, len(wanted))
            if self.clock.allows(f"variant {variant_id(cell)}"):
                self.cells[variant_id(cell)] = self._run(cell)
        return [measured for name, measured in self.cells.items() if name != BASELINE]

    def prove(self, chosen: Iterable[str]) -> list[Measured]:
        """Train the chosen variants, after the unchanged model in the same training.

        All with one seed first; those that look hopeless beside the best get no further ones.
        """
        wanted = list(chosen)
        if not wanted or not self._trainer.may_train("training of treatments"):
            return []
        first, others = self._trainer.seeds[:1], self._trainer.seeds[1:]
        if self.unchanged is None:
            self.unchanged = self._train_unchanged()
        if self.unchanged is None:
            return []
        tried = [name for done, name in enumerate(wanted) if self._try(name, first, done, len(wanted))]
        losses = {name: self._loss(name) for name in tried}
        hopeful = [name for name in tried if losses[name] <= HOPELESS * max(min(losses.values()), 0.1)]
        for name in hopeful:
            if self.clock.allows(f"further seeds of {name}"):
                self._try(name, others, len(wanted), len(wanted))
        return [self.cells[name] for name in tried]

    def _train_unchanged(self) -> Probe | None:
        """As treatments will be; where samples are held out, its own probe has asked already."""
        measurement = self.baseline_measurement()
        if measurement.probe is not None and measurement.probe.held_out:
            return measurement.probe
        train = partial(self._trainer.prove, self.baseline, self._trainer.seeds, measurement)
        return self.clock.finished("training of treatments", train)

    def confirm(self, ranked: Iterable[str]) -> bool:
        """Train proven variants from minibatches, best first, until one learns; says whether to look for others.

        A batch that was memorised in 20 steps is no promise. With the draw that is exported; where there are too few
        samples to test learning, nothing is asked, nor where the proof was one of learning.
        """
        names = [name for name in ranked if self.cells[name].info.learns is None]
        if self.unchanged is not None and self.unchanged.held_out:
            return bool(names)
        if self._trainer.kind is not ProbeKind.LEARNING:
            return True
        for done, name in enumerate(names):
            self.clock.between("prove", 0.6, 0.95, done, len(names))
            learns = self.clock.finished(
                f"training of {name} from minibatches", partial(self._learns, self.cells[name])
            )
            if learns is None:
                return True
            self.cells[name] = replace(self.cells[name], info=replace(self.cells[name].info, learns=learns))
            if learns:
                return True
        return False

    def _learns(self, measured: Measured) -> bool:
        """With the draw that is exported."""
        recipe, measurement, before = measured.recipe, measured.measurement, self.baseline_measurement().probe
        assert recipe is not None
        assert measurement is not None
        subject = self.subject_of(recipe)
        with drawn(subject, recipe, self.options.seed):
            return self._trainer.learns(
                subject,
                measurement,
                partial(draw, subject, recipe),
                recipe.gradient_step,
                sgd_alone=before is not None and before.fails_sgd_alone,
            )

    def _try(self, name: str, seeds: Sequence[int], done: int, of: int) -> bool:
        self.clock.between("prove", 0.6, 0.95, done, of)
        proved = self.clock.finished(f"training of {name}", lambda: self._prove(self.cells[name], seeds))
        if proved is not None:
            self.cells[name] = proved
        return proved is not None

    def _loss(self, name: str) -> float:
        measurement = self.cells[name].measurement
        assert measurement is not None
        assert measurement.probe is not None
        return measurement.probe.best_loss_over_chance

    def subject_of(self, recipe: Recipe) -> Subject:
        """The converted structure a recipe draws on."""
        return next(
            composed[1]
            for composed in self._structures.values()
            if not isinstance(composed, NotApplicable) and composed[1].model is recipe.model
        )

    # -------------------------------------------------------------- training

    def baseline_measurement(self) -> Measurement:
        """What was measured of the unchanged model so far."""
        measurement = self.cells[BASELINE].measurement
        assert measurement is not None
        return measurement

    def _prove(self, measured: Measured, seeds: Sequence[int]) -> Measured:
        """Measure with pass B and train: every seed draws anew where the recipe draws."""
        recipe, before = measured.recipe, measured.measurement
        assert recipe is not None
        assert before is not None
        subject = self.subject_of(recipe)
        with drawn(subject, recipe, self.options.seed):
            measurement = before
            if not before.cotangents:
                measurement = self._measured(subject, recipe, cotangent_seeds(self.options))
            proof = self._trainer.prove(
                subject, seeds, measurement, partial(draw, subject, recipe), recipe.gradient_step
            )
        whole = proof if before.probe is None else joined_probes(before.probe, proof)
        replicates = len({run.seed for run in whole.runs})
        return Measured(replace(measured.info, replicates=replicates), with_probe(measurement, whole), recipe)

    # -------------------------------------------------------------- measuring

    def _run(self, cell: Cell) -> Measured:
        """Measure a cell with pass A, or derive it from the cell without its gradient step."""
        composed = self.compose(cell)
        if isinstance(composed, NotApplicable):
            return Measured(replace(self._info(cell, None), status=Status.NOT_APPLICABLE, reason=composed.reason))
        recipe, subject = composed
        step = recipe.gradient_step
        if step != GradientStep() and (step.clip is None or step.clip.kind is ClipKind.GLOBAL_NORM):
            return self._derive(cell, recipe)
        with drawn(subject, recipe, self.options.seed):
            measurement = self._measured(subject, recipe, ())
        return Measured(self._info(cell, recipe), measurement, recipe)

    def _measured(self, subject: Subject, recipe: Recipe, cotangents: Sequence[int]) -> Measurement:
        """With what the optimiser would see; clipping by norm needs the norm first."""
        clip = recipe.gradient_step.clip
        measurement = measure(
            subject,
            cotangents=cotangents,
            learning_rate=self.options.learning_rate,
            clip=None if clip is None or clip.kind is ClipKind.GLOBAL_NORM else clip,
            through_time=self.options.effort is not Effort.QUICK,
        )
        return after_step(measurement, recipe.gradient_step)

    def _derive(self, cell: Cell, recipe: Recipe) -> Measured:
        """A clipped or decayed variant: the same network, its gradients changed by arithmetic."""
        plain_cell = tuple(each for each in cell if each.factor not in {Factor.CLIP, Factor.DECAY})
        plain = self.cells.get(variant_id(plain_cell))
        if plain is None:
            plain = self._run(plain_cell)
        info = self._info(cell, recipe)
        if plain.measurement is None:
            return Measured(replace(info, status=Status.LEFT_OUT, reason="the same without it was left out"))
        step, clip = recipe.gradient_step, recipe.gradient_step.clip
        active = clip is not None and plain.measurement.total_gradient_norm > clip.max_norm
        if clip is not None:
            step = replace(step, clip=replace(clip, active=active))
        same = not active and not step.weight_decay
        info = replace(info, status=Status.DERIVED, same_as=plain.info.id if same else None, gradient_step=step)
        return Measured(info, after_step(replace(plain.measurement, probe=None), step), recipe)

    # -------------------------------------------------------------- composing

    def compose(self, cell: Cell) -> Composed:
        """The recipe of a cell on its structure: each treatment is applied to the result of the ones before."""
        edits: tuple[str, ...] = ()
        composed = self._structures[()]
        assert not isinstance(composed, NotApplicable)
        recipe, subject = composed
        for treatment in cell:
            key = (*edits, treatment.token)
            known = self._structures.get(key)
            if isinstance(known, NotApplicable):
                return known
            more = treatment.apply(subject.model, self._context(subject))
            if isinstance(more, NotApplicable):
                self._structures[key] = more
                return more
            if more.model is not subject.model:
                try:
                    subject = known[1] if known is not None else variant(self.baseline, more.model, self.options)
                except AnalysisError as error:  # of a graph that nobody thought of; the other variants go on
                    self._structures[key] = NotApplicable(f"the edited graph is refused: {error}")
                    return self.compose(cell)
                edits = key
                more = replace(more, model=subject.model)
            recipe = join(recipe, more)
            if edits == key:
                self._structures[key] = (recipe, subject)
        return recipe, subject

    def _context(self, subject: Subject) -> Context:
        return Context(
            layers=subject.layers,
            sources=subject.sources,
            trunk=subject.trunk.values,
            attention=subject.attention,
            batch_size=subject.batch.size,
            clip_norm=self.options.clip_norm,
            clip_value=self.options.clip_value,
            weight_decay=self.options.weight_decay,
            inputs=subject.batch.inputs,
            shapes=partial(self._shapes_of, subject),
            baseline=self.baseline_measurement(),
        )

    def _shapes_of(self, subject: Subject) -> Mapping[str, tuple[int, ...]]:
        """On the sample batch; one forward pass for each structure that somebody asks about."""
        if id(subject) not in self._shapes:
            self._shapes[id(subject)] = _observed_shapes(subject)
        return self._shapes[id(subject)]

    def _info(self, cell: Cell, recipe: Recipe | None) -> VariantInfo:
        tokens = {each.factor: each.token for each in cell}
        draws = recipe is not None and any(each.random for each in recipe.draws.values())
        return VariantInfo(
            id=variant_id(cell),
            structure=Structure(
                input=tokens.get(Factor.INPUT, KEPT),
                activation=tokens.get(Factor.ACTIVATION, KEPT),
                normalization=tokens.get(Factor.NORMALIZATION, KEPT),
                residual=tokens.get(Factor.RESIDUAL, KEPT),
                attention=tokens.get(Factor.ATTENTION, KEPT),
            ),
            parameters=ParameterChoice(
                initialization=tokens.get(Factor.INITIALIZATION, KEPT),
                branch_ends=tokens.get(Factor.BRANCH_ENDS, KEPT),
                seed=self.options.seed if draws else None,
            ),
            gradient_step=GradientStep() if recipe is None else recipe.gradient_step,
            status=Status.MEASURED,
            effect=None if recipe is None else recipe.effect,
            destructive=draws and self.baseline.trained,
            cost="" if recipe is None else recipe.cost,
            recipe="" if recipe is None else _sentence(recipe.words),
        )


def _observed_shapes(subject: Subject) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def noting(name: str) -> Callable[[torch.Tensor], None]:
        def note(value: torch.Tensor) -> None:
            shapes[name] = tuple(value.shape)

        return note

    inputs, _ = subject.tensors()
    names = {*subject.trunk.values, *(layer.output for layer in subject.layers)}
    with torch.no_grad():
        subject.converted.eval().observe(inputs, {name: [noting(name)] for name in names})
    return shapes


def with_probe(measurement: Measurement, proof: Probe) -> Measurement:
    """A measurement with its training, and how far each layer moved in the best run."""
    best = min(proof.runs, key=lambda run: run.end)
    stats = tuple(replace(each, moved=best.moved.get(each.id)) for each in measurement.stats)
    return replace(measurement, stats=stats, probe=proof)


def joined_probes(first: Probe, second: Probe) -> Probe:
    """The same training with more seeds; the worst of them counts."""
    worst = max(first.best_loss_over_chance, second.best_loss_over_chance)
    return replace(first, runs=(*first.runs, *second.runs), best_loss_over_chance=worst)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}." if words else ""
