"""# GH304 update-ratio

## What it detects
Steps that are far too small or far too large for the weights they change.

## Why it matters
A weight that changes by a ten-thousandth to a hundredth of its size in a step trains; far less and it takes for ever,
far more and every step forgets the last.

## How it is measured
Gradient norm over weight norm, median over the layers of the trunk (of all where it has none): a branch behind a
layer-scale moves little by design. With `options.learning_rate`, times that rate: outside 1e-6 to 1e-1: warning, or a
remark where your own training learns in the probe; outside 1e-4 to 1e-2: a remark. What the network is, and that your
own training fails where another rate learns (GH109), come before a step that your rate makes. Without one only the
bottom can be told: a median under 1e-3 means that a rate of 0.1 changes weights by less than a ten-thousandth:
warning, or a remark where plain gradient descent learns in the probe. A converged network has small gradients by right
and is not judged; without a rate neither is one that has learnt the batch (a loss under a fifth of chance), nor a
graph's own loss, whose scale is anybody's guess.

## Example
A recurrent network that averages over 200 steps: median ratio 3e-5.

## When it is wrong
Adam makes steps of its own size; the ratio concerns plain gradient descent.

## Remedies
Another learning rate, or an optimiser that scales by itself.

## References
Karpathy, CS231n ("ratio of weights to updates"); TheDeepChecker (Ben Braiek and Khomh 2023).
"""

from collections.abc import Iterator
from statistics import median
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import over, under
from analysis.diagnosis.readings import amber, has_learnt, is_converged, trunk_ratios
from analysis.facts import Measurement
from analysis.report import Severity

LEAST: Final = 1e-6
LARGEST: Final = 1e-1
LEAST_USUAL: Final = 1e-4
LARGEST_USUAL: Final = 1e-2
LEAST_WITHOUT_RATE: Final = 1e-3


@rule(
    "GH304", "update-ratio", "A training step is of the wrong size for these weights.", place=Place.BALANCE,
    of_inputs=True, of_targets=True,
    least=LEAST, largest=LARGEST, least_usual=LEAST_USUAL, largest_usual=LARGEST_USUAL,
    least_without_rate=LEAST_WITHOUT_RATE,
)  # fmt: skip
def update_ratio(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """The median over layers, with the user's learning rate or without any."""
    everywhere = [stats.update_ratio for stats in measurement.stats if stats.update_ratio is not None]
    ratios = list(trunk_ratios(measurement).values()) or everywhere
    if not ratios or is_converged(measurement):
        return
    typical = median(ratios)
    if measurement.learning_rate is None:
        known = measurement.loss.name != "graph" and not has_learnt(measurement)
        if known and 0 < typical < limits["least_without_rate"]:
            evidence = {"median_update_ratio": under(typical, limits["least_without_rate"])}
            yield Draft(severity=amber(measurement), evidence=evidence, affects=("sgd",))
        return
    far = not limits["least"] <= typical <= limits["largest"]
    low, high = (limits["least"], limits["largest"]) if far else (limits["least_usual"], limits["largest_usual"])
    trains = measurement.probe is not None and measurement.probe.own_learns
    if not low <= typical <= high:
        yield Draft(
            severity=Severity.WARNING if far and not trains else Severity.INFO,
            evidence={"median_update_ratio": under(typical, low) if typical < low else over(typical, high)},
            affects=("sgd",),
            place=Place.OUTCOME,
        )
