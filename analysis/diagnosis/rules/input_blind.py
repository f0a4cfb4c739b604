"""# GH203 input-blind

## What it detects
A network whose output, or some layer on the way, is nearly the same for all inputs.

## Why it matters
What no longer differs between samples cannot be told apart by any later layer: the loss falls to the best constant
answer and stays there. Deep networks whose weights are too small end in this ordered phase, and so do saturated and
dead ones.

## How it is measured
*Collapse*: least share of between-sample variance in the mean square over the layers, in decades. *Blindness*: spread
of the logits over samples against their RMS. Collapse under -5 and blindness under -2: error, or a warning where the
network learns in the probe, or where there is no probe and neither is 1.5 decades beyond its limit while
BatchNormalization takes out again what all samples share. Collapse under -4 or blindness under -2 alone: warning, or a
remark where plain gradient descent learns in the probe. Where only the last layer is collapsed and its outputs differ
by more than 0.03 of their unit (1 for logits), an offset drowns what they tell, and GH501 speaks of that. Where samples
become exactly equal and no gradient arrives at all, and not by dead units, that is why. Needs samples that differ, at
least eight.

## Example
Thirty tanh layers with half of Xavier's weights: collapse -9, the logits differ in the fourth digit. GroupNorm with as
many groups as channels behind a pooling to one place: every number minus itself.

## When it is wrong
Global average pooling over noise images leaves little difference: 5 % in health. A large bias in a hidden layer raises
the RMS and not the spread.

## Remedies
Initialisation to the activation's gain; normalisation; standardised inputs. Where a normalisation has one number to
normalise: none (`no_idle_norm`).

## References
Schoenholz et al. 2017 (Deep Information Propagation); Poole et al. 2016.
"""

import math
from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import below
from analysis.diagnosis.readings import amber, is_borderline, settled
from analysis.facts import Measurement

BLINDNESS_LOG10: Final = -2.0  # healthy: over -1.3
COLLAPSE_DECADES: Final = -4.0
COLLAPSE_ERROR: Final = -5.0  # 98 of 100 networks fail
FEWEST_SAMPLES: Final = 8
DEAD: Final = 0.99
"""Of the units of a layer."""
TELLING_LOG10: Final = -1.5
"""Outputs that differ by more tell samples apart, whatever their mean is."""


@rule(
    "GH203", "input-blind", "The output is nearly the same for all inputs.", place=Place.SIGNAL, of_inputs=True,
    blindness_log10=BLINDNESS_LOG10, collapse_decades=COLLAPSE_DECADES, collapse_decades_error=COLLAPSE_ERROR,
)  # fmt: skip
def input_blind(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Both witnesses: error; one: warning."""
    flow, batch = measurement.flow, measurement.batch
    if batch.constant_inputs or batch.size < FEWEST_SAMPLES or _is_offset(measurement, limits["collapse_decades"]):
        return
    collapse, blindness = flow.collapse_decades, flow.blindness_log10
    blind = blindness is not None and blindness < limits["blindness_log10"]
    severe = blind and collapse is not None and collapse < limits["collapse_decades_error"]
    evidence = {}
    if collapse is not None and collapse < limits["collapse_decades"]:
        limit = limits["collapse_decades_error" if severe else "collapse_decades"]
        evidence["collapse_decades"] = below(collapse, limit)
    if blind and blindness is not None:
        evidence["blindness_log10"] = below(blindness, limits["blindness_log10"])
    if evidence:
        doubtful = measurement.batch_statistics and is_borderline(evidence.values())
        yield Draft(
            severity=settled(measurement, doubtful=doubtful) if severe else amber(measurement),
            evidence=evidence,
            layers=_collapsed(measurement, limits["collapse_decades"]),
            place=Place.UNITS if _nothing_is_left(measurement) else None,
        )


def _nothing_is_left(measurement: Measurement) -> bool:
    """Whether samples are exactly equal somewhere and no gradient arrives at all, and no dead units are why."""
    flow = measurement.flow
    activations = [stats.activation for stats in measurement.stats if stats.activation is not None]
    dead = any(each.std and (each.dead_fraction or 0.0) > DEAD for each in activations)
    return flow.collapse_decades == flow.decades_rms == -math.inf and not dead


def _is_offset(measurement: Measurement, limit: float) -> bool:
    """Whether samples are told apart up to the last layer and by the outputs, beside a mean that is far larger."""
    spread = measurement.flow.logit_std_log10
    return (
        spread is not None
        and spread > TELLING_LOG10
        and set(_collapsed(measurement, limit)) <= {*measurement.flow.trunk[-1:]}
    )


def _collapsed(measurement: Measurement, limit: float) -> tuple[str, ...]:
    return tuple(
        stats.id
        for stats in measurement.stats
        if stats.activation is not None
        and stats.activation.collapse_log10 is not None
        and stats.activation.collapse_log10 < limit
    )
