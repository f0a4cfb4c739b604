"""What was measured so far: the cells of the experiment, by variant id, the unchanged model first."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from analysis.facts import Choices, Factor, GradientStep, Measurement, Probe, Status, VariantInfo
from analysis.interventions.contract import Recipe
from analysis.interventions.variants import BASELINE, Cell, plain_cell, variant_id


@dataclass(frozen=True, eq=False)
class Measured:
    """A variant with what was measured of it; without where it was derived from nothing or does not apply."""

    info: VariantInfo
    measurement: Measurement | None = None
    recipe: Recipe | None = None


class Cells(Mapping[str, Measured]):
    """The variants of one analysis by id, in the order they were measured; the unchanged model is always there."""

    def __init__(self, unchanged: Measured) -> None:
        """The unchanged model, measured."""
        assert unchanged.measurement is not None
        self._by_id = {BASELINE: unchanged}

    @property
    def baseline(self) -> Measurement:
        """What was measured of the unchanged model so far."""
        return self.measurement(BASELINE)

    def measurement(self, name: str) -> Measurement:
        """What was measured of a variant that was."""
        measurement = self._by_id[name].measurement
        assert measurement is not None
        return measurement

    def put(self, cell: Measured) -> None:
        """Add a variant, or put what is known of it by now in its place."""
        self._by_id[cell.info.id] = cell

    def put_probe(self, name: str, proof: Probe) -> None:
        """Note the training of a variant."""
        self.put(replace(self[name], measurement=with_probe(self.measurement(name), proof)))

    def treated(self, names: Iterable[str] | None = None) -> list[tuple[VariantInfo, Measurement]]:
        """Those of these variants, or of all but the unchanged model, that are a treatment and were measured."""
        chosen = [self[name] for name in (self if names is None else names) if name != BASELINE]
        return [
            (cell.info, cell.measurement) for cell in chosen if cell.measurement is not None and cell.recipe is not None
        ]

    def __getitem__(self, name: str) -> Measured:
        return self._by_id[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)


def describe_cell(cell: Cell, recipe: Recipe | None, *, seed: int, trained: bool) -> VariantInfo:
    """What a report says of a cell before it is measured; no recipe: it does not apply.

    `seed`: of the draws, where there are any; `trained`: the unchanged weights look trained.
    """
    step = GradientStep() if recipe is None else recipe.gradient_step
    draws = recipe is not None and any(each.random for each in recipe.draws.values())
    return VariantInfo(
        id=variant_id(cell),
        plain=variant_id(plain_cell(cell)),
        choices=_choices(cell, step),
        seed=seed if draws else None,
        gradient_step=step,
        status=Status.MEASURED,
        effect=None if recipe is None else recipe.effect,
        destructive=draws and trained,
        redrawn=0 if recipe is None else len(recipe.draws),
        cost="" if recipe is None else recipe.cost,
        recipe="" if recipe is None else _sentence(recipe.words),
    )


def _choices(cell: Cell, step: GradientStep) -> Choices:
    """The token of each treatment; of a gradient step what it does."""
    levels = {each.factor: each.token for each in plain_cell(cell)}
    if step.clip is not None:
        levels[Factor.CLIP] = step.clip.kind.value
    if step.weight_decay:
        levels[Factor.DECAY] = f"{step.weight_decay:g}"
    return levels


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}." if words else ""


def with_probe(measurement: Measurement, proof: Probe) -> Measurement:
    """A measurement with its training, and how far each layer moved in the best run."""
    best = min(proof.runs, key=lambda run: run.end)
    stats = tuple(replace(each, moved=best.moved.get(each.id)) for each in measurement.stats)
    return replace(measurement, stats=stats, probe=proof)
