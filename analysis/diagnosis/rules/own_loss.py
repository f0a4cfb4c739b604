"""# GH605 own-loss

## What it detects
A graph that ends in its own loss, and whose loss a training does not bring down, or brings down to a rest that hardly
moves.

## Why it matters
Nobody knows how low such a loss can get, so no number is "chance", and the graph must not be called healthy because
gradients flow through it. A loss that stays where it is may be saturated (the logarithm of a discriminator that is
sure); one that falls by decades at once and then crawls was made of terms of very different size, and the large one
was all that the steps saw.

## How it is measured
The graph is trained by its own loss as every network is in the probe, for 200 steps, in parts of where the loss starts
(where that is not over 0: as it stands, or in parts of its size over 1). Error where no run comes down by 3 %. Warning
where none comes down by a tenth, or only Adam does, or where the best run falls under 2 % of its start and loses less
than half of the rest in its second half. Start and end are told in the summary in any case.

## Example
An oscillator's equation (stiffness 400) and its starting values in one loss: from 1415 to 2.1 with Adam, of which the
second hundred steps bring 0.9.

## When it is wrong
A loss that starts at its best does not come down. A rest that hardly moves may be noise that is in the data.

## Remedies
Bring the terms of the loss to one size (divide each by its value at the start) and train for longer; a loss that does
not saturate (-log D in the place of log(1 - D)); Adam.

## References
Goodfellow et al. 2014 (section 3); Wang, Teng and Perdikaris 2021 (gradient pathologies of physics-informed networks).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.readings import COMES_DOWN, learns, learns_by_descent
from analysis.facts import Confidence, Measurement, OwnLoss
from analysis.report import Evidence, Severity

STAYS: Final = 0.03
DROWNED: Final = 0.98
"""Of where the loss starts, from which what is left may be other terms than those that fell."""
HALVED: Final = 0.5


@rule(
    "GH605",
    "own-loss",
    "Training by the graph's own loss does not show that anything is learnt.",
    place=Place.OUTCOME,
    of_inputs=True,
)
def own_loss(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """A loss that stays; one that Adam alone brings down, or little; one whose rest hardly moves."""
    own = measurement.own_loss
    if own is None:
        return
    if learns_by_descent(measurement) and not _crawls(own):
        return
    yield Draft(
        severity=Severity.ERROR if own.fall() < STAYS else Severity.WARNING,
        evidence={
            "fall_of_own_loss": Evidence(value=own.fall(), threshold=COMES_DOWN),
            "fall_with_sgd": Evidence(value=own.fall("sgd"), threshold=COMES_DOWN),
        },
        affects=("sgd",) if learns(measurement) and not _crawls(own) else ("sgd", "adam"),
        confidence=Confidence.MEDIUM,
    )


def _crawls(own: OwnLoss) -> bool:
    """Whether the best run fell by decades, and hardly moves since."""
    best = own.best()
    if best is None or own.fall() < DROWNED:
        return False
    half = best.curve[len(best.curve) // 2]
    return own.fall() < 1 and best.end > HALVED * half
