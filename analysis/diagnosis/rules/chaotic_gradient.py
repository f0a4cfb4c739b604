"""# GH103 chaotic-gradient

## What it detects
A network so sensitive that a linear step would carry its outputs hundreds of times further than they really differ:
its gradient describes a neighbourhood smaller than any step.

## Why it matters
Depth can explode without any norm exploding: saturating activations and normalisation layers keep values in range
while the slope between them grows with every layer (seed document, "Deep Networks"). BatchNormalization without skip
paths multiplies the gradient by about 1.21 a layer, whatever the weights. Such gradients point nowhere in particular;
training stalls or jumps.

## How it is measured
The nonlinearity coefficient, by random cotangents and the covariance of the sample batch: 1 for a linear network.
Over 30 (100 where convolutions, normalisation, attention or recurrence inflate it): warning, or a remark where plain
gradient descent learns in the probe. Over 300 together with a largest leverage over 10^3 of the input's RMS: error,
or a warning where the network learns in the probe, or where there is no probe and neither is 1.5 decades beyond its
threshold, or there are convolutions, or recurrent cells keep their states in range (GH402). The smaller of two
cotangents counts.

## Example
Fifty layers of BatchNormalization and ReLU without skip paths: coefficient 10^3.9. Twenty tanh layers with four times
Xavier's weights: 10^3.8.

## When it is wrong
BatchNormalization on tiny feature maps with few samples inflates the coefficient: DenseNet and EfficientNet reach 25 to
60 in good health, ResNet-50 and Inception on small images 200 to 300, ConvMixer 10^3.8, and all of these train.

## Remedies
Residual connections; fewer or weaker normalisations in a plain stack; Xavier initialisation for saturating activations.

## References
Philipp and Carbonell 2018 (The Nonlinearity Coefficient); Yang et al. 2019 (A Mean Field Theory of Batch
Normalization); Poole et al. 2016.
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import above, over
from analysis.diagnosis.readings import amber, has_bounded_states, is_borderline, nonlinearity, reach_log10, settled
from analysis.facts import Measurement

LIMIT: Final = 30.0  # healthy multilayer perceptrons stay under 5
LIMIT_INFLATED: Final = 100.0  # 36 vision networks at random initialisation stay under 63
ERROR: Final = 300.0  # thirty layers of BatchNormalization and ReLU, which train slowly
LEVERAGE_LOG10: Final = 3.0  # over the RMS of the input


@rule(
    "GH103", "chaotic-gradient", "The gradient changes so fast with the input that no step can follow it.",
    place=Place.TRANSPORT,
    nonlinearity=LIMIT, nonlinearity_inflated=LIMIT_INFLATED, nonlinearity_error=ERROR, leverage_log10=LEVERAGE_LOG10,
)  # fmt: skip
def chaotic_gradient(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Far over the limit and with reach: error; over it: warning."""
    coefficient, reach = nonlinearity(measurement.flow), reach_log10(measurement)
    limit = limits["nonlinearity_inflated" if _is_inflated(measurement) else "nonlinearity"]
    if coefficient is None or not coefficient > limit:
        return
    far = coefficient > limits["nonlinearity_error"] and reach is not None and reach > limits["leverage_log10"]
    evidence = {"nonlinearity_coefficient": over(coefficient, limits["nonlinearity_error"] if far else limit)}
    if far and reach is not None:
        evidence["largest_leverage_log10"] = above(reach, limits["leverage_log10"])
    inflated = measurement.convolutional or has_bounded_states(measurement)
    doubtful = inflated or is_borderline(evidence.values())
    yield Draft(
        severity=settled(measurement, doubtful=doubtful) if far else amber(measurement),
        evidence=evidence,
        layers=measurement.flow.trunk[:1],
    )


def _is_inflated(measurement: Measurement) -> bool:
    return measurement.convolutional or measurement.normalized or measurement.attentive or measurement.recurrent
