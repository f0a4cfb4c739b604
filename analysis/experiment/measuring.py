"""A cell measured, or derived from the one without its gradient step.

Redrawn weights are written into the shared module and put back, so nothing is copied per variant. Clipping by norm and
weight decay are arithmetic on the measured norms.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.experiment.cells import Cells, Measured, describe_cell
from analysis.experiment.replay import drawn
from analysis.experiment.structures import Structures
from analysis.facts import ClipKind, GradientStep, Measurement, Status, VariantInfo
from analysis.facts.after_step import after_step
from analysis.interventions.contract import NotApplicable, Recipe
from analysis.interventions.variants import Cell, plain_cell, variant_id
from analysis.measure.passes import measure
from analysis.options import AnalysisOptions, Effort
from analysis.subject.subject import Subject


@dataclass(frozen=True, eq=False)
class Measuring:
    """Measures cells of one analysis."""

    cells: Cells
    structures: Structures
    options: AnalysisOptions

    def run(self, cell: Cell) -> Measured:
        """Measure a cell with pass A, or derive it."""
        composed = self.structures.compose(cell)
        if isinstance(composed, NotApplicable):
            info = replace(self._describe(cell, None), status=Status.NOT_APPLICABLE, reason=composed.reason)
            return Measured(info)
        recipe, subject = composed
        step = recipe.gradient_step
        if step != GradientStep() and (step.clip is None or step.clip.kind is ClipKind.GLOBAL_NORM):
            return self._derive(cell, recipe)
        with drawn(subject, recipe, self.options.seed):
            measurement = self.measured(subject, recipe, ())
        return Measured(self._describe(cell, recipe), measurement, recipe)

    def measured(self, subject: Subject, recipe: Recipe, cotangents: Sequence[int]) -> Measurement:
        """A structure with its present weights, as the optimiser would see it; clipping by norm needs the norm first.

        `cotangents`: seeds of pass B.
        """
        step = recipe.gradient_step.over(subject.objective.scale)
        clip = step.clip
        measurement = measure(
            subject,
            cotangents=cotangents,
            learning_rate=self.options.learning_rate,
            clip=None if clip is None or clip.kind is ClipKind.GLOBAL_NORM else clip,
            through_time=self.options.effort is not Effort.QUICK,
        )
        return after_step(measurement, step)

    def _derive(self, cell: Cell, recipe: Recipe) -> Measured:
        """A clipped or decayed variant: the same network, its gradients changed by arithmetic."""
        plain = self.cells.get(variant_id(plain_cell(cell)))
        if plain is None:
            plain = self.run(plain_cell(cell))
        info = self._describe(cell, recipe)
        if plain.measurement is None:
            return Measured(replace(info, status=Status.LEFT_OUT, reason="the same without it was left out"))
        step, clip = recipe.gradient_step, recipe.gradient_step.clip
        scale = plain.measurement.loss.target_variance
        active = clip is not None and plain.measurement.total_gradient_norm * scale > clip.max_norm
        if clip is not None:
            step = replace(step, clip=replace(clip, active=active))
        same = not active and not step.weight_decay
        info = replace(info, status=Status.DERIVED, same_as=plain.info.id if same else None, gradient_step=step)
        return Measured(info, after_step(replace(plain.measurement, probe=None), step.over(scale)), recipe)

    def _describe(self, cell: Cell, recipe: Recipe | None) -> VariantInfo:
        return describe_cell(cell, recipe, seed=self.options.seed, trained=self.structures.unchanged.trained)
