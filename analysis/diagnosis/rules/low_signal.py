"""# GH502 low-signal

## What it detects
A batch in which the noise between samples drowns the gradient they have in common.

## Why it matters
Nothing is wrong with the network: the direction of a single step is mostly chance, so a larger batch buys progress
almost for free, and a smaller learning rate loses little.

## How it is measured
At effort thorough: the noise scale tr(Sigma) / |G|^2 from the gradients of single samples, over ten times the size of
the batch: a remark. Where the mean cannot be told from noise at all (coherence at most 1) there is no number, and it is
a remark all the more; not so of a converged network.

## Example
128 samples whose labels are half random: noise scale 4000.

## When it is wrong
Few samples make the estimate coarse; near convergence the noise scale grows in good health.

## Remedies
A larger batch, or gradients accumulated over several.

## References
McCandlish et al. 2018 (An Empirical Model of Large-Batch Training); Chatterjee 2020 (coherent gradients).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, rule
from analysis.diagnosis.evidence import over, under
from analysis.diagnosis.readings import is_converged
from analysis.facts import Measurement
from analysis.report import Severity

NOISE_OVER_BATCH: Final = 10.0
ORTHOGONAL: Final = 1.0  # coherence of gradients that have nothing in common


@rule(
    "GH502",
    "low-signal",
    "Noise between samples drowns the gradient they share.",
    of_inputs=True,
    of_targets=True,
    noise_over_batch=NOISE_OVER_BATCH,
)
def low_signal(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Noise scale against the size of the batch."""
    gradients = measurement.sample_gradients
    if gradients is None:
        return
    if gradients.noise_scale is None:
        if gradients.coherence > 0 and not is_converged(measurement):
            yield Draft(severity=Severity.INFO, evidence={"coherence": under(gradients.coherence, ORTHOGONAL)})
        return
    limit = limits["noise_over_batch"] * measurement.batch.size
    if gradients.noise_scale > limit:
        yield Draft(severity=Severity.INFO, evidence={"noise_scale": over(gradients.noise_scale, limit)})
