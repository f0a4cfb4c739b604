"""# GH602 dropout-strength

## What it detects
Dropout of the graph under which nothing is learnt that is learnt without it.

## Why it matters
Each Dropout hides most of what the layers behind it need, and several in a row multiply: two of 0.8 leave a unit one
path in 25. The gradient of a step is then noise, the loss stays at chance, and no rate or initialisation mends it.
In use, with Dropout off, the same network looks healthy.

## How it is measured
The runs of the training probe that learnt, the best one of each optimiser, once more with the graph's Dropout on and
for four times as many steps; the loss at the end is taken with Dropout off. If none of them learns: a warning, and an
error where the best ends over 0.8 of chance. Where no such training was run, Dropout of more than 0.5 is a remark.

## Example
Four narrow layers with Dropout of 0.8 behind each: 0.42 of chance in 50 steps without, 0.89 in 200 steps with it.

## When it is wrong
Strong Dropout makes training slow, and 200 steps are few: a warning may train in thousands. An export for inference has
no Dropout any more, so nothing is found in it.

## Remedies
Less Dropout: 0.1 to 0.3, or none in narrow layers; wider layers bear more of it.

## References
Srivastava et al. 2014; Goodfellow et al. 2016, section 7.12.
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import over
from analysis.facts import Factor, Measurement
from analysis.report import Evidence, Severity

NOTHING: Final = 0.8
"""Of chance."""
STRONG: Final = 0.5


@rule(
    "GH602",
    "dropout-strength",
    "Dropout is so strong that nothing is learnt; without it the network learns.",
    place=Place.MAKING,
    factors=(Factor.DROPOUT,),
    strong_ratio=STRONG,
)
def dropout_strength(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """A training with Dropout that fails where the same without it does not; or a ratio that nobody tried."""
    trial, ratio = measurement.dropout, measurement.anatomy.most_dropout
    if trial is not None and not trial.learns:
        yield Draft(
            severity=Severity.ERROR if trial.run.end > NOTHING else Severity.WARNING,
            evidence={
                "loss_over_chance_with_dropout": Evidence(value=trial.run.end, threshold=NOTHING),
                "loss_over_chance_without": Evidence(value=trial.without.end, threshold=NOTHING),
                "dropout_ratio": over(trial.most, limits["strong_ratio"]),
            },
        )
    elif trial is None and ratio is not None and ratio > limits["strong_ratio"]:
        yield Draft(severity=Severity.INFO, evidence={"dropout_ratio": over(ratio, limits["strong_ratio"])}, affects=())
