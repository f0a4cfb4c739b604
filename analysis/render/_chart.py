"""Curves on a scale of decades, laid out for a template to draw: positions and words, no markup.

The names of the curves stand in a drawing of their own at the left, each at the height where its curve begins, so that
a telephone can leave them out. A value may be missing (a gap in the curve), -inf (nothing arrives: a mark at the lower
edge) or not finite otherwise (a mark at the upper edge). Curves differ in dash and marker, not in colour alone.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

NAMES: Final = 260.0
"""Width of the drawing with the names of the curves; as high as the other."""


@dataclass(frozen=True, slots=True)
class Box:
    """A drawing and the frame of its axes inside."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    most_labels: int
    """Under the axis, slanting; 2: the ends alone, level."""

    @property
    def level(self) -> bool:
        """Whether labels stand level, at the ends."""
        return self.most_labels == 2


WIDE: Final = Box(width=800.0, height=430.0, left=64.0, right=746.0, top=34.0, bottom=326.0, most_labels=16)
NARROW: Final = Box(width=400.0, height=320.0, left=8.0, right=350.0, top=28.0, bottom=258.0, most_labels=2)
"""For a telephone."""
LINE: Final = 18.0
"""Height of a line of text."""
NAME: Final = 38.0
"""Height of a name with its note."""
ROOM: Final = 0.8
"""Decades that stay free above and below the band."""
MOST_TICKS: Final = 8
LONGEST: Final = 14
"""Letters of a label under the axis; of one that stands level half as many more."""
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
    through: Mapping[int, float] = field(default_factory=dict)
    """Of places beside the curve: what the curve goes through there all the same (the output of the block)."""
    role: str = ""
    """Class of the curve: the unchanged model (own), the same by norm (norm), the best cure (best), others (faint)."""


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
    role: str
    path: str
    markers: tuple[Marker, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a curve beside its beginning."""

    text: str
    note: str
    at: float
    """Where it stands."""
    y: float
    """Where the curve begins."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid with its label."""

    at: float
    label: str
    anchor: str = "end"
    """Which end of the label stands there."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything a template needs."""

    name: str
    """Of the figure; also the stem of its ids."""
    box: Box
    title: str
    description: str
    x_label: str
    y_label: str
    band_label: str
    band_top: float
    band_height: float
    band_label_at: float
    core_top: float | None
    core_height: float
    """The part of the band where nothing else has to decide."""
    names: tuple[Name | None, ...]
    """One for each curve; none for a curve without a point."""
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
    labels: Sequence[str],
    core: tuple[float, float] | None = None,
    box: Box = WIDE,
) -> Chart:
    """Put series on common axes; `places` names the positions in full, `labels` under the axis."""
    low, high = _range((value for each in series for value in (*each.decades, *each.through.values())), band)
    scale = _Scale(box, len(places), low, high)
    core_top = None if core is None else scale.y(core[1])
    core_height = 0.0 if core is None or core_top is None else round(scale.y(core[0]) - core_top, 1)
    top, height = scale.y(band[1]), round(scale.y(band[0]) - scale.y(band[1]), 1)
    return Chart(
        name=name,
        box=box,
        title=title,
        description=description,
        x_label=x_label,
        y_label=y_label,
        band_label=band_label,
        band_top=top,
        band_height=height,
        band_label_at=_label_at(top, height) if core_top is None else _label_at(core_top, core_height),
        core_top=core_top,
        core_height=core_height,
        names=_names(series, scale),
        curves=tuple(_curve(each, places, scale) for each in series),
        x_ticks=tuple(_x_ticks(labels, scale)),
        y_ticks=tuple(_y_ticks(low, high, scale)),
    )


def _label_at(top: float, height: float) -> float:
    """In the band where there is room for a line, else over it."""
    return top + LINE if height > 1.5 * LINE else top - LINE / 3


def signed(decades: float) -> str:
    """A number of decades as an axis writes it."""
    return "0" if decades == 0 else f"{decades:+g}".replace("-", "\N{MINUS SIGN}")


