"""# GH307 no-nonlinearity

## What it detects
Several layers with matrices and nothing between them that bends: together they are one linear map.

## Why it matters
Such a network computes what its first and last layer could, whatever its depth. What is not linear in the inputs (two
circles, exclusive or) it cannot learn, and no initialisation, rate or normalisation changes that.

## How it is measured
From the graph: on every way from the inputs to the logits only matrices, sums, constant factors and changes of shape;
BatchNormalization and Dropout do not bend. At least two layers with matrices. That is no illness in itself: a remark
where some optimiser learns in the probe, or where none was run. Error where no optimiser learns, which is the proof
that a linear map does not do.

## Example
Four linear layers of width 16 without activations on two circles: the loss stays at 0.99 of chance.

## When it is wrong
Labels that do not follow from the inputs fail every network, this one too. Factorised linear maps (low rank, linear
autoencoders) are meant.

## Remedies
An activation between the layers, ReLU with He initialisation; or a single layer, if a linear map is meant.

## References
Minsky and Papert 1969; Saxe et al. 2014 (deep linear networks).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.readings import learns
from analysis.facts import Factor, Measurement
from analysis.report import Evidence, Severity

ONE: Final = 1
"""Of layers that a linear map needs; one layer is softmax or linear regression, and no illness."""


@rule(
    "GH307",
    "no-nonlinearity",
    "Nothing bends between the layers: together they are one linear map.",
    place=Place.MAKING,
    factors=(Factor.ACTIVATION,),
    treatable=False,
)
def no_nonlinearity(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """The layers of the map."""
    layers = measurement.anatomy.linear_layers
    if len(layers) <= ONE:
        return
    stuck = measurement.probe is not None and not learns(measurement)
    yield Draft(
        severity=Severity.ERROR if stuck else Severity.INFO,
        evidence={"layers_of_one_linear_map": Evidence(value=len(layers), threshold=ONE)},
        layers=layers,
    )
