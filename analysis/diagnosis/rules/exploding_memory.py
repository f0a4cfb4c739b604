"""# GH402 exploding-memory

## What it detects
A recurrent network whose gradient grows with every step back through time.

## Why it matters
The repeated product with one recurrent matrix compounds (seed document, "Recurrent Neural Networks"): a gradient that
grows by a fifth a step is ten thousand times as long after fifty. One such step throws the weights far away.

## How it is measured
Decades that the total derivative of the loss by the state gains from the last step that gets any gradient to the
first one, and that a random cotangent at the last state gains on the same way; the smaller counts. Over +3: error, or
a warning where the network learns in the probe, or where there is no probe and the states do not grow as well, by two
decades from the first step to the last: saturating cells keep their states in range while the slope between them
grows, and small steps train about half of those. 17 of 17 such networks failed under SGD, none of 7 between +2 and +3.

## Example
A ReLU network with recurrent weights of spectral radius 2 over 50 steps: +15 decades.

## When it is wrong
Teacher forcing with many losses along the sequence makes the gradient of early states larger by their number.

## Remedies
Orthogonal recurrent weights with gradient clipping; saturating activations or gates; L2 regularisation of the recurrent
matrix keeps it from growing there in training.

## References
Pascanu, Mikolov and Bengio 2013 (On the difficulty of training recurrent neural networks).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import above
from analysis.diagnosis.readings import STATE_GROWTH_DECADES, has_bounded_states, settled, state_growth
from analysis.facts import Measurement

GROWTH_DECADES: Final = 3.0


@rule(
    "GH402",
    "exploding-memory",
    "The gradient grows with every step back through time.",
    place=Place.TRANSPORT,
    growth_decades=GROWTH_DECADES,
)
def exploding_memory(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """The chain that grows most."""
    growth = max((each.growth_decades or 0.0 for each in measurement.through_time), default=0.0)
    states = state_growth(measurement)
    if growth > limits["growth_decades"]:
        evidence = {"growth_decades": above(growth, limits["growth_decades"])}
        if states is not None and states > STATE_GROWTH_DECADES:
            evidence["state_growth_decades"] = above(states, STATE_GROWTH_DECADES)
        yield Draft(severity=settled(measurement, doubtful=has_bounded_states(measurement)), evidence=evidence)
