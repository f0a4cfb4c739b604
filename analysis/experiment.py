"""The factorial of treatments, measured: convert once per structure, draw per seed, derive gradient steps.

A cell chooses one level of each factor; its recipe is the treatments applied in order, each to the result of the one
before. Structures are converted once and shared by all cells that differ only in draws or gradient step. Redrawn
weights are written into the shared module and put back, so nothing is copied per variant. Clipping is arithmetic on
the measured norms.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import torch

from analysis.clock import Clock
from analysis.facts import (
    Clip,
    Effect,
    GradientStats,
    GradientStep,
    LayerStats,
    Measurement,
    ParameterChoice,
    Probe,
    ProbeKind,
    Status,
    Structure,
    VariantInfo,
)
from analysis.interventions import INTERVENTIONS
from analysis.interventions._base import Context, Factor, NormalizationSite, NotApplicable, Recipe, Treatment
from analysis.measure import cotangent_seeds, measure
from analysis.options import AnalysisOptions, Effort, OptimizerName
from analysis.probe import GRID, THOROUGH_GRID, Training, kind_for, probe
from analysis.subject import Subject, variant

BASELINE: Final = "baseline"
KEPT: Final = "kept"
REPLICATES: Final = 3
LENGTHENED: Final = 2
"""How much longer effort thorough trains the unchanged model."""
FACTORS: Final = (Factor.ACTIVATION, Factor.NORMALIZATION, Factor.INITIALIZATION, Factor.CLIP)
"""The plan: every combination of their levels."""
EFFECTS: Final = (Effect.PRESERVES_OUTPUT, Effect.TRAINING_ONLY, Effect.CHANGES_FUNCTION)
"""From the mildest."""

Cell = tuple[Treatment, ...]
"""One treatment per factor that is not kept, in the order of the id."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A variant with what was measured of it; without where it was derived from nothing or does not apply."""

    info: VariantInfo
    measurement: Measurement | None = None
    recipe: Recipe | None = None


