"""# GH504 doubled-link

## What it detects
A Softmax or Sigmoid at the end of a network whose loss brings its own, and a Softmax over a single unit.

## Why it matters
`CrossEntropyLoss` and `BCEWithLogitsLoss` take logits. Given probabilities, they take a softmax of numbers between 0
and 1: the loss cannot fall under 0.63 of chance with ten classes, 0.73 with a sigmoid, and gradients shrink by the
slope of both. The loss falls a little and stops. A Softmax over one unit is 1 whatever the network says: nothing is
learnt.

## How it is measured
By the least loss that is possible behind the graph's own Softmax or Sigmoid, over chance, in closed form: log(1 + (C -
1) / e) / log C for C balanced classes. A warning where options.loss is `cross_entropy` behind a Softmax or `bce` behind
a Sigmoid: the network is then measured and trained as that loss sees it, and without the doubled link among its
treatments. The same, with medium confidence and no error beside it, where class ids were sent for an untrained network
of PyTorch that ends in a Softmax: PyTorch has no loss for class ids that takes probabilities. A remark wherever else
the graph ends in a Softmax or Sigmoid and no loss was asked for: it was read at its logits, as a loss that takes
probabilities sees it, and the number says what another loss would cost. A Softmax over one unit is an error.

## Example
A network that ends in nn.Softmax, trained by nn.CrossEntropyLoss.

## When it is wrong
The Softmax was added for the export, or its logarithm goes into NLLLoss. Say so: options.loss `nll`.

## Remedies
Drop the last Softmax or Sigmoid from the network that trains, and put it behind the trained one; or take a loss of
probabilities: NLLLoss behind LogSoftmax, BCELoss behind Sigmoid. For one unit a Sigmoid in place of the Softmax, or two
units.

## References
PyTorch documentation of CrossEntropyLoss and BCEWithLogitsLoss ("logits"); Schoop et al. 2021 (UMLAUT, "missing
softmax", "from_logits").
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import over, under
from analysis.facts import Confidence, Measurement
from analysis.report import Severity

LEAST_LOSS: Final = 0.2
"""Under this a network counts as well trained, so that nobody would miss what is left."""
FEWEST_UNITS: Final = 2


@rule(
    "GH504",
    "doubled-link",
    "The output is squashed already: a loss that brings its own softmax or sigmoid cannot come down.",
    place=Place.LOSS,
    least_loss_over_chance=LEAST_LOSS,
)
def doubled_link(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """What the link at the end costs."""
    outputs, layers = measurement.outputs, measurement.flow.trunk[-1:]
    if outputs is None or not outputs.link:
        return
    if outputs.link_units is not None and outputs.link_units < FEWEST_UNITS:
        evidence = {"softmax_units": under(outputs.link_units, FEWEST_UNITS)}
        yield Draft(severity=Severity.ERROR, evidence=evidence, layers=layers)
        return
    floor, limit = outputs.doubled_floor, limits["least_loss_over_chance"]
    if floor is not None and floor > limit:
        yield Draft(
            severity=Severity.WARNING if outputs.doubled else Severity.INFO,
            evidence={"least_loss_over_chance": over(floor, limit)},
            layers=layers,
            confidence=Confidence.MEDIUM if outputs.guessed else Confidence.HIGH,
        )
