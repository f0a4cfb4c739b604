"""# GH201 dead-units

## What it detects
Units whose ReLU (or similar one-sided activation) has no slope for any sample and position of the batch.

## Why it matters
A dead unit passes no gradient, so it cannot recover; a layer of dead units cuts off everything before it. Zeros as
such are normal: a healthy ReLU layer outputs about half of them.

## How it is measured
Per unit (channel), the largest pre-activation over all samples and positions; at or under 0 for ReLU, and where the
slope falls under 5 % of its maximum for GELU, SiLU, ELU and their kin. Over 20 % of a layer's units: warning, or a
remark where plain gradient descent learns in the probe, or where nothing was trained and they are no more than 38 %
(narrow layers with He's draw have 24 to 38 % and train); over 50 %: error, provided a second witness agrees: the
training probe does not learn, or, where there is no probe, a layer on the trunk is dead entirely (around a dead branch
the gradient passes). Up to 75 % they explain no vanishing gradient and may be explained by one: where depth has made
all samples alike, each unit has one sign for all of them, and half of the units are silent. At least 32 observations
per unit are needed, and samples that differ.

## Example
Six ReLU layers with a bias of -8 after standardised inputs: 100 % dead in the first layer.

## When it is wrong
With few samples a rarely active unit looks dead: with n observations an activity under 3 / n cannot be told from
none. Sparse mixtures of experts and padded positions are silent by design.

## Remedies
He initialisation with zero bias; LeakyReLU or ELU instead of ReLU; normalisation before the activation; a smaller
learning rate if the units died in training.

## References
Lu et al. 2019 (Dying ReLU and Initialization); Maas et al. 2013 (LeakyReLU).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import over
from analysis.diagnosis.readings import amber, layers_with_stats, settled, was_trained
from analysis.facts import Confidence, Measurement
from analysis.report import Severity

MANY: Final = 0.2  # torchdiag's warning level
MOST: Final = 0.5  # SageMaker Debugger, torchdiag
ALL: Final = 0.99
USUAL: Final = 0.38  # the most that was seen in narrow layers with He's draw, which train
ALIKE: Final = 0.75  # of signs that depth has made the same for all samples: 12 coins or more, 98 % of layers
ENOUGH_OBSERVATIONS: Final = 100  # rule of three: activity under 3 % is excluded with 95 %


@rule(
    "GH201", "dead-units", "Units of this layer are silent for every sample and cannot learn.", place=Place.UNITS,
    of_inputs=True,
    dead_fraction=MANY, dead_fraction_error=MOST,
)  # fmt: skip
def dead_units(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """One finding for all layers with too many dead units; the worst layer is the evidence."""
    if measurement.batch.constant_inputs:
        return
    judged = {
        stats.id: stats.activation
        for stats in measurement.stats
        if stats.activation is not None
        and stats.activation.std  # one number for all units and samples: nothing reaches them, see GH203
        and (stats.activation.dead_fraction or 0.0) > limits["dead_fraction"]
    }
    if not judged:
        return
    worst = max(activation.dead_fraction or 0.0 for activation in judged.values())
    most = worst > limits["dead_fraction_error"]
    proven = most and settled(measurement, doubtful=not _blocks_trunk(measurement)) is Severity.ERROR
    observations = min(activation.observations for activation in judged.values())
    yield Draft(
        severity=Severity.ERROR if proven else _some(measurement, worst),
        evidence={"dead_fraction": over(worst, limits["dead_fraction_error" if proven else "dead_fraction"])},
        layers=tuple(judged),
        confidence=Confidence.HIGH if observations >= ENOUGH_OBSERVATIONS else Confidence.MEDIUM,
        place=None if worst > ALIKE else Place.SIGNAL,
    )


def _some(measurement: Measurement, worst: float) -> Severity:
    """What a part of the units says: before a training nothing for sure, if sound networks have as many."""
    usual = worst <= USUAL and not was_trained(measurement)
    return Severity.INFO if usual else amber(measurement)


def _blocks_trunk(measurement: Measurement) -> bool:
    """Whether every path leads through a layer that is dead; around a dead branch others may pass."""
    return any(
        layer.on_trunk and stats.activation is not None and (stats.activation.dead_fraction or 0.0) > ALL
        for layer, stats in layers_with_stats(measurement)
    )
