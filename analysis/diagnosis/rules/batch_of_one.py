"""# GH604 batch-of-one

## What it detects
BatchNormalization that cannot work as the network is trained: minibatches of one sample, or of so few that nothing is
learnt, and running statistics that are frozen.

## Why it matters
BatchNormalization takes the mean of a step's samples away. With one value of a channel that is the value itself: what
comes out is the layer's bias, whatever comes in, and no gradient passes. With two or three it is mostly noise. Frozen
at the 0 and 1 they start with, the statistics normalise nothing, and what was drawn for a normalised network vanishes
or explodes.

## How it is measured
Where `options.minibatch_size` is given, the training probe takes steps of that size, with the statistics of so few, and
as many more of them as they are smaller than 32 (eight times at most). Where plain gradient descent does not learn so,
the same network is trained with minibatches of 32 or 64: if it learns, an error, or a warning where Adam learns from
the small ones. Statistics are frozen where `options.freeze` names them, or where the graph was exported for training
and a layer is not in that form. The runs that learnt are then run once more with frozen ones, four times as long: if
none learns, a warning, and an error where the best ends over 0.8 of chance. Of a batch of a single sample that was sent
without that option, a layer that sees one value a channel is a warning of medium confidence: nobody knows whether steps
have more.

## Example
Four layers with BatchNormalization and minibatches of one sample: 1.00 of chance after 400 steps; with 32 samples a
step it learns in 50.

## When it is wrong
Gradients that are collected over several small steps train a network by larger ones, but BatchNormalization sees the
small ones all the same. Statistics of a trained network are often frozen on purpose: that is tried, and nothing is said
where it learns.

## Remedies
Larger minibatches; GroupNormalization or LayerNormalization, which see one sample only; no normalisation with weights
drawn by He. Of frozen statistics: let them move (`train()`), or start from those of a trained network.

## References
Ioffe and Szegedy 2015; Wu and He 2018 (Group Normalization, figure 1: the error by samples of a step); Ioffe 2017
(Batch Renormalization).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import under
from analysis.diagnosis.readings import learns
from analysis.facts import Confidence, Factor, Measurement, NormalizationTrial, Provenance
from analysis.report import Evidence, Severity

NOTHING: Final = 0.8
"""Of chance."""
FEWEST: Final = 2.0
"""Values of a channel: of one the mean is the value itself."""


@rule(
    "GH604",
    "batch-of-one",
    "BatchNormalization cannot work as this network is trained: too few samples in a step, or frozen statistics.",
    place=Place.MAKING,
    factors=(Factor.NORMALIZATION,),
)
def batch_of_one(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """A training as the user's own that fails where the same with usual statistics does not; or one sample."""
    trial = measurement.normalization
    if trial is not None and not trial.learns:
        serious = trial.run.end > NOTHING if trial.frozen else not learns(measurement)
        yield Draft(severity=Severity.ERROR if serious else Severity.WARNING, evidence=_of_trial(trial))
    elif trial is None and measurement.values_per_channel == 1 and _is_of_a_user(measurement):
        yield Draft(
            severity=Severity.WARNING,
            evidence={"values_per_channel": under(1.0, FEWEST)},
            confidence=Confidence.MEDIUM,
        )


def _of_trial(trial: NormalizationTrial) -> dict[str, Evidence]:
    """Both ends, and how many values a layer works with in a step."""
    ends = {
        "loss_over_chance_as_trained": Evidence(value=trial.run.end, threshold=trial.run.limit),
        "loss_over_chance_as_usual": Evidence(value=trial.without.end, threshold=trial.without.limit),
    }
    if trial.frozen:
        return ends
    least = FEWEST if trial.values < FEWEST else float(trial.values * trial.usual_minibatch // trial.minibatch)
    return {**ends, "values_per_channel": under(float(trial.values), least)}


def _is_of_a_user(measurement: Measurement) -> bool:
    """Whether the batch is one that somebody sent."""
    return measurement.batch.provenance is Provenance.UPLOADED
