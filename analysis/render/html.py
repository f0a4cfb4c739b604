"""Report -> one self-contained page: the recipe in words, gradient flow by depth, and the tables behind it.

Nothing is loaded and nothing is run: one style sheet that the policy names by its hash, drawings as inline SVG, no
script. Every name in a report may come from a stranger, so the template escapes all of them and `visible` writes out
what would turn text around. A number is shown to three digits and carries all of them in its `value`.
"""

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from analysis.diagnosis.brief import brief_of, root_cause
from analysis.diagnosis.contract import Rule
from analysis.diagnosis.rules import BY_ID
from analysis.facts import Flow, Layer, LayerStats, Range, Status, TimeProfile, ValueFacts
from analysis.options import AnalysisOptions
from analysis.render import _chart
from analysis.render._chart import Chart, Series
from analysis.render._visible import visible
from analysis.report import Report, Variant, Verdict

MOST_CURVES: Final = 4
"""Beside the unchanged model."""
MOST_ROWS: Final = 2000
"""Of one table: what is left out is in the report."""
MOST_NAMES: Final = 8
"""In one cell."""
HORIZON_DECADES: Final = -2.0
"""1 % of the peak, as `horizon_steps` counts."""
CODE: Final = Markup("<code>{}</code>")
EMPHASIS: Final = Markup("<em>{}</em>")
INLINE: Final = re.compile(r"`([^`]+)`|\*([^*\s][^*]*)\*")


def render_html(report: Report, *, served: bool = False) -> str:
    """The page; `served`: below the analysis it belongs to, where links to repaired models lead somewhere."""
    template = _environment().get_template("report.html")
    return template.render(
        report=report,
        served=served,
        by_id={variant.id: variant for variant in report.variants},
        brief=brief_of(report),
        baseline=report.variants[0],
        root=root_cause(report.findings),
        flow=_flow_figure(report),
        time=_time_figure(report.through_time),
        layers=_layers(report),
        flow_facts=_flow_facts(report.gradient_flow),
        options=_options(report),
        opset=", ".join(f"{domain} {version}" for domain, version in report.model.opset.items()),
        errors_first=sorted(report.findings, key=lambda finding: -finding.severity.rank),
        measured=[each for each in report.variants if each.measurement is not None],
        refused=[each for each in report.variants if each.measurement is None],
        missing=_Missing.of(report),
        rules=[BY_ID[name] for name in dict.fromkeys(each.rule for each in report.findings) if name in BY_ID],
        style=_style(),
        policy=_policy(),
    )


def content_security_policy() -> str:
    """What a browser may do with the page: apply its own style sheet, and nothing else."""
    return f"{_policy()}; frame-ancestors 'none'"


