"""Factor effects as bars: to the left what takes gradient away, to the right what brings it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from analysis.report.parts import Decades


@dataclass(frozen=True, slots=True)
class Bar:
    """One choice; the whole width is 200, its middle 0 decades."""

    name: str
    moved: Decades
    x: float
    width: float


def bars_of(effects: Mapping[str, Decades]) -> tuple[Bar, ...]:
    """On one scale, the largest as long as there is room; what is no number has no bar."""
    lengths = [abs(each.decades_rms or 0.0) for each in effects.values()]
    largest = max(filter(math.isfinite, lengths), default=0.0)
    return tuple(_bar(name, moved, largest) for name, moved in effects.items())


def _bar(name: str, moved: Decades, largest: float) -> Bar:
    value = moved.decades_rms or 0.0
    width = round(100 * abs(value) / largest, 1) if largest and math.isfinite(value) else 0.0
    return Bar(name, moved, 100.0 - width if value < 0 else 100.0, width)
