"""The traffic light of gradient flow, and the two thresholds behind it.

Red networks failed to train in 98 of 100 cases, green ones in 14: green is "no gradient-flow problem found". Grey is
for the training probe. Both normalisations must agree, because pooling moves the one and narrow heads the other:
over 45 healthy architectures the larger never fell under -2.2 and the smaller never rose over +1.4.
"""

from typing import Final

from analysis.facts.flow import Flow
from analysis.facts.kinds import Zone

VANISHING_DECADES: Final = -2.8
"""The larger of both normalisations below this: red."""
EXPLODING_DECADES: Final = 1.8
"""The smaller of both normalisations above this: red."""
GREEN_DECADES: Final = 1.5


def zone(flow: Flow) -> Zone:
    """What flow alone says."""
    if flow.decades_rms is None or flow.decades_norm is None:
        return Zone.UNKNOWN
    larger, smaller = max(flow.decades_rms, flow.decades_norm), min(flow.decades_rms, flow.decades_norm)
    if larger < VANISHING_DECADES or smaller > EXPLODING_DECADES:
        return Zone.RED
    return Zone.GREEN if larger > -GREEN_DECADES and smaller < GREEN_DECADES else Zone.GREY