# ------------------------------------------------------------------ figures


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart and the numbers under it."""

    chart: Chart
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[float | None, ...]], ...]
    """Id, name, and the value of each curve."""


def _flow_figure(report: Report) -> Figure | None:
    """Gradient flow by depth; none where no layer has an activation gradient."""
    known = [(each, _profile(report, each)) for each in (report.variants[0], *_worth_showing(report))]
    shown = [(each, profile) for each, profile in known if any(value is not None for value in profile)]
    if not shown or shown[0][0] is not report.variants[0]:
        return None
    series = _flow_series(report, shown)
    low, high = _threshold(report, "GH101", "flow_decades"), _threshold(report, "GH102", "flow_decades")
    said = "; ".join(f"{each.name}: {each.note}" for each in series)
    chart = _chart.layout(
        "flow", series, [f"{layer.id} {layer.name}" for layer in report.layers], band=(low, high),
        band_label=f"healthy: {_chart.signed(low)} to {_chart.signed(high)}", title="Gradient flow by depth",
        description=f"Gradient at each layer relative to the gradient at the logits, on a log scale. {said}.",
        x_label="layer, from the inputs to the logits", y_label="decades relative to the gradient at the logits",
    )  # fmt: skip
    values = zip(*(profile for _, profile in shown), strict=True)
    rows = tuple((layer.id, layer.name, row) for layer, row in zip(report.layers, values, strict=True))
    return Figure(chart, tuple(variant.id for variant, _ in shown), rows)


def _flow_series(report: Report, shown: Sequence[tuple[Variant, Sequence[float | None]]]) -> list[Series]:
    """Curves along the trunk; of the unchanged model the layers beside it as well, and rings where the cause is."""
    trunk = {place for place, layer in enumerate(report.layers) if layer.on_trunk}
    beside = frozenset(range(len(report.layers))) - trunk if len(trunk) > 1 else frozenset()
    root = root_cause(report.findings)
    marked = frozenset(place for place, layer in enumerate(report.layers) if root and layer.id in root.layers)
    (baseline, profile), *others = shown
    unchanged = Series(baseline.id, tuple(profile), _note(report, baseline), beside, marked)
    return [
        unchanged,
        *(Series(each.id, _without(other, beside), _note(report, each), beside) for each, other in others),
    ]


def _worth_showing(report: Report) -> list[Variant]:
    """The best remedies; of an ill network without any, the variants whose flow is nearest to even."""
    by_id = {variant.id: variant for variant in report.variants}
    proven = [by_id[remedy.variant] for remedy in report.remedies if remedy.variant in by_id]
    if proven or report.verdict is Verdict.HEALTHY:
        return proven[:MOST_CURVES]
    measured = [each for each in report.variants[1:] if each.status is Status.MEASURED]
    known = [(abs(flow), each.id, each) for each in measured if (flow := _flow_of(each)) is not None]
    return [each for _, _, each in sorted(item for item in known if math.isfinite(item[0]))[: MOST_CURVES - 1]]


def _flow_of(variant: Variant) -> float | None:
    flow = None if variant.measurement is None else variant.measurement.gradient_flow
    return None if flow is None else flow.decades_rms


def _profile(report: Report, variant: Variant) -> tuple[float | None, ...]:
    """Decades at each layer of the unchanged model; what a treatment added has no place there."""
    if variant.same_as is not None:
        variant = next((each for each in report.variants if each.id == variant.same_as), variant)
    added, removed = set(variant.added_layers), set(variant.removed_layers)
    own = [each for each in variant.layers or () if each.id not in added]
    kept = [layer.id for layer in report.layers if layer.id not in removed]
    reference = _reference(variant, own)
    decades = {name: _decades(each, reference) for name, each in zip(kept, own, strict=False)}
    return tuple(decades.get(layer.id) for layer in report.layers)


def _reference(variant: Variant, layers: Sequence[LayerStats]) -> float | None:
    """The gradient at the logits, or at the last layer that gets one."""
    logits = None if variant.measurement is None else variant.measurement.logits_gradient_rms
    arriving = [each.activation_gradient.rms for each in layers if each.activation_gradient is not None]
    return next((rms for rms in (logits, *reversed(arriving)) if rms and math.isfinite(rms)), None)


def _decades(stats: LayerStats, reference: float | None) -> float | None:
    arriving = stats.activation_gradient
    if arriving is None:
        return None
    if not math.isfinite(arriving.rms):
        return math.nan
    if arriving.rms <= 0:
        return -math.inf
    return None if reference is None else math.log10(arriving.rms / reference)


def _without(profile: Sequence[float | None], places: frozenset[int]) -> tuple[float | None, ...]:
    return tuple(None if place in places else value for place, value in enumerate(profile))


def _note(report: Report, variant: Variant) -> str:
    """What the legend says of a variant: its flow, and its proof."""
    flow = _flow_of(variant)
    words = [_flow_words(flow)]
    remedy = next((each for each in report.remedies if each.variant == variant.id), None)
    if remedy is not None:
        words.append(f"loss {remedy.proof.worst:.2f} of chance")
    elif variant is not report.variants[0]:
        words.append("not proven")
    return ", ".join(words)


def _flow_words(flow: float | None) -> str:
    if flow is None or math.isnan(flow):
        return "flow not measured" if flow is None else "not finite"
    if flow == -math.inf:
        return "no gradient arrives"
    return f"{_short(flow)} decades"


def _time_figure(profiles: Sequence[TimeProfile]) -> Figure | None:
    """Gradient by time step, each chain relative to its own peak."""
    known = [(profile, _peak(profile)) for profile in profiles[: MOST_CURVES + 1]]
    chains = [(profile, peak) for profile, peak in known if peak is not None]
    if not chains:
        return None
    steps = max(len(profile.gradient_log10) for profile, _ in chains)
    series = [
        Series(f"{chain.node} ({chain.direction})", _padded([each - peak for each in chain.gradient_log10], steps))
        for chain, peak in chains
    ]
    names = [f"step {step}" for step in range(steps)]
    chart = _chart.layout(
        "time", series, names, band=(HORIZON_DECADES, 0.0), band_label="over 1 % of the peak", first=0,
        title="Gradient through time",
        description=f"Gradient at the states of {len(series)} recurrent chains by time step, relative to its peak.",
        x_label="time step", y_label="decades relative to the peak of the chain",
    )  # fmt: skip
    rows = tuple((name, "", tuple(each.decades[step] for each in series)) for step, name in enumerate(names))
    return Figure(chart, tuple(each.name for each in series), rows)


def _peak(profile: TimeProfile) -> float | None:
    return max(filter(math.isfinite, profile.gradient_log10), default=None)


def _padded(values: Sequence[float], length: int) -> tuple[float | None, ...]:
    return (*values, *[None] * (length - len(values)))


def _threshold(report: Report, rule_id: str, name: str) -> float:
    """The limit that was in force."""
    rule = BY_ID[rule_id]
    given = (report.options or {}).get("thresholds")
    chosen = given if isinstance(given, Mapping) else {}
    stated = (chosen.get(f"{head}.{name}") for head in (rule.id, rule.name))
    return next((float(value) for value in stated if isinstance(value, int | float)), rule.thresholds[name])


# ------------------------------------------------------------------ rows


def _layers(report: Report) -> list[tuple[Layer, LayerStats | None]]:
    """The layers of the unchanged model, each with what it showed."""
    stats = {each.id: each for each in report.variants[0].layers or ()}
    return [(layer, stats.get(layer.id)) for layer in report.layers]


def _flow_facts(flow: Flow) -> list[tuple[str, Any]]:
    """Numbers by their names in the report; those that nobody measured are left out."""
    facts: list[tuple[str, Any]] = [("zone", flow.zone.value)]
    for each in fields(flow):
        value = getattr(flow, each.name)
        if isinstance(value, Range):
            facts += [(f"{each.name}.least", _number(value.least)), (f"{each.name}.largest", _number(value.largest))]
        elif isinstance(value, float):
            facts.append((each.name, _number(value)))
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


# ------------------------------------------------------------------ what was not measured


@dataclass(frozen=True, slots=True)
class _Missing:
    """Why cells are empty: (field, reason, whose)."""

    layers: tuple[tuple[str, str, tuple[str, ...]], ...]
    variants: tuple[tuple[str, str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, report: Report) -> "_Missing":
        baseline = report.variants[0]
        measured = [each for each in report.variants if each.measurement is not None]
        return cls(
            layers=_grouped((each.id, each.absent) for each in baseline.layers or ()),
            variants=_grouped((each.id, each.absent) for each in measured),
        )


def _grouped(absent: Iterable[tuple[str, Mapping[str, str]]]) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Those who lack the same for the same reason, together."""
    whose: dict[tuple[str, str], list[str]] = {}
    for name, reasons in absent:
        for item in reasons.items():
            whose.setdefault(item, []).append(name)
    return tuple((what, why, tuple(names)) for (what, why), names in whose.items())


