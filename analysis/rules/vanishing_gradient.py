"""# GH101 vanishing-gradient

## What it detects
The gradient loses so many decades on its way from the logits back to the first weights that plain gradient descent
cannot train them.

## Why it matters
Early layers stay where they were initialised, and whatever they fail to pass on no later layer can recover: training
is slow or stands still (seed document, "Vanishing Gradient Problem"). Sigmoid and tanh shrink the gradient at every
layer where they are not in their linear range; weights that are too small do so under any activation; depth
multiplies both. `decades_per_layer` shows how much each layer costs.

## How it is measured
Two witnesses. *Flow*: log10 of the gradient at the start of the trunk over that at the logits, by RMS per element and
by norm per tensor; the larger of the two must be under -2.8. *Leverage*: |W| |G| / sqrt(N) of the weights on the
trunk under a random unit cotangent; the least must be under 10^-1. Both: error. One alone: warning. A network that
learns in the training probe all the same gets a warning. The trunk are the tensors every path passes through, so a
branch may carry a tiny gradient in good health. Over 825 trained networks an error meant failure under SGD in 98 to
100 % of cases.

## Example
Twelve sigmoid layers of width 64 with Xavier weights: flow -7.4 decades, 0.6 a layer; loss stays at chance.

## When it is wrong
Function-preserving rescaling (W1 x 1000, W2 / 1000) moves flow but not leverage: that is a warning here and
scale imbalance in truth. A head that was initialised to zero blocks every gradient by design and is not counted. A
converged loss has no gradient; flow is then read from a random cotangent.

## Remedies
Replace saturating activations by ReLU or its variants together with He initialisation, insert normalisation, wrap
blocks in residual connections. The activation alone, clipping and weight decay do not help.

## References
Hochreiter 1991; Glorot and Bengio 2010; He et al. 2015. Trunk and thresholds: 825 networks trained for this project.
"""

from collections.abc import Iterator
from typing import Final

from analysis.facts import Measurement
from analysis.report import Severity
from analysis.rules._base import Draft, below, rule, settled
from analysis.zones import VANISHING_DECADES

LEVERAGE_LOG10: Final = -1.0  # healthy networks stay over -0.1
ADAM_DECADES: Final = -5.0  # Adam follows further down than SGD
HALF_PRECISION_FLOOR: Final = 2.0**-24  # smallest positive float16


@rule("GH101", "vanishing-gradient", "The gradient that reaches the first layer is too small to train it.")
def vanishing_gradient(measurement: Measurement) -> Iterator[Draft]:
    """Two witnesses: error; one: warning."""
    flow = measurement.flow
    if flow.decades_rms is None or flow.decades_norm is None or _has_zero_weights(measurement):
        return
    larger = max(flow.decades_rms, flow.decades_norm)
    evidence = {}
    if larger < VANISHING_DECADES:
        evidence["flow_decades"] = below(larger, VANISHING_DECADES)
    if flow.leverage_log10 is not None and flow.leverage_log10.least < LEVERAGE_LOG10:
        evidence["least_leverage_log10"] = below(flow.leverage_log10.least, LEVERAGE_LOG10)
    if not evidence:
        return
    severity = Severity.ERROR if len(evidence) > 1 else Severity.WARNING
    yield Draft(
        severity=settled(severity, measurement),
        evidence=evidence,
        layers=_starved(measurement),
        affects=("sgd", *(["adam"] if larger < ADAM_DECADES else []), *(["fp16"] if _underflows(measurement) else [])),
    )


def _has_zero_weights(measurement: Measurement) -> bool:
    """A layer on the trunk that was initialised to zero blocks the gradient by design."""
    trunk = set(measurement.flow.trunk)
    return any(stats.id in trunk and stats.weight is not None and stats.weight.norm == 0 for stats in measurement.stats)


def _starved(measurement: Measurement) -> tuple[str, ...]:
    """Layers on the trunk with too little leverage, or the first one."""
    trunk = measurement.flow.trunk
    weak = tuple(
        stats.id
        for stats in measurement.stats
        if stats.id in trunk and stats.leverage_log10 is not None and stats.leverage_log10 < LEVERAGE_LOG10
    )
    return weak or trunk[:1]


def _underflows(measurement: Measurement) -> bool:
    return any(
        stats.weight_gradient is not None and stats.weight_gradient.rms < HALF_PRECISION_FLOOR
        for stats in measurement.stats
    )
