"""# GH908 ill-conditioned-parity

## What it detects
A network so sensitive that two correct implementations in float32 disagree about its outputs.

## Why it matters
The translation was checked in float64 and is right; it is the network that turns rounding errors into differences. What
it computes depends on the machine, and so will its training. Chaotic and exploding networks are like this.

## How it is measured
Torch and ONNX Runtime differ by more than 1e-4 of the output's scale, torch's own float32 is as far from its float64,
and every tensor on the trunk before the first ill-conditioned one agrees: warning, or a remark where plain gradient
descent learns in the probe, and where the graph quantises (GH906): a rounding error at the edge of a step becomes a
whole step then, by design. Where torch's float32 is within 1e-4 of its float64 on the whole trunk, the difference is
ONNX Runtime's own (it rounds some activations as if they were near 1), the gradients are right, and nothing is said.

## Example
Fifty layers of BatchNormalization and ReLU without skip paths.

## When it is wrong
Outputs that cancel to nearly zero have a large relative error in good health.

## Remedies
Those of GH102 and GH103, which usually stand beside it.

## References
Higham 2002 (Accuracy and Stability of Numerical Algorithms), chapter 1.
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, rule
from analysis.diagnosis.evidence import over
from analysis.diagnosis.readings import amber
from analysis.facts import Measurement, ParityStatus
from analysis.report import Severity

EQUAL_WITHIN: Final = 1e-4  # of the output's scale; the check that finds it has this limit


@rule("GH908", "ill-conditioned-parity", "Rounding errors alone change the outputs of this network.")
def ill_conditioned_parity(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """What the check against ONNX Runtime found."""
    parity = measurement.parity
    if parity is None or parity.status is not ParityStatus.ILL_CONDITIONED:
        return
    if parity.own_relative_error is not None and parity.own_relative_error <= EQUAL_WITHIN:
        return
    error = parity.max_relative_error
    evidence = {} if error is None else {"max_relative_error": over(error, EQUAL_WITHIN)}
    stepped = bool(measurement.anatomy.straight_through)
    yield Draft(severity=Severity.INFO if stepped else amber(measurement), evidence=evidence)
