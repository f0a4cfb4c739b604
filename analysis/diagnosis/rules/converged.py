"""# GH901 converged

## What it detects
A network that has learnt this batch already: its loss has next to nothing left to send back.

## Why it matters
Small gradients are then success, not illness. Tools that judge by absolute norms call every converged network
vanishing.

## How it is measured
Gradient norm of a sample at the logits under 10^-3 (about 1 at chance), with a loss under chance: a remark. Flow is
then read from a random cotangent, which does not depend on the loss.

## Example
A trained classifier with a loss of 1e-5: the gradient at its logits is 1e-5, leverage is what it was before training.

## When it is wrong
It never accuses. A saturated head that is right by chance looks the same on a tiny batch.

## Remedies
None needed: nothing is wrong here.

## References
This project: two backward passes, one from the loss and one from a random cotangent.
"""

from collections.abc import Iterator

from analysis.diagnosis.contract import Draft, Limits, rule
from analysis.diagnosis.evidence import below
from analysis.diagnosis.readings import CONVERGED_GRADIENT, is_converged
from analysis.facts import Measurement
from analysis.report import Severity


@rule("GH901", "converged", "The network has learnt this batch already; small gradients are no illness here.")
def converged(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Nothing left to send back."""
    gradient = measurement.flow.head_gradient_log10
    if is_converged(measurement) and gradient is not None:
        yield Draft(
            severity=Severity.INFO, evidence={"head_gradient_log10": below(gradient, CONVERGED_GRADIENT)}, affects=()
        )
