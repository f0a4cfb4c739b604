"""# GH206 flat-output

## What it detects
Logits that hardly differ between samples.

## Why it matters
The loss sits at the constant answer and its gradient says nothing about single samples. In recurrent networks and
transformers it is often the only sign of an illness further down.

## How it is measured
log10 of the standard deviation of the logits over samples, under -2.5: warning, or a remark where plain gradient
descent learns in the probe. For classification, where the scale of logits means something.

## Example
A recurrent network that reads the mean of a hundred steps, each a hundredth of the answer.

## When it is wrong
A head that was initialised to exactly zero starts flat by design (GH902) and is not counted; a tiny one learns quickly.

## Remedies
Whatever restores the signal in front of the head: initialisation, standardised inputs, normalisation, another read-out.

## References
Thresholds: 603 networks trained for this project.
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import below
from analysis.diagnosis.readings import amber
from analysis.facts import Measurement

LOGIT_STD_LOG10: Final = -2.5
CLASSIFYING: Final = frozenset({"cross_entropy", "nll", "bce"})


@rule(
    "GH206",
    "flat-output",
    "The logits hardly differ between samples.",
    place=Place.SIGNAL,
    of_inputs=True,
    logit_std_log10=LOGIT_STD_LOG10,
)
def flat_output(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Standard deviation over samples."""
    deviation = measurement.flow.logit_std_log10
    if deviation is None or measurement.batch.constant_inputs or measurement.anatomy.zero_head is not None:
        return
    if measurement.loss.name in CLASSIFYING and deviation < limits["logit_std_log10"]:
        yield Draft(
            severity=amber(measurement),
            evidence={"logit_std_log10": below(deviation, limits["logit_std_log10"])},
            layers=measurement.flow.trunk[-1:],
        )
