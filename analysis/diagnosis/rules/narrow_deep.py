"""# GH306 narrow-deep

## What it detects
A plain network that is too deep for its width.

## Why it matters
In a plain network the size of a gradient is a product of random factors, one a layer, and the variance of its logarithm
grows with the sum of 1 / width. Whatever the mean, some samples' gradients vanish and others' explode.

## How it is measured
Sum of 1 / width over the hidden layers (channels times positions for convolutions), where no path goes around a layer.
Over 2: a remark. Over 5: warning, or a remark where plain gradient descent learns in the probe.

## Example
Forty layers of width 6: sum 6.7.

## When it is wrong
Bottlenecks of one or two units dominate the sum although one layer is bearable.

## Remedies
Wider layers, fewer layers, or residual connections.

## References
Hanin 2018 (Which Neural Net Architectures Give Rise to Exploding and Vanishing Gradients?), theorem 1.
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import over
from analysis.diagnosis.readings import amber
from analysis.facts import Measurement
from analysis.report import Severity

WIDTH_SUM: Final = 5.0
WIDTH_SUM_REMARK: Final = 2.0


@rule(
    "GH306", "narrow-deep", "The network is too deep for its width.", place=Place.MAKING,
    width_sum=WIDTH_SUM, width_sum_remark=WIDTH_SUM_REMARK,
)  # fmt: skip
def narrow_deep(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Sum of inverse widths."""
    total = measurement.flow.width_sum
    if total is None or total <= limits["width_sum_remark"]:
        return
    far = total > limits["width_sum"]
    yield Draft(
        severity=amber(measurement) if far else Severity.INFO,
        evidence={"width_sum": over(total, limits["width_sum" if far else "width_sum_remark"])},
    )
