"""# GH302 symmetric-units

## What it detects
Units of a layer that have the same weights: nothing can ever make them differ.

## Why it matters
Equal units compute the same value and receive the same gradient, so they stay equal: a layer of 64 of them works as
one. It comes from constant or zero initialisation, or from copied rows.

## How it is measured
Share of units (rows of the weight with their bias) that equal another unit's. Over 20 %: warning, or a remark where
plain gradient descent learns in the probe. A hidden layer on the trunk with all units equal: error, but a warning where
a second witness denies it: the network learns in the probe, or there was none and a random cotangent comes through from
the logits to the first layer (between -2.8 and +1.8 decades), or inputs are large (RMS over 5). Of such networks every
third one was trained all the same: one channel of a convolution still sees the whole image. The last layer is left out
(its units have targets of their own), and so are branches that start at zero by design (GH902).

## Example
All weights 0.1: every unit of every layer is the same.

## When it is wrong
Weights that were quantised or pruned may repeat rows that were different once.

## Remedies
Any random initialisation.

## References
Goodfellow, Bengio and Courville 2016, section 8.4 (breaking symmetry).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.readings import amber, has_large_input, layers_with_stats, settled
from analysis.facts import Flow, Measurement
from analysis.facts.zones import EXPLODING_DECADES, VANISHING_DECADES
from analysis.report import Evidence

DUPLICATES: Final = 0.2


@rule(
    "GH302", "symmetric-units", "Units of this layer are equal and can never become different.", place=Place.SYMMETRY,
    duplicate_fraction=DUPLICATES,
)  # fmt: skip
def symmetric_units(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """One finding for all hidden layers with equal units."""
    hidden = list(layers_with_stats(measurement))[:-1]
    shares = {
        layer.id: (stats.weight.duplicate_fraction, layer.on_trunk)
        for layer, stats in hidden
        if stats.weight is not None
        and stats.weight.duplicate_fraction is not None
        and stats.weight.duplicate_fraction > limits["duplicate_fraction"]
        and layer.id not in measurement.anatomy.zero_branches
    }
    if not shares:
        return
    total = any(share == 1.0 and on_trunk for share, on_trunk in shares.values())
    doubtful = _comes_through(measurement.flow) or has_large_input(measurement)
    yield Draft(
        severity=settled(measurement, doubtful=doubtful) if total else amber(measurement),
        evidence={
            "duplicate_fraction": Evidence(
                value=max(share for share, _ in shares.values()), threshold=limits["duplicate_fraction"]
            )
        },
        layers=tuple(shares),
    )


def _comes_through(flow: Flow) -> bool:
    """Whether random cotangents neither vanish nor explode on the trunk."""
    transport = flow.transport_decades
    return transport is not None and VANISHING_DECADES <= transport <= EXPLODING_DECADES