class Experiment:
    """The cells of one analysis over shared structures, in the order they are worth their time."""

    def __init__(self, subject: Subject, measurement: Measurement, options: AnalysisOptions, clock: Clock) -> None:
        """The unchanged model is the first structure and the first cell."""
        self.baseline = subject
        self.options = options
        self.clock = clock
        recipe = Recipe(model=subject.model, effect=Effect.PRESERVES_OUTPUT, words="", cost="nothing changed")
        self._structures: dict[str, tuple[Recipe, Subject] | NotApplicable] = {"": (recipe, subject)}
        self.cells: dict[str, Measured] = {BASELINE: Measured(self._info((), recipe), measurement, recipe)}
        """By variant id."""
        self.unchanged: Probe | None = None
        """The unchanged model in the training that treatments are put to."""

    def probe_baseline(self) -> Measurement:
        """Train the unchanged model, as far as effort, budget and targets allow."""
        measured = self.cells[BASELINE]
        measurement = measured.measurement
        assert measurement is not None
        what = "training probe of the unchanged model"
        if self._may_train(what):
            kind = kind_for(self.baseline.batch.size)
            thorough = self.options.effort is Effort.THOROUGH
            seeds = self._seeds() if thorough else self._seeds()[:1]
            lengthen = LENGTHENED if thorough else 1
            proof = self._train(self.baseline, kind, seeds, None, measurement, to_the_end=False, lengthen=lengthen)
            measurement = with_probe(measurement, proof)
            self.cells[BASELINE] = replace(measured, measurement=measurement)
        return measurement

    def run_factorial(self) -> list[Measured]:
        """Measure every cell of the plan with pass A; the unchanged model is not among the result."""
        plan = [cell for cell in _factorial() if cell]
        for done, cell in enumerate(plan):
            self.clock.between("experiment", 0.35, 0.6, done, len(plan))
            if self.clock.allows(f"variant {variant_id(cell)}"):
                self.cells[variant_id(cell)] = self._run(cell)
        return [measured for name, measured in self.cells.items() if name != BASELINE]

    def prove(self, chosen: Iterable[str]) -> list[Measured]:
        """Train the chosen variants, after the unchanged model in the same training."""
        proven: list[Measured] = []
        wanted = list(chosen)
        if not wanted or not self._may_train("training of treatments"):
            return proven
        baseline = self.cells[BASELINE].measurement
        assert baseline is not None
        self.unchanged = self._train(
            self.baseline, ProbeKind.MEMORIZING, self._seeds(), None, baseline, to_the_end=True
        )
        for done, name in enumerate(wanted):
            self.clock.between("prove", 0.6, 0.95, done, len(wanted))
            if self.clock.allows(f"training of {name}"):
                self.cells[name] = self._prove(self.cells[name])
                proven.append(self.cells[name])
        return proven

    def subject_of(self, recipe: Recipe) -> Subject:
        """The converted structure a recipe draws on."""
        return next(
            composed[1]
            for composed in self._structures.values()
            if not isinstance(composed, NotApplicable) and composed[1].model is recipe.model
        )

    def _may_train(self, what: str) -> bool:
        if self.options.effort is Effort.QUICK:
            self.clock.leave_out(what, "effort is quick")
            return False
        if self.baseline.objective.chance is None:
            self.clock.leave_out(what, self.baseline.objective.absent_chance)
            return False
        return self.clock.allows(what)

    def _seeds(self) -> tuple[int, ...]:
        return tuple(range(self.options.seed, self.options.seed + REPLICATES))

    def _grid(self) -> tuple[Training, ...]:
        grid = THOROUGH_GRID if self.options.effort is Effort.THOROUGH else GRID
        if self.options.learning_rate is None:
            return grid
        return (*grid, Training(self.options.optimizer or OptimizerName.SGD, self.options.learning_rate))

    def _train(
        self,
        subject: Subject,
        kind: ProbeKind,
        seeds: Sequence[int],
        recipe: Recipe | None,
        measured: Measurement,
        *,
        to_the_end: bool,
        lengthen: int = 1,
    ) -> Probe:
        return probe(
            subject,
            kind=kind,
            grid=self._grid(),
            seeds=seeds,
            prepare=None if recipe is None else lambda seed: draw(subject, recipe, seed),
            training=measured.batch_statistics,
            to_the_end=to_the_end,
            lengthen=lengthen,
        )

    def _run(self, cell: Cell) -> Measured:
        """Measure a cell with pass A, or derive it from the cell without its gradient step."""
        composed = self._compose(cell)
        if isinstance(composed, NotApplicable):
            info = replace(self._info(cell, None), status=Status.NOT_APPLICABLE, reason=composed.reason)
            return Measured(info)
        recipe, subject = composed
        if recipe.gradient_step.clip is not None:
            return self._derive(cell, recipe)
        with drawn(subject, recipe, self.options.seed):
            measurement = measure(subject, cotangents=(), learning_rate=self.options.learning_rate)
        return Measured(self._info(cell, recipe), measurement, recipe)

    def _prove(self, measured: Measured) -> Measured:
        """Measure with pass B and train: every seed draws anew where the recipe draws."""
        recipe = measured.recipe
        assert recipe is not None
        subject, seeds = self.subject_of(recipe), self._seeds()
        with drawn(subject, recipe, self.options.seed):
            measurement = measure(
                subject, cotangents=cotangent_seeds(self.options), learning_rate=self.options.learning_rate
            )
            proof = self._train(subject, ProbeKind.MEMORIZING, seeds, recipe, measurement, to_the_end=True)
        return Measured(replace(measured.info, replicates=len(seeds)), with_probe(measurement, proof), recipe)

    def _compose(self, cell: Cell) -> tuple[Recipe, Subject] | NotApplicable:
        """The recipe of a cell, on its structure."""
        structural = tuple(each for each in cell if each.factor in {Factor.ACTIVATION, Factor.NORMALIZATION})
        composed = self._structure(structural)
        if isinstance(composed, NotApplicable):
            return composed
        recipe, subject = composed
        for treatment in cell:
            if treatment in structural:
                continue
            more = treatment.apply(subject.model, self._context(subject))
            if isinstance(more, NotApplicable):
                return more
            recipe = _joined(recipe, more)
        return recipe, subject

    def _structure(self, treatments: Cell) -> tuple[Recipe, Subject] | NotApplicable:
        key = "+".join(each.token for each in treatments)
        if key not in self._structures:
            self._structures[key] = self._edit(treatments)
        return self._structures[key]

    def _edit(self, treatments: Cell) -> tuple[Recipe, Subject] | NotApplicable:
        before = self._structure(treatments[:-1])
        if isinstance(before, NotApplicable):
            return before
        recipe, subject = before
        more = treatments[-1].apply(subject.model, self._context(subject))
        if isinstance(more, NotApplicable):
            return more
        edited = variant(self.baseline, more.model, self.options)
        return _joined(recipe, more), edited

    def _context(self, subject: Subject) -> Context:
        return Context(subject.layers, subject.sources, subject.batch.size, self.options.clip_norm)

    def _info(self, cell: Cell, recipe: Recipe | None) -> VariantInfo:
        tokens = {each.factor: each.token for each in cell}
        draws = Factor.INITIALIZATION in tokens
        return VariantInfo(
            id=variant_id(cell),
            structure=Structure(
                activation=tokens.get(Factor.ACTIVATION, KEPT), normalization=tokens.get(Factor.NORMALIZATION, KEPT)
            ),
            parameters=ParameterChoice(
                initialization=tokens.get(Factor.INITIALIZATION, KEPT), seed=self.options.seed if draws else None
            ),
            gradient_step=GradientStep() if recipe is None else recipe.gradient_step,
            status=Status.MEASURED,
            effect=None if recipe is None else recipe.effect,
            destructive=draws and self.baseline.trained,
            cost="" if recipe is None else recipe.cost,
            recipe="" if recipe is None else _sentence(recipe.words),
        )

    def _derive(self, cell: Cell, recipe: Recipe) -> Measured:
        """A clipped variant: the same network, its gradients scaled where they are too long."""
        assert recipe.gradient_step.clip is not None
        plain = self.cells.get(variant_id(tuple(each for each in cell if each.factor is not Factor.CLIP)))
        info = self._info(cell, recipe)
        if plain is None or plain.measurement is None:
            return Measured(replace(info, status=Status.LEFT_OUT, reason="the same without clipping was left out"))
        active = plain.measurement.total_gradient_norm > recipe.gradient_step.clip.max_norm
        clip = replace(recipe.gradient_step.clip, active=active)
        info = replace(
            info,
            status=Status.DERIVED,
            same_as=None if active else plain.info.id,
            gradient_step=replace(recipe.gradient_step, clip=clip),
        )
        return Measured(info, clipped(replace(plain.measurement, probe=None), clip))


