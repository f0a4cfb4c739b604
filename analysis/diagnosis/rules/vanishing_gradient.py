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
trunk under a random unit cotangent; the least must be under 10^-1 for both cotangents. Both witnesses: error, or a
warning where the network learns in the training probe all the same. One alone: warning, or a remark where plain
gradient descent learns in the probe. The trunk are the tensors every path passes through, so a branch may carry a
tiny gradient in good health. Over 825 trained networks an error meant failure under SGD in 98 to 100 % of cases.

Without a probe four kinds of doubt leave a warning. Borderline: neither witness is 1.5 decades beyond its threshold;
about half of such networks trained, most of them three or four layers deep. Cancelled: a random cotangent comes through
(*transport* of -2.8 or more) and only the gradient of the loss does not; that is one place where it sums to zero (equal
rows of a constant head, GH302), and a step of training can undo it. Large inputs (RMS over 5 where nothing normalises
them): their first weights get that much more gradient; standardise them first (GH305). By design: branches start
with a small learnt factor (GH903), and what only they reach (patches behind a class token) waits until it has grown.

## Example
Twelve sigmoid layers of width 64 with Xavier weights: flow -7.4 decades, 0.6 a layer; loss stays at chance.

## When it is wrong
Function-preserving rescaling (W1 x 1000, W2 / 1000) moves flow but not leverage: that is scale imbalance (GH303) and
not reported here. A head that was initialised to zero blocks every gradient by design and is not counted. A
converged loss has no gradient; flow is then read from a random cotangent.

## Remedies
Replace saturating activations by ReLU or its variants together with He initialisation, insert normalisation, wrap
blocks in residual connections. The activation alone, clipping and weight decay do not help.

## References
Hochreiter 1991; Glorot and Bengio 2010; He et al. 2015. Trunk and thresholds: 825 networks trained for this project.
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import below
from analysis.diagnosis.readings import amber, has_large_input, is_borderline, least_leverage, ratio_spread, settled
from analysis.facts import Measurement
from analysis.facts.zones import VANISHING_DECADES

LEVERAGE_LOG10: Final = -1.0  # healthy networks stay over -0.1
SCALE_DECADES: Final = 3.0  # spread of update ratios that explains flow without loss of leverage
ADAM_DECADES: Final = -5.0  # Adam follows further down than SGD
HALF_PRECISION_SHARE: Final = 0.5  # of a layer's gradient elements that float16 flushes to zero


@rule(
    "GH101",
    "vanishing-gradient",
    "The gradient that reaches the first layer is too small to train it.",
    place=Place.TRANSPORT,
    flow_decades=VANISHING_DECADES,
    leverage_log10=LEVERAGE_LOG10,
)
def vanishing_gradient(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Two witnesses: error; one: warning."""
    flow = measurement.flow
    if flow.decades_rms is None or flow.decades_norm is None or _is_closed(measurement):
        return
    larger, leverage = max(flow.decades_rms, flow.decades_norm), least_leverage(flow)
    weak = leverage is not None and leverage < limits["leverage_log10"]
    cancelled = flow.transport_decades is not None and flow.transport_decades >= limits["flow_decades"]
    evidence = {}
    if larger < limits["flow_decades"] and (weak or ratio_spread(measurement) < SCALE_DECADES):
        evidence["flow_decades"] = below(larger, limits["flow_decades"])
    if weak and leverage is not None:
        evidence["least_leverage_log10"] = below(leverage, limits["leverage_log10"])
    if not evidence:
        return
    by_design = bool(measurement.anatomy.layer_scales)
    doubtful = by_design or cancelled or has_large_input(measurement) or is_borderline(evidence.values())
    yield Draft(
        severity=settled(measurement, doubtful=doubtful) if len(evidence) > 1 else amber(measurement),
        evidence=evidence,
        layers=_starved(measurement, limits["leverage_log10"]),
        affects=("sgd", *(["adam"] if larger < ADAM_DECADES else []), *(["fp16"] if _underflows(measurement) else [])),
    )


def _is_closed(measurement: Measurement) -> bool:
    """A layer on the trunk that was initialised to zero blocks the gradient by design."""
    trunk = set(measurement.flow.trunk) - {measurement.anatomy.zero_head}
    return any(stats.id in trunk and stats.weight is not None and stats.weight.norm == 0 for stats in measurement.stats)


def _starved(measurement: Measurement, limit: float) -> tuple[str, ...]:
    """Layers on the trunk with too little leverage, or the first one."""
    trunk = measurement.flow.trunk
    weak = tuple(
        stats.id
        for stats in measurement.stats
        if stats.id in trunk and stats.leverage_log10 is not None and stats.leverage_log10 < limit
    )
    return weak or trunk[:1]


def _underflows(measurement: Measurement) -> bool:
    return any(
        stats.weight_gradient is not None
        and (stats.weight_gradient.fp16_underflow_fraction or 0.0) > HALF_PRECISION_SHARE
        for stats in measurement.stats
    )
