"""# GH102 exploding-gradient

## What it detects
The gradient grows by so many decades on its way from the logits back to the first weights that a step of gradient
descent throws them far away.

## Why it matters
Weights oscillate or diverge, the loss becomes NaN, or only a learning rate too small for the later layers survives
(seed document, "Exploding Gradient Problem"). Weights that are too large multiply at every layer, and depth
compounds them.

## How it is measured
Two witnesses. *Flow*: log10 of the gradient at the start of the trunk over that at the logits; the smaller of the RMS
and the norm reading must exceed +1.8. *Reach*: the largest leverage on the trunk over the RMS of the input exceeds
10^3, or the nonlinearity coefficient exceeds 30 (100 where there are convolutions or normalisation layers). Both:
error, or a warning where the network learns in the training probe all the same, or where there is no probe and either
no witness is 1.5 decades beyond its threshold or recurrent cells keep their states in range (GH402). Behind a
normalisation layer a small input lends no reach: it is divided by the input's RMS only where that is over 1. Flow
alone: warning, or a remark where plain gradient descent learns in the probe; the same where only one of its readings
exceeds the limit, with a reach over 10^4 in a network without normalisation layers.

## Example
Twenty ReLU layers with three times He's weights: flow +9 decades; SGD diverges in its first step.

## When it is wrong
Function-preserving rescaling moves flow alone: that is scale imbalance (GH303) and not reported here. Global average
pooling can hide an explosion behind it, from the RMS more than from the norm, and inputs on a scale of 255 raise
leverage (which is why it is divided by the input's RMS). Flow between +0.8 and +1.8 is where GPT-2 sits and means
nothing.

## Remedies
He or Xavier initialisation, normalisation. Gradient clipping keeps a step bounded but does not repair a bad start; L2
regularisation limits growth during training.

## References
Pascanu, Mikolov and Bengio 2013; Philipp and Carbonell 2018. Thresholds: 825 networks trained for this project.
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import above, over
from analysis.diagnosis.readings import (
    amber,
    has_bounded_states,
    is_borderline,
    nonlinearity,
    ratio_spread,
    reach_log10,
    settled,
)
from analysis.facts import Measurement
from analysis.facts.zones import EXPLODING_DECADES
from analysis.report import Evidence

LEVERAGE_LOG10: Final = 3.0  # over the RMS of the input
LEVERAGE_FAR_LOG10: Final = 4.0  # healthy vision networks stay under 3.9
NONLINEARITY: Final = 30.0  # multilayer perceptrons
NONLINEARITY_IMAGES: Final = 100.0  # convolutions and normalisation inflate it
SCALE_DECADES: Final = 3.0  # spread of update ratios that explains flow without reach


@rule(
    "GH102",
    "exploding-gradient",
    "The gradient grows on its way back until a training step destroys the weights.",
    place=Place.TRANSPORT,
    flow_decades=EXPLODING_DECADES,
    leverage_log10=LEVERAGE_LOG10,
    leverage_far_log10=LEVERAGE_FAR_LOG10,
    nonlinearity=NONLINEARITY,
    nonlinearity_images=NONLINEARITY_IMAGES,
)
def exploding_gradient(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Flow with a second witness: error; flow alone, or half of it with a very long reach: warning."""
    flow, witnesses = measurement.flow, dict(_second_witnesses(measurement, limits))
    if flow.decades_rms is None or flow.decades_norm is None:
        return
    smaller = min(flow.decades_rms, flow.decades_norm)
    if smaller > limits["flow_decades"]:
        if witnesses or ratio_spread(measurement) <= SCALE_DECADES:
            evidence = {"flow_decades": above(smaller, limits["flow_decades"]), **witnesses}
            doubtful = is_borderline(evidence.values()) or has_bounded_states(measurement)
            severity = settled(measurement, doubtful=doubtful) if witnesses else amber(measurement)
            yield Draft(severity=severity, evidence=evidence, layers=flow.trunk[:1])
        return
    larger = max(flow.decades_rms, flow.decades_norm)
    reach, limit = reach_log10(measurement), limits["leverage_far_log10"]
    if larger > limits["flow_decades"] and reach is not None and reach > limit and not measurement.normalized:
        evidence = {
            "larger_flow_decades": above(larger, limits["flow_decades"]),
            "largest_leverage_log10": above(reach, limit),
        }
        yield Draft(severity=amber(measurement), evidence=evidence, layers=flow.trunk[:1])


def _second_witnesses(measurement: Measurement, limits: Limits) -> Iterator[tuple[str, Evidence]]:
    reach, coefficient = reach_log10(measurement), nonlinearity(measurement.flow)
    if reach is not None and reach > limits["leverage_log10"]:
        yield "largest_leverage_log10", above(reach, limits["leverage_log10"])
    inflated = measurement.convolutional or measurement.normalized
    limit = limits["nonlinearity_images"] if inflated else limits["nonlinearity"]
    if coefficient is not None and coefficient > limit:
        yield "nonlinearity_coefficient", over(coefficient, limit)