def _factorial() -> list[Cell]:
    """Every combination of the levels, cells without clipping before their clipped twins."""
    levels = [[None, *(each for each in INTERVENTIONS if each.factor is factor)] for factor in FACTORS]
    return [tuple(filter(None, choice)) for choice in itertools.product(*levels)]


def variant_id(cell: Cell) -> str:
    """Tokens in the order of the factors, or `baseline`."""
    return "+".join(each.token for each in sorted(cell, key=lambda each: list(Factor).index(each.factor))) or BASELINE


def clipped(measurement: Measurement, clip: Clip) -> Measurement:
    """What the optimiser sees after clipping by global norm (torch.nn.utils.clip_grad_norm_)."""
    norm = measurement.total_gradient_norm
    factor = min(1.0, clip.max_norm / norm) if norm else 1.0
    stats = tuple(_scaled(each, factor) for each in measurement.stats)
    return replace(
        measurement,
        stats=stats,
        total_gradient_norm=norm * factor,
        gradient_dot_weight=measurement.gradient_dot_weight * factor,
    )


def with_probe(measurement: Measurement, proof: Probe) -> Measurement:
    """A measurement with its training, and how far each layer moved in the best run."""
    best = min(proof.runs, key=lambda run: (run.curve[-1] != run.curve[-1], run.curve[-1]))
    stats = tuple(replace(each, moved=best.moved.get(each.id)) for each in measurement.stats)
    return replace(measurement, stats=stats, probe=proof)


def _scaled(stats: LayerStats, factor: float) -> LayerStats:
    return replace(
        stats,
        weight_gradient=_scaled_gradient(stats.weight_gradient, factor),
        vector_gradient=_scaled_gradient(stats.vector_gradient, factor),
        update_ratio=None if stats.update_ratio is None else stats.update_ratio * factor,
    )


def _scaled_gradient(gradient: GradientStats | None, factor: float) -> GradientStats | None:
    if gradient is None:
        return None
    return replace(gradient, norm=gradient.norm * factor, rms=gradient.rms * factor, max_abs=gradient.max_abs * factor)


# ------------------------------------------------------------------ recipes


def _joined(first: Recipe, second: Recipe) -> Recipe:
    """Both, one after the other."""
    return Recipe(
        model=second.model,
        effect=max(first.effect, second.effect, key=EFFECTS.index),
        words=", ".join(filter(None, (first.words, second.words))),
        cost=second.cost if not first.words else f"{first.cost}, {second.cost}",
        draws={**first.draws, **second.draws},
        gradient_step=second.gradient_step if second.gradient_step != GradientStep() else first.gradient_step,
        sites=first.sites + second.sites,
    )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}." if words else ""


@contextmanager
def drawn(subject: Subject, recipe: Recipe, seed: int) -> Iterator[None]:
    """Inside: the module with the weights of a recipe; afterwards with its own again."""
    weights = [subject.converted.initializers[name] for name in recipe.draws]
    own = [weight.detach().clone() for weight in weights]
    try:
        draw(subject, recipe, seed)
        yield
    finally:
        with torch.no_grad():
            for weight, values in zip(weights, own, strict=True):
                weight.copy_(values)


def draw(subject: Subject, recipe: Recipe, seed: int) -> None:
    """Write a recipe's weights into the module, then the running statistics they lead to."""
    with torch.no_grad():
        for name, each in recipe.draws.items():
            parameter = subject.converted.initializers[name]
            parameter.copy_(torch.from_numpy(each.realize(name, tuple(parameter.shape), seed)))
    for name, value in batch_statistics(subject, recipe.sites).items():
        subject.converted.set_constant(name, value)


def batch_statistics(subject: Subject, sites: Sequence[NormalizationSite]) -> dict[str, torch.Tensor]:
    """Mean and variance [C] of the sample batch at each site, by the initialiser that is to hold them."""
    found: dict[str, torch.Tensor] = {}

    def taking(site: NormalizationSite) -> Callable[[torch.Tensor], None]:
        def take(value: torch.Tensor) -> None:
            axes = [axis for axis in range(value.ndim) if axis != 1]
            found[site.mean] = value.mean(axes)
            found[site.variance] = value.var(axes, correction=0)

        return take

    if sites:
        inputs, _ = subject.tensors()
        subject.converted.train(True)  # noqa: FBT003 - torch's signature
        with torch.no_grad():
            subject.converted.observe(inputs, {site.value: [taking(site)] for site in sites})
        subject.converted.train(False)  # noqa: FBT003 - torch's signature
    return found
