"""The network as a map: its layers in order, coloured by the gradient that reaches them, blocks under their skip path.

The report knows layers, the trunk and where a residual block ends, not every edge; so a block is drawn as a frame with
the path that passes it by. More than 200 layers are folded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from analysis.facts import Layer
from analysis.render._profiles import profile
from analysis.render._shades import shade
from analysis.render._words import short_name
from analysis.report import Report

MOST_OPEN: Final = 200
"""Layers."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A layer on the map."""

    layer: Layer
    name: str
    shade: str
    decades: float | None
    named: bool
    """Whether the cause names it."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Layers that follow one another on the trunk, or those beside it that a path passes by."""

    stops: tuple[Stop, ...]
    beside: bool
    closed: bool
    """Whether it ends where the path comes back: the output of a block."""


@dataclass(frozen=True, slots=True)
class Map:
    """All of them, inputs first."""

    stretches: tuple[Stretch, ...]
    folded: bool


def map_of(report: Report, most: int) -> Map | None:
    """The map of the first so many layers; none where there is nothing to colour."""
    its = profile(report, report.variants[0])
    if not any(value is not None for value in its.rms):
        return None
    named = set() if report.cause is None else set(report.cause.layers)
    stops = [
        Stop(layer, short_name(layer), shade(judged), value, layer.id in named)
        for layer, value, judged in zip(report.layers, its.rms, its.judged, strict=True)
    ]
    return Map(tuple(_stretches(stops[:most], set(its.blocks))), folded=len(report.layers) > MOST_OPEN)


def _stretches(stops: list[Stop], ends: set[int]) -> Iterator[Stretch]:
    """A stretch ends where the trunk begins or ends, and behind the last layer of a block."""
    begun: list[Stop] = []
    for place, stop in enumerate(stops):
        if begun and begun[-1].layer.on_trunk is not stop.layer.on_trunk:
            yield Stretch(tuple(begun), not begun[-1].layer.on_trunk, closed=False)
            begun = []
        begun.append(stop)
        if place in ends and not stop.layer.on_trunk:
            yield Stretch(tuple(begun), beside=True, closed=True)
            begun = []
    if begun:
        yield Stretch(tuple(begun), not begun[-1].layer.on_trunk, closed=False)
