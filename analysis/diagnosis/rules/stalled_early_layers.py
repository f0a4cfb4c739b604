"""# GH107 stalled-early-layers

## What it detects
Early layers that hardly move while later ones train.

## Why it matters
It is the consequence of a vanishing gradient that the user feels (seed document, "slow or no learning in the early
layers"): the network trains its last layers on random features, and the loss stops where those end.

## How it is measured
In the best run of plain gradient descent in the training probe: how far each layer moved, |W_K - W_0| / |W_0|. Where no
weight matrix in the first third of the trunk moved a hundredth of what the farthest did: warning, or a remark where the
loss fell all the same. Embedding tables are left out: only the rows in the batch can move.

## Example
Twelve sigmoid layers: the first moved 2e-6 of its norm in 20 steps, the last 0.4.

## When it is wrong
Pretrained early layers may have little left to learn. A frozen layer is not counted.

## Remedies
Those of the vanishing gradient: other activations with fitting initialisation, normalisation, residual connections.

## References
Hochreiter 1991; Raghu et al. 2017 (layers converge bottom-up in healthy networks).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import below
from analysis.diagnosis.readings import amber
from analysis.facts import Measurement, Run, is_matrix

MOVED_DECADES: Final = -2.0
FEWEST: Final = 3  # layers on the trunk


@rule(
    "GH107",
    "stalled-early-layers",
    "The first layers hardly move while later ones train.",
    place=Place.MOTION,
    of_inputs=True,
    of_targets=True,
    moved_decades=MOVED_DECADES,
)
def stalled_early_layers(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """The first third of the trunk against its farthest layer."""
    best = _best_descent(measurement)
    moved = {} if best is None else _moved_on_trunk(measurement, best.moved)
    if len(moved) < FEWEST or not max(moved.values()) > 0:
        return
    early = list(moved)[: math.ceil(len(moved) / 3)]
    farthest_early = max(moved[name] for name in early)
    decades = math.log10(farthest_early / max(moved.values())) if farthest_early > 0 else -math.inf
    if decades < limits["moved_decades"]:
        yield Draft(
            severity=amber(measurement),
            evidence={"moved_decades": below(decades, limits["moved_decades"])},
            layers=tuple(early),
            affects=("sgd",),
        )


def _best_descent(measurement: Measurement) -> Run | None:
    """The run of plain gradient descent that ended lowest."""
    runs = () if measurement.probe is None else measurement.probe.runs
    finite = [run for run in runs if run.optimizer == "sgd" and math.isfinite(run.end)]
    return min(finite, key=lambda run: run.end, default=None)


def _moved_on_trunk(measurement: Measurement, moved: Mapping[str, float]) -> dict[str, float]:
    """Layers with a weight matrix, inputs first."""
    return {
        layer.id: moved[layer.id]
        for layer in measurement.layers
        if layer.on_trunk
        and math.isfinite(moved.get(layer.id, math.nan))
        and any(is_matrix(role) and not role.startswith("embedding") for role in layer.parameters)
    }
