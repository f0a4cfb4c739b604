"""A graph that ends in its own loss, trained: where the loss starts, and where it comes to.

What a constant prediction would lose is unknown there, so nothing is over chance: curves are in parts of where the loss
starts. It is trained as it stands, at rates that go by where it starts (to the next power of ten), so that a factor
before the loss changes little. Every run goes on to the end, and 200 steps are taken at once.
"""

import math
from dataclasses import replace
from functools import partial

from analysis.facts import Measurement, OwnLoss, ProbeKind
from analysis.options import Effort, LossName
from analysis.training.grid import PATIENCE, STEPS
from analysis.training.trainer import Trainer

WHAT = "training by the graph's own loss"


def train_by_own_loss(trainer: Trainer, measured: Measurement) -> OwnLoss | None:
    """All runs of the grid with one seed; None where the loss is another, at effort quick, or where the budget ends."""
    subject, options = trainer.baseline, trainer.options
    if subject.objective.name is not LossName.GRAPH or not math.isfinite(measured.loss.value):
        return None
    if options.effort is Effort.QUICK:
        trainer.clock.leave_out(WHAT, "effort is quick")
        return None
    if not trainer.clock.allows(WHAT):
        return None
    kind = trainer.kind
    unit = measured.loss.value if measured.loss.value > 0 else max(-measured.loss.value, 1.0)
    in_its_unit = replace(subject, objective=replace(subject.objective, chance=1.0, scale=unit))
    steps = PATIENCE[ProbeKind.LEARNING] * STEPS[ProbeKind.LEARNING]
    in_its_rates = replace(trainer, baseline=in_its_unit)
    train = partial(
        in_its_rates.train,
        in_its_unit,
        kind,
        trainer.seeds[:1],
        measured,
        to_the_end=True,
        lengthen=steps // STEPS[kind],
    )
    proof = trainer.clock.finished(WHAT, train)
    return None if proof is None else OwnLoss(steps=proof.steps, samples=proof.samples, unit=unit, runs=proof.runs)
