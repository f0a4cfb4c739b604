"""# GH503 output-range

## What it detects
Outputs that cannot get to their targets: tanh or sigmoid where 1 to 4 is asked for, ReLU where negative numbers are, a
softmax where several classes are right at once, cosines in [-1, 1] as class scores.

## Why it matters
What lies outside of the range is never learnt, however long the training: units are driven into saturation, where their
gradient ends. Scores that differ by 2 at most never make a class certain, so every sample keeps pulling.

## How it is measured
From the graph, the least and the most that the output can be, whatever the weights: of the activation it ends in, of
fixed factors and offsets behind it, of products of two directions; behind a softmax, what adds up to 1. From the
targets, the least loss that is possible within these limits, over chance: more than 0.1 is a warning, 0.5 or more an
error. Beside it stand the least and the largest target with the limit that they break, or for classes the distance
between scores with the one that is needed. `outputs` and `targets` of the report have both ranges.

## Example
Tanh at the end, targets 1 to 4: the least loss is 2.8 times that of predicting the mean.

## When it is wrong
Targets that were never to be reached exactly, such as labels that are smoothed.

## Remedies
A linear output for numbers; a sigmoid for each class, in place of a softmax over all, where several may be right at
once; scale the targets into the range of the activation; a factor (temperature) of 10 to 30 that is learnt, or fixed,
in front of a cross-entropy of cosines (`scaled_output`).

## References
LeCun et al. 1998 (Efficient BackProp, section 4.5); Wang et al. 2017 (NormFace, the bound for cosines).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import over, under
from analysis.diagnosis.readings import links_read_as_logits
from analysis.facts import Factor, Measurement
from analysis.facts.outputs import range_of_scores
from analysis.report import Evidence, Severity

LEAST_LOSS: Final = 0.1
HOPELESS: Final = 0.5
"""Over half of chance nothing counts as trained."""


@rule(
    "GH503",
    "output-range",
    "The outputs cannot reach their targets.",
    place=Place.LOSS,
    factors=(Factor.OUTPUT,),
    least_loss_over_chance=LEAST_LOSS,
    hopeless=HOPELESS,
)
def output_range(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """The least loss within the range of the outputs."""
    outputs = measurement.outputs
    if outputs is None or outputs.doubled or links_read_as_logits(measurement) or outputs.floor is None:
        return
    limit = limits["least_loss_over_chance"]
    if outputs.floor > limit:
        severity = Severity.ERROR if outputs.floor >= limits["hopeless"] else Severity.WARNING
        evidence = {"least_loss_over_chance": over(outputs.floor, limit), **dict(_ranges(measurement, limit))}
        yield Draft(severity=severity, evidence=evidence, layers=measurement.flow.trunk[-1:])


def _ranges(measurement: Measurement, limit: float) -> Iterator[tuple[str, Evidence]]:
    """Targets beside the limits they break; of class scores their distance beside the one that would do."""
    outputs, targets, chance = measurement.outputs, measurement.targets, measurement.loss.chance
    if outputs is None or targets is None:
        return
    if targets.kind == "labels":
        if chance and targets.classes and outputs.least is not None and outputs.most is not None:
            needed = range_of_scores(targets.classes, limit * chance)
            yield "score_range", under(outputs.most - outputs.least, needed)
        return
    if outputs.most is not None and targets.most > outputs.most:
        yield "largest_target", over(targets.most, outputs.most)
    if outputs.least is not None and targets.least < outputs.least:
        yield "least_target", Evidence(value=targets.least, threshold=outputs.least)
