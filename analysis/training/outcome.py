"""Reading a curve: learnt, slow, stalled, oscillating or diverged."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from analysis.facts import CARRIED_OVER, CARRIED_OVER_OF_FEW, ENOUGH_HELD_OUT, LATE, LATE_BY_HEART, Outcome, ProbeKind
from analysis.options import OptimizerName

LEARNT: Final[Mapping[tuple[ProbeKind, OptimizerName], float]] = {
    (ProbeKind.LEARNING, OptimizerName.SGD): 0.7,
    (ProbeKind.LEARNING, OptimizerName.ADAM): 0.8,
    (ProbeKind.MEMORIZING, OptimizerName.SGD): 0.92,
    (ProbeKind.MEMORIZING, OptimizerName.ADAM): 0.92,
}
DIVERGED: Final = 2.0
"""Over chance and over the start: thrown away."""
STALLED: Final = 0.99
OSCILLATING_SHARE: Final = 0.4
OSCILLATING_SWING: Final = 0.2
STILL_FROM: Final = 60
"""Steps."""
STILL_OVER: Final = 20
STILL: Final = 1e-4
"""Of chance, over so many steps. Of 89 runs of 210 networks that moved no more than this, and would not have come under
their limit at the pace below, none came down by 0.01 in up to 140 steps after; on 106 of them nothing was set."""
GATHERING: Final = 3.0
"""Times that the pace of a run on a plateau may grow every ten steps; where plateaus ended, it grew 1.7 times."""
SPREADING: Final = 5.0
"""Times that SGD may bring outputs further apart every ten steps: of 24 networks whose outputs were much alike those
that learnt did so 2.8 times. Of 52 runs of 28 others that are given up none learnt: all ended over .8 of chance."""
APART: Final = 1e6
"""The same in a whole training, where it was 2e4."""
ROUNDING: Final = 1e-7
"""Of chance, in ten steps: a fall that rounding may hide."""


# ------------------------------------------------------------------ reading a run


def limit_of(kind: ProbeKind, optimizer: OptimizerName, *, late: bool, held_out: int, attentive: bool = False) -> float:
    """Of chance: what a run has to come under; `late` where it was given more steps.

    `held_out` samples were not trained on. `attentive`: what is learnt by heart is learnt by attention, which comes
    further with fewer steps where the network trains on others, too.
    Adam learns one batch by heart where nothing trains the network: it has to come further there than SGD.
    """
    if held_out:
        return CARRIED_OVER if held_out >= ENOUGH_HELD_OUT else CARRIED_OVER_OF_FEW
    by_heart = kind is ProbeKind.MEMORIZING and optimizer is OptimizerName.SGD
    if not late and not (by_heart and attentive):
        return LEARNT[kind, optimizer]
    return LATE_BY_HEART if by_heart else LATE


def stands_still(curve: Sequence[float], steps: int, limit: float) -> bool:
    """Whether a loss on the same samples stands, and `steps` in all will not bring it under a limit.

    Not even where it gathers pace as no plateau does that ends:

    curve   1.0 --.__________________          looked at every ten steps, from STILL_FROM on
                       | the last STILL_OVER: nearly level, and what it fell in the second half times GATHERING,
                         every ten steps, does not reach the limit by then
    """
    recent = curve[-STILL_OVER - 1 :]
    taken = len(curve) - 1
    if taken < STILL_FROM or taken % 10 or not max(recent) - min(recent) < STILL:
        return False
    pace = max(max(recent[STILL_OVER // 2 :]) - recent[-1], ROUNDING)
    return recent[-1] - 2 * pace * math.pow(GATHERING, (steps - taken) / 10) > limit


def is_out_of_reach(reach: float, left: int, limit: float) -> bool:
    """Whether outputs are so much alike that `left` steps of SGD will not tell them apart as far as a limit asks for.

    `reach`: of `Objective.reach`. It holds for minibatches, too, whose losses differ: outputs that are the same for all
    samples come to chance, whichever samples they are.
    """
    return reach * min(math.pow(SPREADING, left / 10), APART) < 1 - limit


def outcome_of(curve: Sequence[float], held_out: Sequence[float], learnt: float) -> Outcome:
    """Learnt, or why not."""
    start, end = curve[0], curve[-1]
    if min(held_out, default=math.inf) < learnt:
        return Outcome.LEARNT
    if not all(map(math.isfinite, curve)) or (end > DIVERGED and end > DIVERGED * start):
        return Outcome.DIVERGED
    if held_out:
        return Outcome.STALLED if min(held_out) > STALLED * min(held_out[0], 1.0) else Outcome.SLOW
    if end < learnt:
        return Outcome.LEARNT
    rises = sum(later > earlier + OSCILLATING_SWING * abs(earlier) for earlier, later in pairwise(curve))
    if rises >= OSCILLATING_SHARE * (len(curve) - 1):
        return Outcome.OSCILLATING
    return Outcome.STALLED if end > STALLED * min(start, 1.0) else Outcome.SLOW
