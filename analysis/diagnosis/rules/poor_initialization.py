"""# GH301 poor-initialization

## What it detects
Fresh weights whose size does not fit the activation behind them.

## Why it matters
Each layer multiplies the signal by its gain over the gain it should have; depth compounds the error (seed document,
"Poor weight initialization"). It is the most frequent root of vanishing and exploding gradients, and the cheapest to
mend.

## How it is measured
Initialisation gain, sqrt(fan_in) times the standard deviation of a weight, against the gain that keeps the second
moment through the activation behind it. Median over the weight matrices on the trunk, at least three: off by more than
a factor of five (0.7 decades): warning, or a remark where plain gradient descent learns in the probe, where a
normalisation makes the scale of weights immaterial, or where gradients flow well all the same. Off by more than a
factor of two: a remark. A layer on the trunk, in front of the last one, that lets nothing through, as all its weights
or the scale of its normalisation are zero: a warning, or a remark where plain gradient descent learns in the probe.
Weights that look trained are not judged.

## Example
Ten ReLU layers drawn from N(0, 0.01^2) at width 64: gain 0.08, it should be 1.41. Scales of BatchNormalization that all
start at zero, where no skip leads around them.

## When it is wrong
Torch's default for linear layers is a factor of 2.4 under He's, which shallow networks bear. Schemes that scale
residual branches by their number are meant to be small; branches are not counted.

## Remedies
He initialisation for ReLU and its kin, Xavier for tanh and sigmoid, orthogonal for recurrent weights; LSUV measures the
right scale instead of computing it.

## References
Glorot and Bengio 2010; He et al. 2015; Mishkin and Matas 2016 (LSUV).
"""

import math
from collections.abc import Iterator
from statistics import median
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.readings import amber, layers_with_stats
from analysis.facts import Measurement, Zone
from analysis.facts.zones import zone
from analysis.report import Evidence, Severity

GAIN_DECADES: Final = 0.7  # a factor of five
GAIN_REMARK: Final = 0.3  # a factor of two
FEWEST: Final = 3  # layers that depth can compound


@rule(
    "GH301", "poor-initialization", "The size of the weights does not fit the activations behind them.",
    place=Place.MAKING,
    gain_decades=GAIN_DECADES, gain_decades_remark=GAIN_REMARK,
)  # fmt: skip
def poor_initialization(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Layers of zeros, and the median deviation on the trunk."""
    zeros = measurement.anatomy.zero_layers
    if zeros and not measurement.trained:
        evidence = {"layers_of_zeros": Evidence(value=len(zeros), threshold=0)}
        yield Draft(severity=amber(measurement), evidence=evidence, layers=zeros)
    off = {} if measurement.trained else _deviations(measurement)
    if len(off) < FEWEST:
        return
    typical = median(abs(decades) for decades in off.values())
    if typical <= limits["gain_decades_remark"]:
        return
    far = typical > limits["gain_decades"]
    harmless = measurement.normalized or zone(measurement.flow) is Zone.GREEN
    limit = limits["gain_decades" if far else "gain_decades_remark"]
    yield Draft(
        severity=amber(measurement) if far and not harmless else Severity.INFO,
        evidence={"gain_decades": Evidence(value=typical, threshold=limit, margin_decades=typical - limit)},
        layers=tuple(name for name, decades in off.items() if abs(decades) > limit),
    )


def _deviations(measurement: Measurement) -> dict[str, float]:
    """log10 of gain over target, by layer on the trunk."""
    return {
        layer.id: math.log10(stats.weight.initialization_gain / stats.weight.target_gain)
        for layer, stats in layers_with_stats(measurement)
        if layer.on_trunk and stats.weight is not None and stats.weight.initialization_gain and stats.weight.target_gain
    }
