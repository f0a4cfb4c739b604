"""Report -> one self-contained page: three tiles, the cause, the one change; then drawings; tables folded behind them.

Nothing is loaded and nothing is run: one style sheet that the policy names by its hash, drawings as inline SVG, no
script. Folding, links into what is folded, and the words under a pointer are the browser's own, so the page is the same
in an artifact viewer, in a mail and on paper; a library for zooming would cost 51 kB a page and the strict policy.
Every name in a report may come from a stranger, so the template escapes all of them and `visible` writes out what would
turn text around. Numbers become text in `_numbers` alone, and each carries all of its digits in its `value`.
"""

import base64
import hashlib
import json
from dataclasses import fields
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.diagnosis.brief import brief_of, root_cause
from analysis.diagnosis.rules import BY_ID
from analysis.facts import Flow, Layer, LayerStats, Range, ValueFacts
from analysis.options import AnalysisOptions
from analysis.render import _chart, _curves
from analysis.render._bars import bars_of
from analysis.render._code import change_as_code
from analysis.render._curves import curves_of
from analysis.render._figures import flow_figure, time_figure
from analysis.render._findings import tree_of
from analysis.render._heat import heat_of
from analysis.render._map import map_of
from analysis.render._numbers import loss_of, number_of, power_of_ten, signed_number
from analysis.render._profiles import profile
from analysis.render._top import top_of, training_words
from analysis.render._visible import visible
from analysis.render._words import Missing, first_names, marked_up, shorter, threshold_words
from analysis.report import Report

MOST_ROWS: Final = 2000
"""Of one table: what is left out is in the report."""


def render_html(report: Report, *, served: bool = False) -> str:
    """The page; `served`: below the analysis it belongs to, where links to repaired models lead somewhere."""
    template = _environment().get_template("report.html")
    brief = brief_of(report)
    top = top_of(report, brief)
    rules = [BY_ID[name] for name in dict.fromkeys(each.rule for each in report.findings) if name in BY_ID]
    return template.render(
        report=report,
        served=served,
        by_id={variant.id: variant for variant in report.variants},
        brief=brief,
        top=top,
        diff=change_as_code(report, top.best),
        tree=tree_of(report),
        baseline=report.variants[0],
        root=root_cause(report.findings),
        flow=flow_figure(report),
        time=time_figure(report.through_time),
        map=map_of(report, MOST_ROWS),
        heat=heat_of(report),
        bars=bars_of(report.factor_effects),
        curves=curves_of(report),
        layers=_layers(report),
        flow_facts=_flow_facts(report.gradient_flow),
        options=_options(report),
        opset=", ".join(f"{domain} {version}" for domain, version in report.model.opset.items()),
        measured=[each for each in report.variants if each.measurement is not None],
        refused=[each for each in report.variants if each.measurement is None],
        missing=Missing.of(report),
        rules=rules,
        rule_ids={rule.id for rule in rules},
        style=_style(),
        policy=_policy(),
    )


def content_security_policy() -> str:
    """What a browser may do with the page: apply its own style sheet, and nothing else."""
    return f"{_policy()}; frame-ancestors 'none'"


# ------------------------------------------------------------------ rows


def _layers(report: Report) -> list[tuple[Layer, LayerStats | None, float | None]]:
    """The layers of the unchanged model, each with what it showed and the gradient that reaches it, in decades."""
    stats = {each.id: each for each in report.variants[0].layers or ()}
    arriving = profile(report, report.variants[0]).rms
    return [(layer, stats.get(layer.id), decades) for layer, decades in zip(report.layers, arriving, strict=True)]


def _flow_facts(flow: Flow) -> list[tuple[str, Any]]:
    """Numbers by their names in the report; those that nobody measured are left out."""
    facts: list[tuple[str, Any]] = [("zone", flow.zone.value)]
    for each in fields(flow):
        value = getattr(flow, each.name)
        if isinstance(value, Range):
            facts += [
                (f"{each.name}.least", number_of(value.least)),
                (f"{each.name}.largest", number_of(value.largest)),
            ]
        elif isinstance(value, float):
            facts.append((each.name, number_of(value)))
    return facts


def _value_facts(value: ValueFacts) -> str:
    if value.shape is None:
        return f"{value.dtype}, open rank"
    return f"{value.dtype} [{', '.join('?' if size is None else str(size) for size in value.shape)}]"


def _options(report: Report) -> list[tuple[str, str, bool]]:
    """Name, value, and whether it was chosen; what was not chosen is the default, as this version knows it."""
    if report.options is None:
        return []
    values = {**AnalysisOptions().model_dump(mode="json"), **report.options}
    return [(name, _option(value), name in report.options) for name, value in values.items()]


def _option(value: Any) -> str:
    if value is None or value in ([], (), {}):
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# ------------------------------------------------------------------ the template


def _finalize(value: Any) -> Any:
    """Applied to everything a template puts out."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("analysis.render"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
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
    environment.globals.update(MOST_ROWS=MOST_ROWS, box=_chart, curve_box=_curves)
    return environment


@cache
def _style() -> Markup:
    """The style sheet, which holds nothing of a report."""
    environment = _environment()
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, "report.css")[0])  # noqa: S704 - a file of ours


@cache
def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
