"""What a script draws of a figure: the values of its curves as JSON, and the scripts themselves.

The drawing is there without them; where they run, a button puts a plot in its place that can be zoomed and read, by
uPlot (MIT, unchanged, its licence before it). Names of layers are written by strangers, and JSON that stands in a page
must not end its element: `<` is written as an escape, and so is everything that is not ASCII.
"""

import json
import math
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from markupsafe import Markup

from analysis.render._chart import Series
from analysis.render._visible import visible

DIGITS: Final = 3
"""Of a value, in decades."""
PASSED_OVER: Final = "-"
"""A place that the curve goes by; None: the curve is broken there."""
LIBRARY: Final = "uPlot-1.6.32.iife.min.js"
LICENSE: Final = "uPlot-LICENSE.txt"
OWN: Final = "figures.js"
UNSAID: Final = re.compile(r"^[ \t]*//.*\n|^[ \t]+|^\n", re.MULTILINE)
"""Of our own script: indentation, lines of comment, empty lines, which every page would carry."""


def live_data(
    name: str,
    series: Sequence[Series],
    *,
    labels: Sequence[str],
    band: tuple[float, float],
    core: tuple[float, float] | None = None,
    y_label: str,
) -> Markup:
    """JSON for an element `script`; a value is a number of decades, null, or a word (`figures.js` lists them)."""
    shown = {
        "name": name,
        "y_label": y_label,
        "labels": [visible(each) for each in labels],
        "band": band,
        "core": core,
        "ringed": sorted({place for each in series for place in each.ringed}),
        "curves": [_curve(each) for each in series],
    }
    text = json.dumps(shown, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return Markup(text)  # noqa: S704 - nothing in it ends its element


def _curve(series: Series) -> dict[str, Any]:
    beside = {place: _value(value) for place in series.scattered if (value := series.decades[place]) is not None}
    line = [
        _value(value) if place not in series.scattered else _value(series.through.get(place, PASSED_OVER))
        for place, value in enumerate(series.decades)
    ]
    return {"role": series.role, "line": line, "beside": beside}


def _value(value: float | str | None) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    if value == -math.inf:
        return "lost"
    return round(value, DIGITS) if math.isfinite(value) else "broken"


@cache
def scripts() -> tuple[Markup, ...]:
    """The texts of a page's scripts, in the order in which they run; hold nothing of a report."""
    folder = files("analysis.render")
    licence, library = ((folder / "vendored" / name).read_text("utf-8") for name in (LICENSE, LIBRARY))
    own = UNSAID.sub("", (folder / "templates" / OWN).read_text("utf-8"))
    return Markup(f"/*\n{licence.strip()}\n*/\n{library}"), Markup(own)  # noqa: S704 - files of ours, and one as it was published
