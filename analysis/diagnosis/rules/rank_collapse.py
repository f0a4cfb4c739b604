"""# GH204 rank-collapse

## What it detects
Layers whose outputs all point the same way: one direction carries everything.

## Why it matters
A later layer sees one number instead of a vector. It is the ordered phase of a deep network with small weights, seen
from inside; width is wasted.

## How it is measured
At effort thorough: effective rank, exp of the entropy of the normalised eigenvalues of the second moment of a layer's
outputs. Under 1 plus 2 % of what it could be, while samples differ by less than a hundredth of the mean square (cosine
over 0.99), in a layer on the trunk: warning, or a remark where plain gradient descent learns in the probe.

## Example
Thirty tanh layers with half of Xavier's weights: effective rank 1.00 of 64.

## When it is wrong
A layer with a large bias has one dominating direction in health; the difference between samples is then larger than a
hundredth of nothing, so send inputs that really differ.

## Remedies
Initialisation to the activation's gain, orthogonal initialisation, normalisation.

## References
Roy and Vetterli 2007 (effective rank); Schoenholz et al. 2017; Daneshmand et al. 2020 (BatchNormalization avoids it).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import under
from analysis.diagnosis.readings import amber, layers_with_stats
from analysis.facts import ActivationStats, Measurement

RANK_SHARE: Final = 0.02  # delve reports layers under this as saturated
COLLAPSE_DECADES: Final = -2.0  # cosine between samples over 0.99


@rule(
    "GH204", "rank-collapse", "All outputs of this layer point the same way.", place=Place.SIGNAL, of_inputs=True,
    rank_share=RANK_SHARE, collapse_decades=COLLAPSE_DECADES,
)  # fmt: skip
def rank_collapse(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Layers on the trunk with hardly more than one direction."""
    if measurement.batch.constant_inputs:
        return
    ranks = {
        layer.id: stats.activation
        for layer, stats in layers_with_stats(measurement)
        if layer.on_trunk and stats.activation is not None and _is_collapsed(stats.activation, limits)
    }
    if ranks:
        worst = min(ranks.values(), key=lambda activation: activation.effective_rank or 0.0)
        yield Draft(
            severity=amber(measurement),
            evidence={"effective_rank": under(worst.effective_rank or 0.0, _least(worst, limits))},
            layers=tuple(ranks),
        )


def _is_collapsed(activation: ActivationStats, limits: Limits) -> bool:
    alike = activation.collapse_log10 is not None and activation.collapse_log10 < limits["collapse_decades"]
    return alike and activation.effective_rank is not None and activation.effective_rank < _least(activation, limits)


def _least(activation: ActivationStats, limits: Limits) -> float:
    return 1 + limits["rank_share"] * (activation.rank_limit or 0)
