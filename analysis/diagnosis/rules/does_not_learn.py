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
recurrent networks and transformers, so confidence is at most medium there. Targets that were made up may be more than a
sound network learns by heart in 20 steps: never more than a warning, and a remark where the weights look trained (for
other targets), where the inputs are equal, where they were made up, too, and flow is in the green zone or unknown, or
where there are more targets than weights (a label for each pixel). Never more than a warning either where the loss was
still falling, so that as many steps again would have brought it under the limit; where all inputs of the batch are
equal; where the budget ends before a recurrent network had its 200 steps; and where BatchNormalization works with
running statistics that no training has collected.

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
from analysis.facts import CARRIED_OVER, LATE, Confidence, Measurement, Probe, ProbeKind, Provenance, Run, Zone
from analysis.facts.zones import zone
from analysis.report import Evidence, Severity
from analysis.report.parts import Bound

FEWEST_POINTS: Final = 3
GOING_ON: Final = 4.0  # quarters: as many steps again
STARTING: Final = 1.0  # a run that ends over its start does not fall
SILENT: Final = frozenset({Zone.GREEN, Zone.UNKNOWN})  # zones in which flow speaks against nothing
THRESHOLDS: Final = {ProbeKind.LEARNING: 0.7, ProbeKind.MEMORIZING: 0.92}


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
    if probe is None or probe.learns("sgd"):
        return
    hasty = probe.kind is ProbeKind.MEMORIZING and (measurement.recurrent or measurement.attentive)
    adam = probe.learns("adam")
    invented = measurement.loss.targets is Provenance.SYNTHETIC
    waiting = probe.unfinished and probe.held_out > 0
    excused = invented or waiting or measurement.idle_normalization or is_still_falling(probe, _threshold(probe))
    severity = Severity.WARNING if adam or excused or measurement.batch.constant_inputs else Severity.ERROR
    yield Draft(
        severity=Severity.INFO if invented and _is_unlearnable(measurement) else severity,
        evidence={
            "best_loss_over_chance": Evidence(
                value=probe.best_loss_over_chance,
                threshold=_threshold(probe),
                bound=Bound.MOST,
                margin_decades=None,
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


def is_still_falling(probe: Probe, threshold: float) -> bool:
    """Whether some run of every seed comes under the threshold if it goes on for as long again as it fell lately.

    Lately: over the last half of the run, read as means of a quarter of it at both ends.
    """
    seeds = {run.seed for run in probe.runs}
    return all(any(_promises(run, threshold) for run in probe.runs if run.seed == seed) for seed in seeds)


def _promises(run: Run, threshold: float) -> bool:
    curve = run.held_out or run.curve
    quarter = len(curve) // 4
    if quarter < FEWEST_POINTS or not all(map(math.isfinite, curve)) or max(curve[-quarter:]) > STARTING * curve[0]:
        return False
    before, after = (sum(part) / quarter for part in (curve[-2 * quarter : -quarter], curve[-quarter:]))
    return after < before and after - GOING_ON * (before - after) < threshold


def _threshold(probe: Probe) -> float:
    if probe.held_out:
        return CARRIED_OVER
    return LATE if probe.late else THRESHOLDS[probe.kind]
