"""The figures of the page: gradient flow by depth, the gradient over time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from markupsafe import Markup

from analysis.diagnosis.root import root_cause
from analysis.diagnosis.rules import BY_ID
from analysis.diagnosis.words import loss_words
from analysis.facts import Status, TimeProfile
from analysis.facts.zones import GREEN_DECADES
from analysis.render import _chart
from analysis.render._chart import Chart, Series
from analysis.render._live import live_data
from analysis.render._numbers import decades
from analysis.render._profiles import Profile, profile
from analysis.render._words import short_name
from analysis.report import Report, Variant, Verdict

MOST_CURVES: Final = 4
"""Beside the unchanged model."""
HORIZON_DECADES: Final = -2.0
"""1 % of the peak, as `horizon_steps` counts."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, the same for a telephone, what a script makes of it, and the numbers under it."""

    chart: Chart
    narrow: Chart
    live: Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[float | None, ...]], ...]
    """Id, name, and the value of each curve."""


def flow_figure(report: Report) -> Figure | None:
    """Gradient flow by depth; none where no layer has an activation gradient."""
    known = [(each, profile(report, each)) for each in (report.variants[0], *_worth_showing(report))]
    shown = [(each, its) for each, its in known if any(value is not None for value in its.rms)]
    if not shown or shown[0][0] is not report.variants[0]:
        return None
    series = _flow_series(report, shown)
    low, high = _threshold(report, "GH101", "flow_decades"), _threshold(report, "GH102", "flow_decades")
    said = "; ".join(f"{each.name}: {each.note}" for each in series)
    core = (max(low, -GREEN_DECADES), min(high, GREEN_DECADES))
    labels, y_label = [short_name(layer) for layer in report.layers], "gradient over that at the logits"
    drawn = partial(
        _chart.layout, "flow", series, [f"{layer.id} {layer.name}" for layer in report.layers], band=(low, high),
        core=core, band_label=f"healthy: {_chart.signed(low)} to {_chart.signed(high)}",
        title="Gradient flow by depth", labels=labels,
        description=f"Gradient at each layer relative to the gradient at the logits, on a log scale. {said}.",
        x_label="layers, from the inputs to the logits", y_label=y_label,
    )  # fmt: skip
    live = live_data("flow", series, labels=labels, band=(low, high), core=core, y_label=y_label)
    return Figure(drawn(), drawn(box=_chart.NARROW), live, *_numbers(report, shown))


def _numbers(
    report: Report, shown: Sequence[tuple[Variant, Profile]]
) -> tuple[tuple[str, ...], tuple[tuple[str, str, tuple[float | None, ...]], ...]]:
    """The unchanged model by both measures, and the first of the others: columns and rows."""
    (own, its), *others = shown
    columns, values = [f"{own.id}, RMS", f"{own.id}, norm"], [its.rms, its.norm]
    if others:
        columns.append(f"{others[0][0].id}, RMS")
        values.append(others[0][1].rms)
    rows = zip(report.layers, zip(*values, strict=True), strict=True)
    return tuple(columns), tuple((layer.id, layer.name, row) for layer, row in rows)


def _flow_series(report: Report, shown: Sequence[tuple[Variant, Profile]]) -> list[Series]:
    """Curves along the trunk; of the unchanged model the layers beside it as well, and rings where the cause is."""
    trunk = {place for place, layer in enumerate(report.layers) if layer.on_trunk}
    beside = frozenset(range(len(report.layers))) - trunk if len(trunk) > 1 else frozenset()
    root = root_cause(report.findings)
    marked = frozenset(place for place, layer in enumerate(report.layers) if root and layer.id in root.layers)
    (baseline, its), *others = shown
    unchanged = Series(
        baseline.id, its.rms, _note(report, baseline), beside, marked, _on_curve(its.blocks, beside), role="own"
    )
    by_norm = Series(
        "by norm", _without(its.norm, beside), _norm_note(baseline), beside,
        through=_on_curve(its.block_norms, beside), role="norm",
    )  # fmt: skip
    return [
        unchanged,
        by_norm,
        *(
            Series(
                each.id, _without(other.rms, beside), _note(report, each), beside,
                through=_on_curve(other.blocks, beside), role="faint" if place else "best",
            )
            for place, (each, other) in enumerate(others)
        ),
    ]  # fmt: skip


def _on_curve(blocks: Mapping[int, float], beside: frozenset[int]) -> dict[int, float]:
    return {place: value for place, value in blocks.items() if place in beside}


def _norm_note(variant: Variant) -> str:
    flow = None if variant.measurement is None else variant.measurement.gradient_flow
    return _flow_words(None if flow is None else flow.decades_norm)


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


def _without(profile: Sequence[float | None], places: frozenset[int]) -> tuple[float | None, ...]:
    return tuple(None if place in places else value for place, value in enumerate(profile))


def _note(report: Report, variant: Variant) -> str:
    """What the legend says of a variant: its flow, and its proof."""
    flow = _flow_of(variant)
    words = [_flow_words(flow)]
    remedy = next((each for each in report.remedies if each.variant == variant.id), None)
    if remedy is not None:
        words.append(f"loss {loss_words(remedy.proof.worst)} of chance")
    elif variant is not report.variants[0]:
        words.append("not proven")
    return ", ".join(words)


def _flow_words(flow: float | None) -> str:
    if flow is None or math.isnan(flow):
        return "flow not measured" if flow is None else "not finite"
    if flow == -math.inf:
        return "no gradient arrives"
    return f"{decades(flow)} decades"


def time_figure(profiles: Sequence[TimeProfile]) -> Figure | None:
    """Gradient by time step, each chain relative to its own peak."""
    known = [(profile, _peak(profile)) for profile in profiles[: MOST_CURVES + 1]]
    chains = [(profile, peak) for profile, peak in known if peak is not None]
    if not chains:
        return None
    steps = max(len(profile.gradient_log10) for profile, _ in chains)
    series = [
        Series(
            f"{chain.node} ({chain.direction})", _padded([each - peak for each in chain.gradient_log10], steps),
            role="faint" if place else "own",
        )
        for place, (chain, peak) in enumerate(chains)
    ]  # fmt: skip
    names = [f"step {step}" for step in range(steps)]
    band, labels, y_label = (HORIZON_DECADES, 0.0), list(map(str, range(steps))), "gradient over the peak of the chain"
    drawn = partial(
        _chart.layout, "time", series, names, band=band, band_label="over 1 % of the peak",
        title="Gradient through time",
        description=f"Gradient at the states of {len(series)} recurrent chains by time step, relative to its peak.",
        x_label="time step", y_label=y_label, labels=labels,
    )  # fmt: skip
    rows = tuple((name, "", tuple(each.decades[step] for each in series)) for step, name in enumerate(names))
    live = live_data("time", series, labels=labels, band=band, y_label=y_label)
    return Figure(drawn(), drawn(box=_chart.NARROW), live, tuple(each.name for each in series), rows)


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
