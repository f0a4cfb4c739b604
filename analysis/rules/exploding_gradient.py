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
error. Flow alone: warning. A network that learns in the training probe all the same gets a warning.

## Example
Twenty ReLU layers with three times He's weights: flow +9 decades; SGD diverges in its first step.

## When it is wrong
Global average pooling can hide an explosion behind it, and inputs on a scale of 255 raise leverage (which is why it is
divided by the input's RMS). Flow between +0.8 and +1.8 is where GPT-2 sits and means nothing.

## Remedies
He or Xavier initialisation, normalisation. Gradient clipping keeps a step bounded but does not repair a bad start; L2
regularisation limits growth during training.

## References
Pascanu, Mikolov and Bengio 2013; Philipp and Carbonell 2018. Thresholds: 825 networks trained for this project.
"""

import math
from collections.abc import Iterator
from typing import Final

from analysis.facts import Measurement
from analysis.report import Evidence, Severity
from analysis.rules._base import Draft, above, over, rule, settled
from analysis.zones import EXPLODING_DECADES

LEVERAGE_LOG10: Final = 3.0  # over the RMS of the input
NONLINEARITY: Final = 30.0  # multilayer perceptrons
NONLINEARITY_IMAGES: Final = 100.0  # convolutions and normalisation inflate it


@rule("GH102", "exploding-gradient", "The gradient grows on its way back until a training step destroys the weights.")
def exploding_gradient(measurement: Measurement) -> Iterator[Draft]:
    """Flow with a second witness: error; flow alone: warning."""
    flow = measurement.flow
    if flow.decades_rms is None or flow.decades_norm is None:
        return
    smaller = min(flow.decades_rms, flow.decades_norm)
    if not smaller > EXPLODING_DECADES:
        return
    witnesses = dict(_second_witnesses(measurement))
    severity = Severity.ERROR if witnesses else Severity.WARNING
    yield Draft(
        severity=settled(severity, measurement),
        evidence={"flow_decades": above(smaller, EXPLODING_DECADES), **witnesses},
        layers=flow.trunk[:1],
    )


def _second_witnesses(measurement: Measurement) -> Iterator[tuple[str, Evidence]]:
    flow = measurement.flow
    if flow.leverage_log10 is not None and flow.input_rms:
        reach = flow.leverage_log10.largest - math.log10(flow.input_rms)
        if reach > LEVERAGE_LOG10:
            yield "largest_leverage_log10", above(reach, LEVERAGE_LOG10)
    limit = NONLINEARITY_IMAGES if measurement.convolutional or measurement.normalized else NONLINEARITY
    if flow.nonlinearity_coefficient is not None and flow.nonlinearity_coefficient > limit:
        yield "nonlinearity_coefficient", over(flow.nonlinearity_coefficient, limit)
