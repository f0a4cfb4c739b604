"""Layers by variants: a strip of colour for each variant, from the inputs to the logits.

Neighbouring layers share a cell where there are more than a strip has room for; the one that is worst gives its colour.
A strip is one path for each shade, so that a thousand layers in two dozen variants stay a small drawing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from analysis.facts import Status
from analysis.render._profiles import profile
from analysis.render._shades import SHADES, shade, worst_of
from analysis.report import Report, Variant

MOST_CELLS: Final = 120
MOST_STRIPS: Final = 24


@dataclass(frozen=True, slots=True)
class Strip:
    """One variant."""

    variant: Variant
    paths: tuple[tuple[str, str], ...]
    """(shade, path): cells of width and height 1."""
    words: str
    """What the colours say, for who does not see them."""


@dataclass(frozen=True, slots=True)
class Heat:
    """The map."""

    strips: tuple[Strip, ...]
    cells: int
    layers: int
    left_out: int
    """Variants that have no strip."""


def heat_of(report: Report) -> Heat | None:
    """The unchanged model, the remedies in their order, then the other variants that have layers of their own."""
    places = {remedy.variant: remedy.rank for remedy in report.remedies}
    own = [each for each in report.variants[1:] if each.status is Status.MEASURED and each.same_as is None]
    chosen = [report.variants[0], *sorted(own, key=lambda each: places.get(each.id, math.inf))]
    known = [(each, profile(report, each).judged) for each in chosen]
    shown = [(each, values) for each, values in known if any(value is not None for value in values)]
    if len(shown) < 2:
        return None
    strips = tuple(_strip(each, values) for each, values in shown[:MOST_STRIPS])
    cells = min(len(report.layers), MOST_CELLS)
    return Heat(strips, cells, len(report.layers), max(len(shown) - MOST_STRIPS, 0))


def _strip(variant: Variant, values: Sequence[float | None]) -> Strip:
    shades = [shade(each) for each in _gathered(values)]
    paths = ((kind, _cells(shades, kind)) for kind in SHADES if kind != "none")
    ill = sum(each not in {"ok", "grey", "none"} for each in map(shade, values))
    return Strip(
        variant, tuple(each for each in paths if each[1]), f"{ill} of {len(values)} layers outside of the band"
    )


def _gathered(values: Sequence[float | None]) -> list[float | None]:
    """At most as many as a strip has room for."""
    count = min(len(values), MOST_CELLS)
    edges = [round(cell * len(values) / count) for cell in range(count + 1)]
    return [worst_of(list(values[begin:end])) for begin, end in pairwise(edges)]


def _cells(shades: Sequence[str], kind: str) -> str:
    """Rectangles over runs of one shade."""
    path, begin = "", None
    for place, each in enumerate([*shades, ""]):
        if each == kind and begin is None:
            begin = place
        elif each != kind and begin is not None:
            path += f"M{begin} 0H{place}V1H{begin}Z"
            begin = None
    return path
