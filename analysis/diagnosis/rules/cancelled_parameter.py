"""# GH904 cancelled-parameter

## What it detects
Parameters that something behind them takes out again: biases in front of BatchNormalization, biases of keys.

## Why it matters
Their gradient is zero in exact arithmetic and rounding noise in practice. Tools that look for small gradients call
every convolution with a bias in front of BatchNormalization vanishing.

## How it is measured
From the graph: a bias whose layer runs into BatchNormalization or InstanceNormalization alone, which subtract it with
the mean, and a bias of attention keys, which moves all scores of a query alike: a remark. They are left out of every
verdict; `cancelled_by` names the operator in the layer table.

## Example
Conv with bias, then BatchNormalization: gradient norm 1e-9 beside 1e-1 of the weight.

## When it is wrong
In front of a BatchNormalization that runs on stored statistics the bias does count; in training it does not.

## Remedies
Leave such biases out; they cost memory and nothing else.

## References
Ioffe and Szegedy 2015, section 3.2.
"""

from collections.abc import Iterator

from analysis.diagnosis.contract import Draft, Limits, rule
from analysis.facts import Measurement
from analysis.report import Evidence, Severity


@rule("GH904", "cancelled-parameter", "This bias has no effect: an operator behind it takes it out again.")
def cancelled_parameter(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """All of them in one remark."""
    cancelled = measurement.anatomy.cancelled
    if not cancelled:
        return
    owners = tuple(
        layer.id
        for layer in measurement.layers
        if any(info.initializer in cancelled for info in layer.parameters.values())
    )
    evidence = {"cancelled_parameters": Evidence(value=len(cancelled), threshold=0)}
    yield Draft(severity=Severity.INFO, evidence=evidence, layers=owners, affects=())
