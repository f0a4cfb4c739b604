"""Curves on a scale of decades, laid out for a template to draw: positions and words, no markup.

A value may be missing (a gap in the curve), -inf (nothing arrives: a mark at the lower edge) or not finite otherwise (a
mark at the upper edge). Curves differ in dash and marker, not in colour alone.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 720.0
HEIGHT: Final = 380.0
LEFT: Final = 58.0
RIGHT: Final = WIDTH - 22.0
TOP: Final = 34.0
BOTTOM: Final = HEIGHT - 58.0
LINE: Final = 18.0
"""Height of a line of text."""
ROOM: Final = 0.8
"""Decades that stay free above and below the band."""
MOST_TICKS: Final = 8
MOST_MARKERS: Final = 24
"""On one curve."""
TICK_STEPS: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Series:
    """What one curve shows: decades, one for each place on the axis."""

    name: str
    decades: tuple[float | None, ...]
    note: str = ""
    """What the legend adds to the name."""
    scattered: frozenset[int] = frozenset()
    """Places that lie beside the curve: drawn as points, not joined."""
    ringed: frozenset[int] = frozenset()
    """Places that get a ring."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A point that is drawn, and what a pointer over it reads."""

    x: float
    y: float
    words: str
    kind: str
    """on (the curve), beside (it), lost (nothing arrives), broken (not finite)."""
    ringed: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """A series in place."""

    name: str
    note: str
    path: str
    markers: tuple[Marker, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid with its label."""

    at: float
    label: str
    minor: bool
    """Left out where there is little room."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything a template needs."""

    name: str
    """Of the figure; also the stem of its ids."""
    title: str
    description: str
    x_label: str
    y_label: str
    band_label: str
    band_top: float
    band_height: float
    band_label_at: float
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def layout(
    name: str,
    series: Sequence[Series],
    places: Sequence[str],
    *,
    band: tuple[float, float],
    band_label: str,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    first: int = 1,
) -> Chart:
    """Put series on common axes; `places` names the positions, numbered from `first`."""
    low, high = _range((value for each in series for value in each.decades), band)
    scale = _Scale(len(places), low, high)
    top, height = scale.y(band[1]), round(scale.y(band[0]) - scale.y(band[1]), 1)
    return Chart(
        name=name,
        title=title,
        description=description,
        x_label=x_label,
        y_label=y_label,
        band_label=band_label,
        band_top=top,
        band_height=height,
        band_label_at=top + LINE if height > 1.5 * LINE else top - LINE / 3,
        curves=tuple(_curve(each, places, scale) for each in series),
        x_ticks=tuple(_x_ticks(len(places), first, scale)),
        y_ticks=tuple(_y_ticks(low, high, scale)),
    )


def signed(decades: float) -> str:
    """A number of decades as an axis writes it."""
    return "0" if decades == 0 else f"{decades:+g}".replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True, slots=True)
class _Scale:
    """From places and decades to the drawing."""

    places: int
    low: float
    high: float

    def x(self, place: int) -> float:
        if self.places < 2:
            return round((LEFT + RIGHT) / 2, 1)
        return round(LEFT + (RIGHT - LEFT) * place / (self.places - 1), 1)

    def y(self, decades: float) -> float:
        if decades == -math.inf:
            return BOTTOM
        if not math.isfinite(decades):
            return TOP
        return round(BOTTOM - (BOTTOM - TOP) * (decades - self.low) / (self.high - self.low), 1)


def _range(values: Iterable[float | None], band: tuple[float, float]) -> tuple[float, float]:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    low, high = min([band[0] - ROOM, *finite]), max([band[1] + ROOM, *finite])
    room = 0.04 * (high - low)
    return low - room, high + room


# ------------------------------------------------------------------ curves


def _curve(series: Series, places: Sequence[str], scale: _Scale) -> Curve:
    path = "".join(_drawn(run) for run in _runs(series, scale))
    return Curve(series.name, series.note, path, tuple(_markers(series, places, scale)))


def _runs(series: Series, scale: _Scale) -> Iterator[list[str]]:
    """Points that are joined; a place beside the curve is passed over, one without a finite value breaks it."""
    run: list[str] = []
    for place, value in enumerate(series.decades):
        if place in series.scattered:
            continue
        if value is not None and math.isfinite(value):
            run.append(f"{scale.x(place):g} {scale.y(value):g}")
        else:
            yield run
            run = []
    yield run


def _drawn(run: Sequence[str]) -> str:
    """A path through the points; of a single one, a dot."""
    return f"M{'L'.join(run)}{'h0' if len(run) == 1 else ''}" if run else ""


def _markers(series: Series, places: Sequence[str], scale: _Scale) -> Iterator[Marker]:
    """All where there is room, else every so many of one kind; points beside the curve are small and all there."""
    step, before = max(1, math.ceil(len(places) / MOST_MARKERS)), ""
    for place, value in enumerate(series.decades):
        if value is None:
            continue
        kind = _kind(value, beside=place in series.scattered)
        if kind in {before, "on"} - {"beside"} and place % step and place != len(places) - 1:
            continue
        before = kind
        words = f"{places[place]}, {series.name}: {_words(value)}"
        yield Marker(scale.x(place), scale.y(value), words, kind, place in series.ringed)


def _kind(value: float, *, beside: bool) -> str:
    if value == -math.inf:
        return "lost"
    if not math.isfinite(value):
        return "broken"
    return "beside" if beside else "on"


def _words(value: float) -> str:
    if value == -math.inf:
        return "no gradient"
    return f"{value:+.2f} decades" if math.isfinite(value) else "not finite"


# ------------------------------------------------------------------ ticks


def _y_ticks(low: float, high: float, scale: _Scale) -> Iterator[Tick]:
    step = _step(high - low)
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        yield Tick(scale.y(number * step), signed(number * step), minor=number % 2 != 0)


def _x_ticks(places: int, first: int, scale: _Scale) -> Iterator[Tick]:
    """Round numbers, and both ends; a round number too near the end is left out."""
    if not places:
        return
    last, step = first + places - 1, _step(places)
    inner = [number for number in range(step, last, step) if first < number <= last - step / 2]
    for index, number in enumerate(sorted({first, *inner, last})):
        minor = number not in {first, last} and index % 2 != 0
        yield Tick(scale.x(number - first), str(number), minor)


def _step(extent: float) -> int:
    """1, 2 or 5 times a power of ten, so that there are few enough ticks."""
    power = 1
    while True:
        for step in TICK_STEPS:
            if extent / (step * power) <= MOST_TICKS:
                return step * power
        power *= 10
