"""# GH506 target-faults

## What it detects
Targets that teach nothing or the wrong thing: all equal, one class only, a few numbers that outweigh all others, one
class that is rare.

## Why it matters
Where all targets are equal, a bias learns all there is. Squares of a few outliers are most of the loss, so the network
learns those. With one sample of a class in a hundred of the other, always saying the other is right 99 times, and a
loss that looks good says little.

## How it is measured
Of targets that were sent. Fewer than two different ones, of two samples or more: warning. Numbers of which the
hundredth farthest from the mean holds more than half of the variance (8 % for normal numbers): warning, or a remark
where plain gradient descent learns in the probe; so are numbers a thousand times as far from the median of their output
as its middle half, such as -9999 for what is missing. More than ten labels of the most frequent class for each of the
rarest that occurs: a remark, for such networks train. Class ids out of range and numbers that are not finite are
refused before anything is measured.

## Example
A batch that was read from a file sorted by class.

## When it is wrong
The batch is no fair sample of the data: shuffle before one is taken.

## Remedies
Shuffle; leave out samples whose target is missing; clip the targets, take their logarithm, or a loss that forgives
outliers (Huber); weigh or sample the classes, and judge by more than accuracy.

## References
Huber 1964; He and Garcia 2009 (learning from imbalanced data); Karpathy 2019 ("become one with the data").
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import above, over, under
from analysis.diagnosis.readings import amber
from analysis.facts import Measurement, TargetFacts
from analysis.report import Severity

FEWEST_DIFFERENT: Final = 2
TAIL_SHARE: Final = 0.5
FAR_DECADES: Final = 3.0
IMBALANCE: Final = 10.0


@rule(
    "GH506",
    "target-faults",
    "The targets of the batch teach little or the wrong thing.",
    place=Place.INPUT,
    of_inputs=True,
    tail_share=TAIL_SHARE,
    imbalance=IMBALANCE,
)
def target_faults(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Constant, heavy-tailed, unbalanced."""
    targets = measurement.targets
    if targets is None:
        return
    if _is_constant(targets) and measurement.batch.size >= FEWEST_DIFFERENT:
        evidence = {"different_targets": under(1, FEWEST_DIFFERENT)}
        yield Draft(severity=Severity.WARNING, evidence=evidence)
    elif targets.far_decades is not None:
        yield Draft(severity=amber(measurement), evidence={"far_decades": above(targets.far_decades, FAR_DECADES)})
    elif targets.tail_share is not None and targets.tail_share > limits["tail_share"]:
        evidence = {"tail_share": over(targets.tail_share, limits["tail_share"])}
        yield Draft(severity=amber(measurement), evidence=evidence)
    elif targets.imbalance is not None and targets.imbalance > limits["imbalance"]:
        yield Draft(severity=Severity.INFO, evidence={"imbalance": over(targets.imbalance, limits["imbalance"])})


def _is_constant(targets: TargetFacts) -> bool:
    """Whether one class occurs, or no output has two different targets."""
    return targets.present == 1 if targets.present is not None else targets.std == 0
