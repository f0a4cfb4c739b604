"""# GH305 input-scale

## What it detects
Inputs far from unit scale, or far from being centred, in front of a network that does not normalise them; values far
from all others of their feature, such as -9999 for what is missing.

## Why it matters
Pixels of 0 to 255 multiply every gradient of the first layer by 255; inputs of 0.001 leave it none and let biases and
positions drown what differs between samples. The network is not ill, its food is.

## How it is measured
RMS of what the first layer sees, behind what the graph itself standardises, outside 0.2 to 5, or a mean over three
standard deviations: warning, or a remark where plain gradient descent learns in the probe at a rate of 0.0001 or more,
or where the inputs were made up. A warning also where your own optimiser and rate fail as the inputs are, and learn
once they are standardised, with as many steps: then it is the inputs that are to change, and not the rate (GH109). Not
judged where the network has normalisation layers, or begins with an embedding. Values a thousand times as far from the
median of their feature as its middle half, in a twentieth of the samples: a warning also in front of normalisation,
which divides by a deviation that they decide, and where one batch is learnt by heart, which the marks suffice for; a
remark where your own training or, from minibatches, plain gradient descent learns, in fewer samples, and where the
inputs were made up.

## Example
Images of 0 to 255 in front of a plain convolutional network: RMS 148. A table of measurements around 0 in which -9999
stands for what was not measured: the others differ in the fourth digit of what standardising makes of them.

## When it is wrong
A first layer that was initialised or trained for this scale does not mind.

## Remedies
Standardise the inputs: subtract the mean, divide by the standard deviation. A normalisation layer in front does it too.
Put the median in place of marks, with a feature of its own that says where it was; `standardized` moves them near.

## References
LeCun et al. 1998 (Efficient BackProp, section 4.3).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import above, over, under
from analysis.diagnosis.readings import LARGEST_INPUT_RMS, of_scale
from analysis.facts import Factor, Measurement, ProbeKind, Provenance, is_matrix
from analysis.report import Evidence, Severity

LEAST_RMS: Final = 0.2
OFF_CENTRE: Final = 3.0
FAR_DECADES: Final = 3.0
SHARE_WITH_MARKS: Final = 0.05


@rule(
    "GH305", "input-scale", "The inputs are far from the unit scale that the first layer expects.", place=Place.INPUT,
    of_inputs=True, factors=(Factor.INPUT,),
    least_rms=LEAST_RMS, largest_rms=LARGEST_INPUT_RMS, mean_over_std=OFF_CENTRE,
)  # fmt: skip
def input_scale(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Values far from all others; RMS and centring of what enters."""
    flow = measurement.flow
    if flow.input_far_decades is not None:
        evidence = {"input_far_decades": above(flow.input_far_decades, FAR_DECADES)}
        yield Draft(severity=_of_far_values(measurement), evidence=evidence, layers=flow.trunk[:1])
        return  # they decide the scale, too
    if measurement.normalized or _begins_with_embedding(measurement) or measurement.batch.constant_inputs:
        return
    evidence = {}
    if flow.input_rms is not None and 0 < flow.input_rms < limits["least_rms"]:
        evidence["input_rms"] = under(flow.input_rms, limits["least_rms"])
    if flow.input_rms is not None and flow.input_rms > limits["largest_rms"]:
        evidence["input_rms"] = over(flow.input_rms, limits["largest_rms"])
    if flow.input_mean_over_std is not None and flow.input_mean_over_std > limits["mean_over_std"]:
        evidence["input_mean_over_std"] = over(flow.input_mean_over_std, limits["mean_over_std"])
    if evidence:
        invented = measurement.batch.provenance is Provenance.SYNTHETIC
        helped = None if measurement.probe is None else measurement.probe.standardized
        if helped is not None:
            found = Evidence(value=helped.end, threshold=helped.limit, margin_decades=None)
            evidence["own_loss_over_chance_standardised"] = found
        severity = Severity.INFO if invented else Severity.WARNING if helped is not None else of_scale(measurement)
        yield Draft(severity=severity, evidence=evidence, layers=flow.trunk[:1])


def _of_far_values(measurement: Measurement) -> Severity:
    probe, share = measurement.probe, measurement.flow.input_far_share
    trains = probe is not None and (probe.own_learns or (probe.kind is ProbeKind.LEARNING and probe.learns("sgd")))
    invented = measurement.batch.provenance is Provenance.SYNTHETIC
    rare = share is not None and share < SHARE_WITH_MARKS
    return Severity.INFO if trains or invented or rare else Severity.WARNING


def _begins_with_embedding(measurement: Measurement) -> bool:
    first = next((layer for layer in measurement.layers if any(map(is_matrix, layer.parameters))), None)
    return first is not None and any(role.startswith("embedding") for role in first.parameters)
