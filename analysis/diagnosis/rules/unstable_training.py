"""# GH108 unstable-training

## What it detects
Training runs whose loss oscillates or diverges, or whose weights grow without end.

## Why it matters
It is the consequence of an exploding gradient that the user feels (seed document, "oscillate wildly or diverge"): steps
longer than the region in which the gradient means anything.

## How it is measured
In the training probe. More than half of the runs of plain gradient descent oscillate or diverge, and none learns:
warning, which is the cause where Adam alone learns. Only with large rates, or where your own training learns: a remark,
those rates are too large here. Of your own optimiser and rate GH109 speaks. A run diverges when its loss ends over
twice chance and twice its start, or is not finite; it oscillates when it rises by a fifth in two of five steps. Weights
that end ten times as long as they began count as unstable, too.

## Example
Twenty ReLU layers with three times He's weights: the loss is infinite after the first step at either rate.

## When it is wrong
Many healthy networks do not bear a rate of 0.1 without warm-up; that is why it is only a remark.

## Remedies
A smaller learning rate; gradient clipping, which permits a larger one on a network that is not ill; the remedies of the
exploding gradient where it is. L2 regularisation limits how far weights grow.

## References
Pascanu, Mikolov and Bengio 2013; Cohen et al. 2021 (edge of stability).
"""

import math
from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.readings import learns_by_descent
from analysis.facts import Measurement, Outcome, Run
from analysis.report import Evidence, Severity
from analysis.report.parts import Bound

GROWTH: Final = 10.0
SHARE: Final = 0.5
"""Of the runs of plain gradient descent: where more of them shake and none learns, that is why it does not."""
UNSTABLE: Final = frozenset({Outcome.OSCILLATING, Outcome.DIVERGED})


@rule(
    "GH108",
    "unstable-training",
    "Training oscillates or diverges at this learning rate.",
    place=Place.MOTION,
    of_inputs=True,
    of_targets=True,
    weight_growth=GROWTH,
)
def unstable_training(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """All rates, or the large one only."""
    probe = measurement.probe
    runs, own_learns = ((), False) if probe is None else (probe.runs, probe.own_learns)
    descent = [run for run in runs if run.optimizer == "sgd"]
    unstable = [run for run in descent if _is_unstable(run, limits["weight_growth"])]
    if not unstable:
        return
    shaken = len(unstable) > SHARE * len(descent) and not (learns_by_descent(measurement) or own_learns)
    evidence = {"unstable_share_of_runs": Evidence(value=len(unstable) / len(descent), threshold=0)}
    if (growth := max(map(_growth, descent))) > limits["weight_growth"]:
        evidence["weight_growth"] = Evidence(value=growth, threshold=limits["weight_growth"], bound=Bound.MOST)
    yield Draft(severity=Severity.WARNING if shaken else Severity.INFO, evidence=evidence, affects=("sgd",))


def _is_unstable(run: Run, most: float) -> bool:
    return run.outcome in UNSTABLE or _growth(run) > most


def _growth(run: Run) -> float:
    """How many times as long the weights end; infinite for a run that left the numbers."""
    start, end = run.weight_norm.start, run.weight_norm.end
    return math.inf if not math.isfinite(end) else end / start if start else 1.0
