"""# GH906 straight-through

## What it detects
Quantising operators, through which gradients pass as if they were not there.

## Why it matters
Rounding has no slope. What is measured here is what quantisation-aware training would see: the gradient passes where
the value lies inside the range of the quantiser, and is zero where it is clamped. It is not the derivative of the
integer network.

## How it is measured
From the graph: QuantizeLinear and DynamicQuantizeLinear nodes: a remark.

## Example
A network quantised to 8 bits with QuantizeLinear and DequantizeLinear pairs.

## When it is wrong
It is a remark and never accuses.

## Remedies
None needed; analyse the floating-point network for its own gradients.

## References
Bengio, Leonard and Courville 2013 (straight-through estimator); Jacob et al. 2018.
"""

from collections.abc import Iterator

from analysis.diagnosis.contract import Draft, Limits, rule
from analysis.facts import Measurement
from analysis.report import Evidence, Severity


@rule("GH906", "straight-through", "Gradients pass quantising operators as if they were not there.")
def straight_through(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """How many there are."""
    count = len(measurement.anatomy.straight_through)
    if count:
        evidence = {"quantizing_nodes": Evidence(value=count, threshold=0)}
        yield Draft(severity=Severity.INFO, evidence=evidence, affects=())
