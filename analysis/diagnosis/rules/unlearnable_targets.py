"""# GH505 unlearnable-targets

## What it detects
Targets that do not follow from the inputs, as far as readers of known health can tell: labels shuffled apart from their
inputs, a column of another file, noise.

## Why it matters
No change of the network mends data. What looks like an illness (nothing is learnt, or samples are learnt by heart and
no other one is named right) is the only right answer then, and a treatment that learns the batch by heart faster is no
cure.

## How it is measured
Where plain gradient descent does not learn promptly from minibatches of at least 192 samples: the explained share of
the targets' variance on samples not seen, by ridge regression and by the five nearest neighbours, against the best of
20 permutations of the targets; and by a reference network (two ReLU layers of 64 units, He, Adam 0.003, 200 steps) at
its best moment. Warning where neither reader beats permuted targets and the reference network explains under 5 %: a
healthy reference network does not learn this batch either. On 14 fresh draws of seven tasks (prototypes, sine,
exclusive or, noisy classes, sequences, a line under noise, circles; 192 to 512 samples) none fired, on the same with
permuted targets all 14 did.

Before any training: samples whose inputs are equal get equal answers. The least loss that leaves, over chance, is 1
where all inputs are equal (a tokeniser that gives padding only) and 0 where no two equal ones are asked for different
things. From 0.5 on, over which nothing counts as trained, it is a warning, or a remark where plain gradient descent
learns all the same, and explains whatever else is found.

## Example
512 vectors of 20 numbers whose five classes were permuted: all readers explain nothing.

## When it is wrong
Targets that follow in a way that only a network of the right kind sees (a parity of many bits, what a picture shows
wherever it stands) from few samples. One in twenty batches of noise looks as if something followed.

## Remedies
Check that inputs and targets are loaded, shuffled and joined by the same key; look at twenty pairs by eye. Then more
samples, or a network of the right kind.

## References
Zhang et al. 2017 (networks learn random labels by heart); Ojala and Garriga 2010 (permutation tests for classifiers).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import over, under
from analysis.diagnosis.readings import REFERENCE_SHARE, amber, targets_do_not_follow
from analysis.facts import Confidence, Measurement
from analysis.report import Evidence, Severity

LEAST_LOSS: Final = 0.5
"""Over half of chance nothing counts as trained."""


@rule(
    "GH505",
    "unlearnable-targets",
    "The targets do not follow from the inputs: a healthy reference network does not learn this batch either.",
    place=Place.SIGNAL,
    of_inputs=True,
    treatable=False,
    least_loss_over_chance=LEAST_LOSS,
)
def unlearnable_targets(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """What equal inputs leave; else what the readers explain, beside what they explain of permuted targets."""
    targets, reading = measurement.targets, measurement.target_reading
    if targets is not None and targets.floor is not None and targets.floor >= limits["least_loss_over_chance"]:
        evidence = {"least_loss_over_chance": over(targets.floor, limits["least_loss_over_chance"])}
        yield Draft(severity=amber(measurement), evidence=evidence, place=Place.INPUT)
        return
    if reading is None or not targets_do_not_follow(measurement):
        return
    evidence = {
        "linear_share": Evidence(value=reading.linear, threshold=reading.permuted),
        "neighbours_share": Evidence(value=reading.neighbours, threshold=reading.permuted),
        "reference_network_share": under(reading.reference, REFERENCE_SHARE),
    }
    yield Draft(severity=Severity.WARNING, evidence=evidence, confidence=Confidence.MEDIUM)
