"""# GH109 own-learning-rate

## What it detects
Your own optimiser at your own learning rate stalls, oscillates or diverges, while the same network learns at another.

## Why it matters
The network is sound and its training is not: a rate is far easier to change than a network.

## How it is measured
Where `options.learning_rate` is given (with `options.optimizer`, or SGD), the training probe runs it beside its grid,
on the same minibatches, and gives it four times as many steps (ten times as many on one batch) before it says so. It
diverges when its loss ends over twice chance and twice its start, or is not finite; it oscillates when it rises by a
fifth in two of five steps; it stalls when it ends within a hundredth of where it began. Then, with a run that learns
beside it, or where it shakes without one: a warning. Where it comes down, but too slowly to learn in those steps while
another run learns: a remark, unless a smaller rate of the same optimiser learns and yours ends over 0.9 of chance. A
rate over one that learns is no consequence of gradients that vanish, and comes before them. Last it is run with a rate
that rises to yours over the first 100 of 200 steps; if that learns, it is said: a warm-up is what it lacks.

## Example
Adam at 0.000001 on a network of three layers: 1.00 of chance after 200 steps; at 0.003 it learns in ten.

## When it is wrong
Schedules and clipping are not part of the short training: a rate that they lead to may be too large from the first step
on. A warm-up that takes thousands of steps is tried with 100.

## Remedies
The rate that learnt in the probe, or a warm-up where that learnt; the advice has the lines for it.

## References
Bengio 2012 (Practical recommendations: the learning rate is the first thing to search for, by powers of ten); Smith
2017 (range test); Xiong et al. 2020 (post-LN transformers need a warm-up).
"""

from collections.abc import Iterator
from typing import Final

from analysis.diagnosis.contract import Draft, Limits, Place, rule
from analysis.diagnosis.evidence import over, under
from analysis.diagnosis.readings import learns
from analysis.facts import Measurement, Outcome
from analysis.report import Evidence, Severity

STANDS: Final = 0.9
"""Loss over chance at the end of a run that has hardly come down."""
SHAKES: Final = frozenset({Outcome.OSCILLATING, Outcome.DIVERGED})


@rule(
    "GH109",
    "own-learning-rate",
    "Your own optimiser does not train this network at your learning rate.",
    place=Place.MOTION,
    of_inputs=True,
)
def own_learning_rate(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """The worst seed of the user's own runs, beside what else learns."""
    probe = measurement.probe
    if probe is None or not probe.own or probe.own_learns:
        return
    worst = max(probe.own, key=lambda run: run.end)
    shakes, other = any(run.outcome in SHAKES for run in probe.own), learns(measurement)
    if not shakes and not other:
        return
    working = probe.working(worst.optimizer)
    same = working is not None and working.optimizer == worst.optimizer
    too_large = working is not None and same and worst.learning_rate > working.learning_rate
    slow = not shakes and worst.outcome is Outcome.SLOW and not (too_large and worst.end > STANDS)
    evidence = {"own_loss_over_chance": Evidence(value=worst.end, threshold=worst.limit, margin_decades=None)}
    if working is not None and same:
        beyond = over if too_large else under
        evidence["own_learning_rate"] = beyond(worst.learning_rate, working.learning_rate)
    if probe.warmed is not None:
        found = Evidence(value=probe.warmed.end, threshold=probe.warmed.limit, margin_decades=None)
        evidence["loss_over_chance_after_warm_up"] = found
    yield Draft(
        severity=Severity.INFO if slow else Severity.WARNING,
        evidence=evidence,
        affects=(worst.optimizer,),
        place=Place.UNITS if too_large and (measurement.flow.decades_rms or 0) < 0 else None,
    )
