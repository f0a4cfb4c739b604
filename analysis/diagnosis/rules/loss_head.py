"""# GH501 loss-head

## What it detects
An output that does not fit its loss: probabilities read as logits, scores that NLLLoss takes for logarithms, a softmax
over another axis than the classes, logits that cannot be negative, a loss far over chance.

## Why it matters
A Softmax in front of another Softmax, or of a cross-entropy that brings its own, flattens the gradient by a factor of
the classes; a ReLU in front of it forbids half the answers and is dead for the rest. Logits that start at hundreds are
confidently wrong: the first steps only unlearn. NLLLoss is -score of the right class and has no floor but for
logarithms of probabilities: of bare scores all of them grow for ever, and nothing is learnt.

## How it is measured
From the graph: a Softmax or Sigmoid whose output is read as logits, a Softmax at the end over another axis than the
one that the class ids leave for the classes, a one-sided activation in front of a classification loss. From the
numbers: loss over chance, more than 10. A warning in each case, or a remark where plain gradient descent learns in the
probe; stacked probabilities stay a warning, for they bound the loss from below (ten classes: 0.63 of chance) however
far it falls, and so does a Softmax over the steps of a sequence, which the probe reads at its logits. A single Softmax
or Sigmoid at the end is read at its logits: GH504 says what a loss that brings its own would cost. Where `nll` is asked
for and the logarithm of the sum of exp(output) over the classes is more than 0.05 away from 0: an error; everything
else is told with the cross-entropy of these scores. What the graph shows is a cause; a high loss is a consequence of
whatever blew up the signal before it, an explosion or a bad draw, and the headline only where nothing else was found.

## Example
Softmax of a Softmax; logits multiplied by 60 before training: loss 40 times chance.

## When it is wrong
Labels that do not belong to this model, or a class count that differs, look like a bad start.

## Remedies
Train on the logits; CrossEntropyLoss in place of NLLLoss, or a LogSoftmax in front of that; a Softmax over the classes
(dim=-1); a linear last layer with a small initialisation; check the labels.

## References
Karpathy, "A Recipe for Training Neural Networks", 2019 ("verify loss at init"); Schoop et al. 2021 (UMLAUT).
"""

import math
from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import above, over
from analysis.diagnosis.readings import amber, links_read_as_logits, loss_over_chance
from analysis.facts import Measurement
from analysis.report import Evidence, Severity

LOSS_DECADES: Final = 1.0  # LeCun-, He- and Xavier-drawn heads start under 3 times chance
ROUNDED_LOGARITHMS: Final = 0.05
"""Nats, as in `subject.objective`."""
CLASSIFYING: Final = frozenset({"cross_entropy", "nll", "bce"})


@rule(
    "GH501",
    "loss-head",
    "The output does not fit the loss.",
    place=Place.LOSS,
    of_inputs=True,
    of_targets=True,
    loss_over_chance_decades=LOSS_DECADES,
)
def loss_head(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """What the graph shows, and how far over chance the loss starts."""
    anatomy, head = measurement.anatomy, measurement.flow.trunk[-1:]
    evidence = {}
    stacked = links_read_as_logits(measurement)
    if stacked:
        evidence["probabilities_read_as_logits"] = Evidence(value=stacked, threshold=0)
    if anatomy.head_activation is not None and measurement.loss.name in CLASSIFYING:
        evidence["activations_before_the_loss"] = Evidence(value=1, threshold=0)
    astray = _misses_classes(measurement)
    if astray:
        evidence["softmax_over_another_axis"] = Evidence(value=1, threshold=0)
    bare = None if measurement.outputs is None else measurement.outputs.off_logarithms
    if bare is not None:
        evidence["log_of_probability_sum"] = over(bare, ROUNDED_LOGARITHMS)
        yield Draft(severity=Severity.ERROR, evidence=evidence, layers=head)
    elif evidence:
        bounded = bool(stacked) or astray
        yield Draft(severity=Severity.WARNING if bounded else amber(measurement), evidence=evidence, layers=head)
    ratio, limit = loss_over_chance(measurement), limits["loss_over_chance_decades"]
    if ratio is not None and ratio > 0 and math.log10(ratio) > limit:
        high = {"loss_over_chance_decades": above(math.log10(ratio), limit)}
        yield Draft(severity=amber(measurement), evidence=high, layers=head, place=Place.SIGNAL)


def _misses_classes(measurement: Measurement) -> bool:
    """Whether the softmax is taken over the steps; of one over the samples GH603 tells."""
    outputs = measurement.outputs
    return outputs is not None and outputs.link_misses_classes and not measurement.batch.along_samples
