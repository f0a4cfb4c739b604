"""The colour of a number of decades, as a class of the style sheet: the network map and the heat map share it.

What is healthy, what a training decides and what is ill follows from the limits of the verdict; what is ill has three
shades. The number stands beside the colour or in the words of the place, so that nobody needs to see the colour.
"""

import math
from typing import Final

from analysis.facts.zones import EXPLODING_DECADES, GREEN_DECADES, VANISHING_DECADES

DEEPER: Final = (2.0, 5.0)
"""Decades beyond the limit from which the next shade is taken."""
SHADES: Final = ("ok", "grey", "ill-1", "ill-2", "ill-3", "lost", "broken", "none")


def shade(decades: float | None) -> str:
    """The class of a value."""
    if decades is None:
        return "none"
    if not math.isfinite(decades):
        return "lost" if decades == -math.inf else "broken"
    if abs(decades) <= GREEN_DECADES:
        return "ok"
    beyond = max(VANISHING_DECADES - decades, decades - EXPLODING_DECADES)
    if beyond <= 0:
        return "grey"
    return f"ill-{1 + sum(beyond > limit for limit in DEEPER)}"


def worst_of(values: list[float | None]) -> float | None:
    """Of several places that share one cell the value that is furthest from even."""
    known = [value for value in values if value is not None]
    return max(known, key=lambda value: math.inf if math.isnan(value) else abs(value), default=None)
