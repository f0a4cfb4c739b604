"""# GH401 fading-memory

## What it detects
A recurrent network whose loss does not reach back to where the information is.

## Why it matters
The gradient shrinks with every step back through time. That alone is no illness: of 23 networks that lost six decades
over their sequences and needed only the last token, one failed. It is one when what decides the label was said long
before.

## How it is measured
In the bottom recurrent layer: the total derivative of the loss by the state at each time step. In a batch with class
labels, or with one number a sample, which counts by its quarter, and at least 16 samples, the most informative step is
the one whose best input feature separates the classes better than it does for 40 permutations of the labels; of several
that tell about as much, the one that is reached best. Gradient there against its peak between that step and the loss:
under -3 decades: error, or a warning where the network learns in the probe (35 of 37 such networks failed under both
optimisers), unless that is one batch, which is learnt by heart from what is said later (of 64 samples 6 networks learnt
that, none of which trains), and also where fewer than 48 samples are held out and the others are known by heart (of 13
such networks with 64 samples Adam trained 5 on 256); -3 to -2: warning, or a remark where plain gradient descent
learns. A peak further back is an explosion (GH402). With `options.required_horizon` the loss has to reach that many
steps back (1 % of the peak): error if it does not. Otherwise a remark, how far it reaches.

## Example
An Elman network of spectral radius 0.5, told the class at the first of 30 steps: -9 decades.

## When it is wrong
Information in interactions of features (parity, XOR) is invisible to this test.

## Remedies
Orthogonal recurrent weights, with clipping; a ReLU network started at the identity; a forget or update bias of +1;
LSTM or GRU instead of a plain cell; a shorter way, such as attention.

## References
Hochreiter and Schmidhuber 1997; Pascanu, Mikolov and Bengio 2013; Le, Jaitly and Hinton 2015; Jozefowicz et al. 2015.
"""

import math
from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import below, under
from analysis.diagnosis.readings import amber, knows_too_few, settled
from analysis.facts import Measurement, TimeProfile
from analysis.report import Evidence, Severity

MEMORY_DECADES: Final = -2.0
MEMORY_ERROR: Final = -3.0
LOST_DECADES: Final = -3.0  # over the whole sequence: worth a remark


@rule(
    "GH401", "fading-memory", "The loss does not reach back to the step that decides the label.", place=Place.TRANSPORT,
    memory_decades=MEMORY_DECADES, memory_decades_error=MEMORY_ERROR, growth_decades=LOST_DECADES, required_horizon=0,
)  # fmt: skip
def fading_memory(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """The bottom recurrent layer, at the informative step and at the required one."""
    bottom = measurement.through_time[:1] + tuple(
        each for each in measurement.through_time[1:] if each.node == measurement.through_time[0].node
    )
    if not bottom:
        return
    memory = _memory(bottom)
    reach = max((each.horizon_steps for each in bottom if each.horizon_steps is not None), default=None)
    if reach is not None and reach < limits["required_horizon"]:
        evidence = {"horizon_steps": under(reach, limits["required_horizon"])}
        yield Draft(severity=Severity.ERROR, evidence=evidence)
    elif memory is not None and memory < limits["memory_decades"]:
        far = memory < limits["memory_decades_error"]
        limit = limits["memory_decades_error" if far else "memory_decades"]
        yield Draft(
            severity=_far_off(measurement) if far else amber(measurement),
            evidence={"memory_decades": below(memory, limit)},
        )
    elif memory is None and reach is not None and _loses(bottom, limits["growth_decades"]):
        steps = len(bottom[0].gradient_log10)
        yield Draft(
            severity=Severity.INFO, evidence={"horizon_steps": Evidence(value=reach, threshold=steps)}, affects=()
        )


def _far_off(measurement: Measurement) -> Severity:
    """Not sure where the network knows its samples by heart and few others were asked about."""
    probe = measurement.probe
    unsure = probe is not None and knows_too_few(probe)
    return Severity.WARNING if unsure else settled(measurement, by_heart=False)


def _memory(profiles: tuple[TimeProfile, ...]) -> float | None:
    """Decades lost on the way back to the informative step: against the peak on that way, in either direction."""
    memory, step = profiles[0].memory_decades, profiles[0].informative_step
    if memory is None or step is None or not math.isfinite(memory):
        return memory
    on_the_way = [
        gradient
        for each in profiles
        for place, gradient in enumerate(each.gradient_log10)
        if (place <= step if each.direction == "reverse" else place >= step)
    ]
    peak = max(gradient for each in profiles for gradient in each.gradient_log10)
    return memory + peak - max(on_the_way)


def _loses(profiles: tuple[TimeProfile, ...], decades: float) -> bool:
    return all(each.growth_decades is not None and each.growth_decades < decades for each in profiles)
