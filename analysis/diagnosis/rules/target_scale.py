"""# GH308 target-scale

## What it detects
Targets in thousands, in thousandths, or far from zero for how much they differ, which no fresh network's outputs are
near.

## Why it matters
A network starts with outputs of size one. To reach returns of thousands its last layer has to grow a thousandfold
first: squares of the distance explode at a usual learning rate, and a rate that is small enough, or Adam, takes the
whole training to get there. Targets of thousandths leave no gradient. It looks like a gradient that explodes or
vanishes, and the network is sound.

## How it is measured
Of targets that are numbers: root mean square over 30 while the outputs are not within a tenth of it; standard deviation
under 0.01; a mean over 5 standard deviations that the outputs are not near. Warning, or a remark where plain gradient
descent learns in the probe at a rate of 0.0001 or more, of the loss as it is. Not judged where the outputs already are
nearer than half of chance, as those of a trained network are, nor where a few that lie far from all others make the
scale (GH506). Gradient flow does not depend on the scale of the targets.

## Example
A network that values moves by returns of 3000.

## When it is wrong
A loss that is divided by the variance, or a relative one, does not mind the scale.

## Remedies
Standardise the targets: subtract their mean, divide by their standard deviation, and undo it on what the network puts
out; clip or scale rewards.

## References
LeCun et al. 1998 (Efficient BackProp, section 4.3); van Hasselt et al. 2016 (learning values across many orders of
magnitude).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import over, under
from analysis.diagnosis.readings import loss_over_chance, of_scale
from analysis.facts import Measurement, OutputFacts, TargetFacts
from analysis.report import Evidence

LARGEST_RMS: Final = 30.0
LEAST_STD: Final = 0.01
OFF_CENTRE: Final = 5.0
NEAR: Final = 0.5
"""Loss over chance from which the outputs have the scale of their targets."""
REACHED: Final = 0.1
"""Outputs of this share of the targets are made for them."""


@rule(
    "GH308", "target-scale", "The targets are far from the scale of the outputs: standardise them.", place=Place.INPUT,
    of_inputs=True,
    largest_rms=LARGEST_RMS, least_std=LEAST_STD, mean_over_std=OFF_CENTRE,
)  # fmt: skip
def target_scale(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Scale and offset, beside those of the outputs."""
    targets, outputs, ratio = measurement.targets, measurement.outputs, loss_over_chance(measurement)
    if targets is None or outputs is None or targets.kind != "numbers" or not targets.std:
        return
    if targets.far_decades is not None:
        return  # a few decide the scale, of which GH506 tells
    if ratio is not None and ratio < NEAR:
        return
    evidence = dict(_evidence(targets, outputs, limits))
    if evidence:
        yield Draft(severity=of_scale(measurement), evidence=evidence, layers=measurement.flow.trunk[-1:])


def _evidence(targets: TargetFacts, outputs: OutputFacts, limits: Limits) -> Iterator[tuple[str, Evidence]]:
    reached = outputs.rms or 0.0
    if targets.rms > limits["largest_rms"] and reached < REACHED * targets.rms:
        yield "target_rms", over(targets.rms, limits["largest_rms"])
    if targets.std < limits["least_std"]:
        yield "target_std", under(targets.std, limits["least_std"])
    off_centre = abs(targets.mean) / targets.std
    if off_centre > limits["mean_over_std"] and reached < NEAR * abs(targets.mean):
        yield "target_mean_over_std", over(off_centre, limits["mean_over_std"])
