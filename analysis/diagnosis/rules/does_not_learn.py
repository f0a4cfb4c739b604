"""# GH105 does-not-learn

## What it detects
A short real training on the sample batch does not bring the loss down: under no optimiser (error), or under Adam
alone (warning: plain gradient descent fails).

## Why it matters
This is the question behind all the others. Statistics of one batch miss illnesses that only show in motion: one in
seven networks with perfectly good flow still fails to train.

## How it is measured
SGD with momentum 0.9 at learning rates 0.1 and 0.01 and Adam at 0.003, plus your own optimiser and rate where you
give them. From 192 samples on, 50 steps on minibatches: SGD learns if the loss falls under 0.7 of chance, Adam under
0.8. An optimiser that has not learnt by then goes on to 200 steps, with SGD at 0.001 where it blew up at both rates,
and learns if the loss falls under 0.2: the samples repeat, and slow is not sick. Recurrent networks learn sequences by
heart. Where a linear reader of the informative steps names 70 % of the labels it has not seen right, beyond guessing,
a quarter of the samples is held out, and the network learns if the loss on those comes under 0.7 within 200 steps;
elsewhere it has only 50 steps. With fewer samples, 20 steps on one batch, which tests memorising: either must fall
under 0.92.
Chance is the loss of the best constant prediction. Of several seeds the worst counts; weights are restored.

## Example
Six ReLU layers with a bias of -8: every unit is silent, the loss stays at 1.00 of chance under all three runs.

## When it is wrong
A task can be hard rather than the network sick: labels may be wrong or not follow from the inputs, the input may be
unscaled. Large or pretrained networks may want smaller learning rates and warm-up. Memorising says little about
recurrent networks and transformers, so confidence is at most medium there. Targets that were made up may be more than
a sound network learns by heart in 20 steps (a label for each pixel): never more than a warning; nor where the budget
ends before a recurrent network had its 200 steps, nor where BatchNormalization works with running statistics that no
training has collected.

## Remedies
First what costs nothing: Adam where only SGD fails, your own learning rate. Then the remedies of the findings beside
this one; the report ranks what was proven.

## References
Zhang et al. 2017 (fitting a batch as a sanity check); Karpathy, "A Recipe for Training Neural Networks", 2019.
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.facts import CARRIED_OVER, LATE, Confidence, Measurement, Probe, ProbeKind, Provenance
from analysis.report import Evidence, Severity

THRESHOLDS: Final = {ProbeKind.LEARNING: 0.7, ProbeKind.MEMORIZING: 0.92}


@rule(
    "GH105", "does-not-learn", "A short training on the sample batch does not bring the loss down.", place=Place.OUTCOME
)
def does_not_learn(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """No run learns: error; only Adam, or targets nobody sent: warning."""
    probe = measurement.probe
    if probe is None or probe.learns("sgd"):
        return
    hasty = probe.kind is ProbeKind.MEMORIZING and (measurement.recurrent or measurement.attentive)
    adam = probe.learns("adam")
    invented = measurement.loss.targets is Provenance.SYNTHETIC
    waiting = probe.unfinished and probe.held_out > 0
    idle = measurement.idle_normalization
    yield Draft(
        severity=Severity.WARNING if adam or invented or waiting or idle else Severity.ERROR,
        evidence={
            "best_loss_over_chance": Evidence(
                value=probe.best_loss_over_chance,
                threshold=_threshold(probe),
                margin_decades=None,
            )
        },
        affects=("sgd",) if adam else ("sgd", "adam"),
        confidence=Confidence.MEDIUM if hasty or invented or waiting or idle else Confidence.HIGH,
    )


def _threshold(probe: Probe) -> float:
    if probe.held_out:
        return CARRIED_OVER
    return LATE if probe.late else THRESHOLDS[probe.kind]
