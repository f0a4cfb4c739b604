"""# GH601 no-gradient

## What it detects
A trainable weight that receives no gradient at all: none in the loss pass, and none under random cotangents.

## Why it matters
It will never change. Either it is not connected to the loss, or something between it and the loss has no slope: an
operator such as Round or ArgMax, or a layer of dead units.

## How it is measured
Gradient absent or exactly zero in pass A and in every pass B. Weights that lead only to outputs without a target or
stand in a branch of an If that this batch does not take, weights that weigh an input of zeros alone (one step from a
state of zeros), biases that a normalisation behind them cancels, and weights whose every path to the loss passes a
layer of zeros (GH902) or of dead units (GH201) are named in the layer table and not counted. Where operators with a
slope lead to the loss all the same, the zeros come from units or gates that are saturated, and from what made them so:
inputs on the wrong scale (GH305), weights (GH301) or a signal that explodes (GH102) explain it.

## Example
A Round between the first and the second layer: the first layer's weights get exact zeros.

## When it is wrong
A unit of a tiny bottleneck that happens to be silent on this batch; send more samples. An attention over a single
position has no gradient for queries and keys.

## Remedies
Reconnect the branch, replace the operator by one with a slope (`smoothed`: tanh for a sign, a sigmoid for a threshold;
straight-through, soft maximum), or freeze the weight with `options.freeze` if it is meant to stay.

## References
Baker et al. 2022 (torcheck); Ioffe and Szegedy 2015 for cancelled biases.
"""

from collections.abc import Iterator

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.readings import layers_with_stats, settled
from analysis.facts import Flow, LayerStats, Measurement
from analysis.facts.zones import EXPLODING_DECADES
from analysis.report import Evidence, Severity


@rule("GH601", "no-gradient", "This weight receives no gradient and will never change.", place=Place.GRADIENT)
def no_gradient(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Error where it happens on the trunk, warning in a branch."""
    silent = [
        (layer, stats)
        for layer, stats in layers_with_stats(measurement)
        if stats.weight is not None and stats.leads_to_loss and stats.blocked_by is None and _gets_nothing(stats)
    ]
    if not silent or _is_one_unit_of_softmax(measurement):
        return
    yield Draft(
        severity=settled(measurement) if any(layer.on_trunk for layer, _ in silent) else Severity.WARNING,
        evidence={"weights_without_gradient": Evidence(value=len(silent), threshold=0)},
        layers=tuple(layer.id for layer, _ in silent),
        place=_place(measurement.flow) if all(stats.has_slope for _, stats in silent) else None,
    )


def _place(flow: Flow) -> Place:
    """Of zeros that come from saturated units: behind what blows the signal up."""
    decades = (flow.decades_rms, flow.decades_norm)
    explodes = all(each is not None and each > EXPLODING_DECADES for each in decades)
    return Place.BALANCE if explodes else Place.UNITS


def _gets_nothing(stats: LayerStats) -> bool:
    """Nothing from the loss, and nothing under a random cotangent."""
    by_loss = stats.weight_gradient is None or stats.weight_gradient.max_abs == 0
    return by_loss and (stats.leverage_log10 is None or stats.leverage_log10 == float("-inf"))


def _is_one_unit_of_softmax(measurement: Measurement) -> bool:
    """Whether all is silent because the output is always 1: GH504 says so."""
    return measurement.outputs is not None and measurement.outputs.link_units == 1
