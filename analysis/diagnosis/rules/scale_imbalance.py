"""# GH303 scale-imbalance

## What it detects
Layers whose gradients, relative to their weights, differ by many powers of ten: no one learning rate fits them all.

## Why it matters
A step that is right for one layer is nothing to another and destroys a third. Plain gradient descent stops learning;
Adam scales every weight by itself and hardly notices.

## How it is measured
Gradient norm over weight norm of the matrices on the trunk: largest against smallest, over 3 decades: warning, or a
remark where plain gradient descent learns in the probe. Over 5 decades: warning in any case. Where gradients vanish or
explode with depth the same spread appears as their consequence.

## Example
First weights times 1000, second divided by 1000: the function is the same, the ratios lie twelve decades apart.

## When it is wrong
Layers that have little left to learn have small ratios in good health: a converged network is not judged.

## Remedies
Rebalance the scales without changing the function; initialise anew; Adam or LARS; adaptive gradient clipping.

## References
You, Gitman and Ginsburg 2017 (LARS); Brock et al. 2021 (adaptive gradient clipping).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import above
from analysis.diagnosis.readings import amber, is_converged, ratio_spread, trunk_ratios
from analysis.facts import Measurement
from analysis.report import Severity

SPREAD_DECADES: Final = 3.0
SPREAD_LARGE: Final = 5.0


@rule(
    "GH303", "scale-imbalance", "No one learning rate fits all layers.", place=Place.BALANCE,
    spread_decades=SPREAD_DECADES, spread_decades_large=SPREAD_LARGE,
)  # fmt: skip
def scale_imbalance(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Spread of update ratios on the trunk."""
    spread = ratio_spread(measurement)
    if spread <= limits["spread_decades"] or is_converged(measurement):
        return
    ratios = trunk_ratios(measurement)
    ends = sorted(ratios, key=lambda name: ratios[name])
    yield Draft(
        severity=Severity.WARNING if spread > limits["spread_decades_large"] else amber(measurement),
        evidence={"spread_decades": above(spread, limits["spread_decades"])},
        layers=(ends[0], ends[-1]),
        affects=("sgd",),
    )
