"""Cells made of plain numbers, as those see them who decide about trainings."""

from dataclasses import replace

from analysis.experiment.cells import Cells, Measured
from analysis.facts import Effect, GradientStep, Outcome, Probe, ProbeKind, Run, StartEnd, Status, VariantInfo
from analysis.interventions.contract import Recipe
from analysis.model import check_model
from tests.analysis.diagnosis.builders import measurement
from tests.gallery import he, mlp
from tests.variant_ids import without_steps

MODEL = check_model(mlp(2, "Relu", he()))
RECIPE = Recipe(model=MODEL, effect=Effect.CHANGES_FUNCTION, words="", cost="")


def run(end: float, seed: int = 0, optimizer: str = "sgd", rate: float = 0.1, **facts: object) -> Run:
    """A run that has learnt from 0.7 of chance on, unless told otherwise."""
    return Run(
        **{
            "optimizer": optimizer, "learning_rate": rate, "seed": seed, "curve": (1.0, end), "moved": {}, "limit": 0.7,
            "outcome": Outcome.LEARNT if end < 0.7 else Outcome.STALLED, "weight_norm": StartEnd(start=1.0, end=1.0),
            **facts,
        }
    )  # fmt: skip


def probe_of(*runs: Run, **facts: object) -> Probe:
    """A training from minibatches."""
    seeds = {each.seed for each in runs}
    worst = max(min(each.end for each in runs if each.seed == seed) for seed in seeds)
    whole = Probe(
        kind=ProbeKind.LEARNING, steps=50, samples=256, minibatch=32, best_loss_over_chance=worst, runs=runs
    )  # fmt: skip
    return replace(whole, **facts)


def cell(name: str, probe: Probe | None = None, recipe: Recipe | None = RECIPE, **facts: object) -> Measured:
    """A variant that was measured, and trained where there is a probe."""
    info = VariantInfo(
        id=name, plain=without_steps(name), choices={}, gradient_step=GradientStep(), status=Status.MEASURED
    )
    return Measured(replace(info, **facts), measurement(probe=probe), recipe)


def cells_of(*treated: Measured, unchanged: Probe | None = None) -> Cells:
    """These behind the unchanged model."""
    cells = Cells(cell("baseline", unchanged))
    for each in treated:
        cells.put(each)
    return cells
