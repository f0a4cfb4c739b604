"""# GH902 zero-initialized-branch

## What it detects
Branches that start at exactly zero by design, or a last layer that starts at zero or next to nothing.

## Why it matters
What lies behind a layer of zeros gets no gradient in the first step, and everything is in order: the layer itself
moves, then the rest follows. Fixup, zero-gamma residual blocks, adaLN-zero and LoRA start like this, MLP-Mixer and
many vision transformers with a zero head; BEiT scales its head by 0.001, policy networks by 0.01.

## How it is measured
Layers off the trunk whose weights, or whose scale, are all zero, and a last layer of zeros or of units whose weights
have a norm under 0.02: a remark. Layers that can be reached through them only are not called without gradient; flow is
measured in front of such a head.

## Example
A residual network whose last scale in each block is zero: every block starts as the identity.

## When it is wrong
A whole network of zeros is no design; units that can never differ are GH302.

## Remedies
None needed: nothing is wrong here.

## References
Zhang, Dauphin and Ma 2019 (Fixup); Goyal et al. 2017 (zero gamma); Peebles and Xie 2023 (adaLN-zero).
"""

from collections.abc import Iterator

from analysis.diagnosis.contract import Draft, Limits, rule
from analysis.facts import Measurement
from analysis.report import Evidence, Severity


@rule(
    "GH902", "zero-initialized-branch", "This layer starts at zero by design; what lies behind it waits for one step."
)
def zero_initialized_branch(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Branches and the head."""
    anatomy = measurement.anatomy
    closed = (*anatomy.zero_branches, *([anatomy.zero_head] if anatomy.zero_head is not None else []))
    if closed:
        evidence = {"layers_of_zeros": Evidence(value=len(closed), threshold=0)}
        yield Draft(severity=Severity.INFO, evidence=evidence, layers=closed, affects=())
