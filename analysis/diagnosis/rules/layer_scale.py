"""# GH903 layer-scale

## What it detects
Residual branches that end in a small learnt factor.

## Why it matters
ConvNeXt, CaiT and many transformers multiply each branch by 1e-6 to 0.1 at the start. Everything in such a branch has a
tiny gradient and a tiny leverage until the factor has grown: by design, and no vanishing gradient.

## How it is measured
A learnt vector off the trunk, multiplied into its branch, with a largest value of at most 0.1: a remark.

## Example
ConvNeXt at its start: factors of 1e-6, leverage of the branches 10^-6.6, the network trains.

## When it is wrong
It is a remark and never accuses.

## Remedies
None needed: nothing is wrong here.

## References
Touvron et al. 2021 (Going deeper with Image Transformers); Liu et al. 2022 (ConvNeXt).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, rule
from analysis.facts import Measurement
from analysis.report import Evidence, Severity

SMALL: Final = 0.1


@rule("GH903", "layer-scale", "Residual branches start with a small learnt factor by design.", largest=SMALL)
def layer_scale(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """The smallest factor is the evidence."""
    scales = {name: size for name, size in measurement.anatomy.layer_scales.items() if size <= limits["largest"]}
    if not scales:
        return
    owners = tuple(
        layer.id
        for layer in measurement.layers
        if any(info.initializer in scales for info in layer.parameters.values())
    )
    evidence = {"smallest_scale": Evidence(value=min(scales.values()), threshold=limits["largest"])}
    yield Draft(severity=Severity.INFO, evidence=evidence, layers=owners, affects=())