# ------------------------------------------------------------------ words and numbers


def _number(value: float | None) -> Markup:
    """Three digits to read, all of them to copy; a dash for what was not measured."""
    if value is None:
        return Markup('<span class="absent" title="not measured">\N{EN DASH}</span>')
    return Markup('<data value="{}">{}</data>').format(value, _short(value, sign=False))


def _short(value: float, *, sign: bool = True) -> str:
    if isinstance(value, int) and not sign:
        return f"{value:,}"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else "-\N{INFINITY}"
    return f"{value:+.1f}" if sign else f"{value:.3g}"


def _signed(value: float | None) -> Markup:
    """Decades, with their sign."""
    if value is None:
        return _number(None)
    text = _short(value, sign=False)
    return Markup('<data value="{}">{}</data>').format(value, f"+{text}" if value > 0 else text)


def _prose(text: str) -> Markup:
    """A paragraph of a rule's page: code in backticks, emphasis in asterisks."""
    parts, end = [], 0
    for match in INLINE.finditer(text):
        marked = CODE.format(match[1]) if match[1] else EMPHASIS.format(match[2])
        parts += [escape(text[end : match.start()]), marked]
        end = match.end()
    return Markup("").join([*parts, escape(text[end:])])


def _shown(names: Sequence[str]) -> tuple[Sequence[str], int]:
    """As many as fit a cell, and how many more there are."""
    return names[:MOST_NAMES], max(len(names) - MOST_NAMES, 0)


def _thresholds(rule: Rule) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in rule.thresholds.items())


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
        number=_number,
        signed=_signed,
        prose=_prose,
        shown=_shown,
        thresholds=_thresholds,
        value_facts=_value_facts,
    )
    environment.globals.update(MOST_ROWS=MOST_ROWS, box=_chart)
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