@dataclass(frozen=True, slots=True)
class _Scale:
    """From places and decades to the drawing."""

    box: Box
    places: int
    low: float
    high: float

    def x(self, place: int) -> float:
        left, right = self.box.left, self.box.right
        if self.places < 2:
            return round((left + right) / 2, 1)
        return round(left + (right - left) * place / (self.places - 1), 1)

    def y(self, decades: float) -> float:
        top, bottom = self.box.top, self.box.bottom
        if decades == -math.inf:
            return bottom
        if not math.isfinite(decades):
            return top
        return round(bottom - (bottom - top) * (decades - self.low) / (self.high - self.low), 1)


def _range(values: Iterable[float | None], band: tuple[float, float]) -> tuple[float, float]:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    low, high = min([band[0] - ROOM, *finite]), max([band[1] + ROOM, *finite])
    room = 0.04 * (high - low)
    return low - room, high + room


# ------------------------------------------------------------------ curves


def _curve(series: Series, places: Sequence[str], scale: _Scale) -> Curve:
    path = "".join(_drawn(run) for run in _runs(series, scale))
    return Curve(series.name, series.note, series.role, path, tuple(_markers(series, places, scale)))


def _runs(series: Series, scale: _Scale) -> Iterator[list[str]]:
    """Points that are joined; a place beside the curve is passed over, one without a finite value breaks it."""
    run: list[str] = []
    for place, own in enumerate(series.decades):
        value = series.through.get(place) if place in series.scattered else own
        if place in series.scattered and value is None:
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
        if place in series.through:
            end = series.through[place]
            words = f"block that ends with {places[place]}, {series.name}: {_words(end)}"
            yield Marker(scale.x(place), scale.y(end), words, _kind(end, beside=False))
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


# ------------------------------------------------------------------ names


def _names(series: Sequence[Series], scale: _Scale) -> tuple[Name | None, ...]:
    """Beside the beginning of each curve, moved apart where they would stand over each other."""
    begins = [(y, index) for index, each in enumerate(series) if (y := _beginning(each, scale)) is not None]
    placed: dict[int, Name] = {}
    lowest = NAME / 2
    for left, (y, index) in zip(range(len(begins), 0, -1), sorted(begins), strict=True):
        at = min(max(y, lowest), scale.box.height - NAME * (left - 0.5))
        lowest = at + NAME
        placed[index] = Name(series[index].name, series[index].note, round(at, 1), y)
    return tuple(placed.get(index) for index in range(len(series)))


def _beginning(series: Series, scale: _Scale) -> float | None:
    for place, own in enumerate(series.decades):
        value = series.through.get(place) if place in series.scattered else own
        if value is not None:
            return scale.y(value)
    return None


# ------------------------------------------------------------------ ticks


def _y_ticks(low: float, high: float, scale: _Scale) -> Iterator[Tick]:
    step = _step(high - low)
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        yield Tick(scale.y(number * step), signed(number * step))


def _x_ticks(labels: Sequence[str], scale: _Scale) -> Iterator[Tick]:
    """Every label where there is room, else every so many, and both ends."""
    most, last = scale.box.most_labels, len(labels) - 1
    step = max(1, math.ceil(last / (most - 1)))
    shown = [place for place in range(0, len(labels), step) if place <= last - step / 2 or place == last]
    if labels and shown[-1] != last:
        shown.append(last)
    for place in shown:
        if scale.box.level:
            anchor = "middle" if last == 0 else "start" if place == 0 else "end"
            yield Tick(scale.x(place), _cut(labels[place], LONGEST * 3 // 2), anchor)
        else:
            yield Tick(scale.x(place), _cut(labels[place], LONGEST))


def _cut(label: str, longest: int) -> str:
    return label if len(label) <= longest else f"\N{HORIZONTAL ELLIPSIS}{label[1 - longest :]}"


def _step(extent: float) -> int:
    """1, 2 or 5 times a power of ten, so that there are few enough ticks."""
    power = 1
    while True:
        for step in TICK_STEPS:
            if extent / (step * power) <= MOST_TICKS:
                return step * power
        power *= 10
