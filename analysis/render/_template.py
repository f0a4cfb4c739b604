"""The templates of the page: what they may call, and that everything they put out is escaped and visible."""

from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.facts import ValueFacts
from analysis.render import _chart, _curves
from analysis.render._numbers import loss_of, number_of, power_of_ten, signed_number
from analysis.render._top import training_words
from analysis.render._visible import visible
from analysis.render._words import first_names, marked_up, shorter, threshold_words

MOST_ROWS: Final = 2000
"""Of one table: what is left out is in the report."""


@cache
def environment(package: str = "analysis.render") -> Environment:
    """The templates of a package, with the numbers and words of the page as filters; a name misspelt there raises."""
    made = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        number=number_of,
        loss=loss_of,
        signed=signed_number,
        power=power_of_ten,
        training=training_words,
        prose=marked_up,
        shown=first_names,
        shorter=shorter,
        thresholds=threshold_words,
        value_facts=_value_facts,
    )
    made.globals.update(MOST_ROWS=MOST_ROWS, NAMES=_chart.NAMES, curve_box=_curves)
    return made


@cache
def style_sheet() -> Markup:
    """What all pages look like; holds nothing of a report."""
    loader = environment().loader
    assert loader is not None
    return Markup(loader.get_source(environment(), "report.css")[0])  # noqa: S704 - a file of ours


def _finalize(value: Any) -> Any:
    """Applied to everything a template puts out."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _value_facts(value: ValueFacts) -> str:
    if value.shape is None:
        return f"{value.dtype}, open rank"
    return f"{value.dtype} [{', '.join('?' if size is None else str(size) for size in value.shape)}]"
