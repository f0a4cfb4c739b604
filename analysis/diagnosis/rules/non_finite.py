"""# GH106 non-finite

## What it detects
NaN or infinity in an activation, in the loss or in a gradient.

## Why it matters
One non-finite gradient destroys every weight it updates, and all that follows computes with them.

## How it is measured
Forward and backward on the sample batch; when anything is not finite, a second run looks at every value in order and
names the first one.

## Example
A Log of a Softmax that underflowed: the loss is infinite, the first value is the Log's output.

## When it is wrong
A mask that adds -infinity to attention scores before a Softmax is fine and not counted as long as the outputs and
gradients are finite.

## Remedies
An epsilon inside Log, Div and Sqrt, a cosine kept under 1 in front of Acos, or a mask that leaves each query a key, at
the node that is named: that mends it, and `guarded` does it. Only then a smaller initialisation (He, Xavier) or
normalisation, which may hide it until the next such input. Clipping cannot help: a NaN stays a NaN.

## References
Wardat et al. 2021 (DeepLocalize): locating the first faulty layer.
"""

from collections.abc import Iterator

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.facts import Factor, Measurement
from analysis.report import Evidence, Severity


@rule(
    "GH106",
    "non-finite",
    "NaN or infinity appears in the forward or backward pass.",
    place=Place.NUMBERS,
    factors=(Factor.ARITHMETIC,),
)
def non_finite(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Any non-finite loss, gradient or layer output."""
    if measurement.non_finite is None:
        return
    layers = tuple(
        stats.id
        for stats in measurement.stats
        if (stats.activation is not None and stats.activation.non_finite)
        or (stats.weight_gradient is not None and stats.weight_gradient.non_finite)
    )
    counted = sum(
        (stats.activation.non_finite if stats.activation else 0)
        + (stats.weight_gradient.non_finite if stats.weight_gradient else 0)
        for stats in measurement.stats
    )
    yield Draft(
        severity=Severity.ERROR,
        evidence={"non_finite_values": Evidence(value=counted, threshold=0)},
        layers=layers,
        affects=("sgd", "adam", "fp16"),
    )
