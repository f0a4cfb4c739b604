"""Report -> one self-contained page: three tiles, the cause, the one change; then drawings; tables folded behind them.

Nothing is loaded: one style sheet, drawings as inline SVG, and two scripts, all of which the policy names by their
hashes, so that nothing else is applied or run. Folding, links into what is folded, and the words under a pointer are
the browser's own. The scripts add a button to each figure, which puts a plot in its place; without them, in an artifact
viewer, in a mail and on paper the page is the same but for that button.
Every name in a report may come from a stranger, so the template escapes all of them and `visible` writes out what would
turn text around. Numbers become text in `_numbers` alone, and each carries all of its digits in its `value`.
"""

import base64
import hashlib
import json
from dataclasses import fields
from functools import cache
from typing import Any

from markupsafe import Markup

from analysis.diagnosis.brief import brief_of
from analysis.diagnosis.root import root_cause
from analysis.diagnosis.rules import BY_ID
from analysis.facts import Flow, Layer, LayerStats, Range
from analysis.options import AnalysisOptions
from analysis.render._bars import bars_of
from analysis.render._code import change_as_code
from analysis.render._curves import curves_of
from analysis.render._figures import flow_figure, time_figure
from analysis.render._findings import tree_of
from analysis.render._heat import heat_of
from analysis.render._live import scripts
from analysis.render._map import map_of
from analysis.render._numbers import number_of
from analysis.render._profiles import profile
from analysis.render._template import MOST_ROWS, environment, style_sheet
from analysis.render._top import MADE_UP, top_of
from analysis.render._words import Missing
from analysis.report import Report

__all__ = ["content_security_policy", "environment", "render_body", "render_html", "scripts", "style_sheet"]


def render_html(report: Report, *, served: bool = False, scripted: bool = True) -> str:
    """The page; `served`: below the analysis it belongs to, where links to repaired models lead somewhere.

    Not `scripted`: for a frame that runs nothing, without the scripts.
    """
    shown, run = _shown(report, "" if served else None), scripts() if scripted else ()
    template = environment().get_template("report.html")
    return template.render(shown, style=style_sheet(), scripts=run, policy=_policy(run))


def render_body(report: Report, models: str) -> Markup:
    """What is inside the page, for another page that has the style sheet; `models`: what links to models begin with."""
    return Markup(environment().get_template("body.html").render(_shown(report, models)))  # noqa: S704 - escaped


def _shown(report: Report, models: str | None) -> dict[str, Any]:
    """What the templates ask for."""
    brief = brief_of(report)
    top = top_of(report, brief)
    rules = [BY_ID[name] for name in dict.fromkeys(each.rule for each in report.findings) if name in BY_ID]
    return {
        "report": report,
        "models": models,
        "by_id": {variant.id: variant for variant in report.variants},
        "brief": brief,
        "top": top,
        "diff": change_as_code(report, top.best),
        "tree": tree_of(report),
        "baseline": report.variants[0],
        "root": root_cause(report.findings),
        "flow": flow_figure(report),
        "time": time_figure(report.through_time),
        "map": map_of(report, MOST_ROWS),
        "heat": heat_of(report),
        "bars": bars_of(report.factor_effects),
        "curves": curves_of(report),
        "layers": _layers(report),
        "batch_notes": [each for each in report.batch.notes if each not in MADE_UP],
        "flow_facts": _flow_facts(report.gradient_flow),
        "options": _options(report),
        "opset": ", ".join(f"{domain} {version}" for domain, version in report.model.opset.items()),
        "measured": [each for each in report.variants if each.measurement is not None],
        "refused": [each for each in report.variants if each.measurement is None],
        "missing": Missing.of(report),
        "rules": rules,
        "rule_ids": {rule.id for rule in rules},
    }


def content_security_policy() -> str:
    """What a browser may do with the page: apply its own style sheet, run its own scripts, and nothing else."""
    return f"{_policy(scripts())}; frame-ancestors 'none'"


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


@cache
def _policy(scripts: tuple[str, ...]) -> str:
    style, run = _source(style_sheet()), " ".join(map(_source, scripts)) or "'none'"
    return f"default-src 'none'; style-src {style}; script-src {run}; base-uri 'none'; form-action 'none'"


def _source(text: str) -> str:
    """How a policy names an element by what is in it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
