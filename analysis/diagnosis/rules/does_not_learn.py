"""# GH105 does-not-learn

## What it detects
A short real training on the sample batch does not bring the loss down: under no optimiser (error), or under Adam
alone (warning: plain gradient descent fails).

## Why it matters
This is the question behind all the others. Statistics of one batch miss illnesses that only show in motion: one in
seven networks with perfectly good flow still fails to train.

## How it is measured
SGD with momentum 0.9 at learning rates 0.1 and 0.01 (divided by the variance of targets that are numbers, to the next
power of ten) and Adam at 0.003, plus your own optimiser and rate where you give them. Trained is your loss as it is.
From 192 samples on, 50 steps on minibatches: SGD learns if the loss falls under 0.7 of chance, Adam under 0.8. With
fewer samples, 20 steps on one batch, which tests memorising: either must fall under 0.92.

Where that does not do, a rate is searched: SGD at 0.001, and on by tens down to 1e-7 while even the smallest blows up;
then more steps for the two rates that came furthest and the largest that does not blow up: 200, to come under 0.2 of
chance (SGD on one batch: 0.5), as the samples repeat; as many again, up to 800, while the loss falls fast enough to
get there. On one batch a run whose loss stands still (0.0001 of chance in 20 steps, and not under its limit if it fell
three times as far every ten) is given up from its 60th step on. So is any long run of SGD whose outputs are so much
alike for all samples, 16 or more, that it would not get there if they came five times further apart every ten steps, a
million times in all: the loss lies no further under chance than they differ. Attention learns one batch by heart in
networks that train on no other samples: with labels that were sent, SGD has to come under 0.5 of chance within 60
steps there, unless it is your own. Where SGD learns at no rate, Adam is searched in the same way, from 0.001 and
0.0003. The first run that learns ends the search. Where your own optimiser and rate learn, nothing is searched and
nothing said.

Recurrent networks learn sequences by heart. Where a linear reader of the informative steps names 70 % of the labels it
has not seen right, beyond guessing, a quarter of the samples is held out, and the network learns if the loss on those
comes under 0.7; from 64 to 191 samples, which may be too few for networks that train, under 0.85. Elsewhere they get
no more than the first steps, but where they predict numbers.

Chance is the loss of the best constant prediction. Of several seeds the worst counts; weights are restored.

## Example
Six ReLU layers with a bias of -8: every unit is silent, the loss stays at 1.00 of chance in every run.

## When it is wrong
A task can be hard rather than the network sick: labels may be wrong or not follow from the inputs, the input may be
unscaled. Large or pretrained networks may want smaller learning rates and warm-up. Memorising says little about
recurrent networks and transformers, so confidence is at most medium there. Targets that were made up may be more than a
sound network learns by heart in 20 steps: never more than a warning, and a remark where the weights look trained (for
other targets), where the inputs are equal, where they were made up, too, and flow is in the green zone or unknown, or
where there are more targets than weights (a label for each pixel). Never more than a warning either where the loss came
under 0.6, or was still falling, so that as many steps again would have brought it under the limit: that is slow, not
sick; where SGD learns at 0.1 once gradients are clipped, or your own training after a warm-up, which the advice says;
where all inputs of the batch are equal; where fewer than 48 samples are held out and the others are known by heart;
where the budget ends before a recurrent network had its 200 steps; and where
BatchNormalization works with running statistics that no training has collected.

## Remedies
First what costs nothing: Adam where only SGD fails, your own learning rate. Then the remedies of the findings beside
this one; the report ranks what was proven.

## References
Zhang et al. 2017 (fitting a batch as a sanity check); Karpathy, "A Recipe for Training Neural Networks", 2019.
"""

import math
from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.readings import knows_too_few
from analysis.facts import Confidence, Measurement, ProbeKind, Provenance, Zone
from analysis.facts.zones import zone
from analysis.report import Evidence, Severity
from analysis.report.parts import Bound

SLOW: Final = 0.6
"""Of chance: a run that came so far learns, though it did not come under what it had to."""
SILENT: Final = frozenset({Zone.GREEN, Zone.UNKNOWN})  # zones in which flow speaks against nothing


@rule(
    "GH105",
    "does-not-learn",
    "A short training on the sample batch does not bring the loss down.",
    place=Place.OUTCOME,
    of_inputs=True,
    of_targets=True,
)
def does_not_learn(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """No run learns: error; only Adam, or a batch that speaks against it: warning; nothing to learn: a remark."""
    probe = measurement.probe
    if probe is None or probe.learns("sgd") or probe.own_learns:
        return
    hasty = probe.kind is ProbeKind.MEMORIZING and (measurement.recurrent or measurement.attentive)
    adam = probe.learns("adam")
    invented = measurement.loss.targets is Provenance.SYNTHETIC
    waiting = probe.unfinished and probe.held_out > 0
    clipped = probe.clipped_at is not None or probe.warmed is not None
    slow = probe.falls or probe.closest.end < SLOW
    excused = clipped or invented or waiting or measurement.idle_normalization or slow or knows_too_few(probe)
    severity = Severity.WARNING if adam or excused or measurement.batch.constant_inputs else Severity.ERROR
    yield Draft(
        severity=Severity.INFO if invented and _is_unlearnable(measurement) else severity,
        evidence={
            "best_loss_over_chance": Evidence(
                value=probe.closest.end, threshold=probe.closest.limit, bound=Bound.MOST, margin_decades=None
            )
        },
        affects=("sgd",) if adam else ("sgd", "adam"),
        confidence=Confidence.MEDIUM if hasty or excused else Confidence.HIGH,
    )


def _is_unlearnable(measurement: Measurement) -> bool:
    """Whether made-up targets ask for what no network of this size, or none that was trained for others, can do.

    Nor do labels that have nothing to do with made-up inputs, where flow shows nothing.
    """
    noise = measurement.batch.provenance is Provenance.SYNTHETIC and zone(measurement.flow) in SILENT
    weights = sum(math.prod(info.shape) for layer in measurement.layers for info in layer.parameters.values())
    return noise or measurement.trained or measurement.batch.constant_inputs or measurement.loss.target_count > weights
