"""Recipes of cells on converted structures: each structure is converted once, however many cells draw on it.

A cell's recipe is its treatments applied in order, each to the result of the one before. What changes the graph makes a
structure; cells that differ only in draws or gradient step share one.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from analysis.errors import AnalysisError
from analysis.facts import Effect, Measurement
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.join import join
from analysis.interventions.variants import Cell
from analysis.options import AnalysisOptions
from analysis.subject.preparation import variant
from analysis.subject.subject import Subject

Composed = tuple[Recipe, Subject] | NotApplicable


class Structures:
    """The structures of one analysis, the unchanged model's first."""

    def __init__(self, unchanged: Subject, options: AnalysisOptions, measured: Callable[[], Measurement]) -> None:
        """`measured`: what is known of the unchanged model at the time, for treatments that ask."""
        self.unchanged = unchanged
        self.options = options
        self._measured = measured
        recipe = Recipe(model=unchanged.model, effect=Effect.PRESERVES_OUTPUT, words="", cost="nothing changed")
        self._composed: dict[tuple[str, ...], Composed] = {(): (recipe, unchanged)}
        """By the tokens of the treatments that edit the graph."""
        self._shapes: dict[int, Mapping[str, tuple[int, ...]]] = {}

    @property
    def nothing(self) -> Recipe:
        """The recipe of the unchanged model."""
        composed = self._composed[()]
        assert not isinstance(composed, NotApplicable)
        return composed[0]

    def compose(self, cell: Cell) -> Composed:
        """The recipe of a cell, and the structure that it draws on."""
        edits: tuple[str, ...] = ()
        recipe, subject = self.nothing, self.unchanged
        for treatment in cell:
            key = (*edits, treatment.token)
            known = self._composed.get(key)
            if isinstance(known, NotApplicable):
                return known
            more = _on_floats(treatment.apply(subject.model, self._context(subject)))
            if isinstance(more, NotApplicable):
                self._composed[key] = more
                return more
            if more.model is not subject.model:
                try:
                    subject = known[1] if known is not None else variant(self.unchanged, more.model, self.options)
                except AnalysisError as error:  # of a graph that nobody thought of; the other variants go on
                    self._composed[key] = NotApplicable(f"the edited graph is refused: {error}")
                    return self.compose(cell)
                edits = key
                more = replace(more, model=subject.model)
            recipe = join(recipe, more)
            if edits == key:
                self._composed[key] = (recipe, subject)
        return recipe, subject

    def subject_of(self, recipe: Recipe) -> Subject:
        """The converted structure that a recipe draws on."""
        return next(
            composed[1]
            for composed in self._composed.values()
            if not isinstance(composed, NotApplicable) and composed[1].model is recipe.model
        )

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
            baseline=self._measured(),
        )

    def _shapes_of(self, subject: Subject) -> Mapping[str, tuple[int, ...]]:
        """On the sample batch; looked at once for each structure that somebody asks about."""
        if id(subject) not in self._shapes:
            names = {*subject.trunk.values, *(layer.output for layer in subject.layers)}
            self._shapes[id(subject)] = subject.shapes(names)
        return self._shapes[id(subject)]


def _on_floats(treated: Recipe | NotApplicable) -> Recipe | NotApplicable:
    """The treatment itself, if the weights that it draws are stored as floats: integers hold no other numbers."""
    if isinstance(treated, NotApplicable):
        return treated
    weights = treated.model.weights
    stored = [name for name in treated.draws if weights[name].dtype.kind in "iu"]
    if not stored:
        return treated
    return NotApplicable(f"{stored[0]} is stored as integers: initialise the network that was quantised")
