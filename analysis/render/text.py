"""Report -> a summary for a terminal, 80 columns: the recipe in words, and the layers that suffer most."""

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from analysis.diagnosis.brief import Brief, brief_of, is_made_up
from analysis.diagnosis.words import loss_words
from analysis.facts import LayerStats
from analysis.render._excerpts import BEST_REMEDIES, evidence_words, layer_names, worst_layers
from analysis.render._visible import visible
from analysis.report import Remedy, Report

WIDTH: Final = 80
LABEL: Final = 8
SPARKS: Final = "▁▂▃▄▅▆▇█"
LOWEST_SHOWN: Final = -12.0


def render_text(report: Report) -> str:
    """The summary."""
    parts = [
        [*_title(report), *_recipe(brief_of(report))],
        _flow(report),
        _findings(report),
        _layers(report),
        _remedies(report.remedies),
        _left_out(report),
    ]
    return "\n\n".join("\n".join(map(visible, part)) for part in parts if part) + "\n"


def _title(report: Report) -> list[str]:
    invented = " (on a made-up batch)" if is_made_up(report) else ""
    title = visible(f"{report.model.name}: {report.verdict.value.replace('_', ' ').upper()}{invented}")
    return [title, "=" * len(title)]


def _recipe(brief: Brief) -> list[str]:
    """Cause, change and what speaks for it, each behind its label."""
    labelled = {
        "batch": brief.batch,
        "read": brief.reading,
        "cause": brief.cause,
        "first": brief.first,
        "change" if brief.moved else "tried": brief.change,
        "moved": brief.moved,
        "cost": brief.cost,
        "sure": brief.certainty,
    }
    return [line for label, words in labelled.items() for line in _labelled(label, words)]


def _labelled(label: str, words: str) -> list[str]:
    return textwrap.wrap(visible(words), WIDTH, initial_indent=f"{label:<{LABEL}}", subsequent_indent=" " * LABEL)


def _flow(report: Report) -> list[str]:
    """Gradient at each layer as bars, inputs left: what a reader looks at first."""
    baseline = report.variants[0].layers or ()
    arriving = [each.activation_gradient.rms for each in baseline if each.activation_gradient is not None]
    logs = [math.log10(rms) for rms in arriving if rms > 0 and math.isfinite(rms)]
    if len(logs) < 2:
        return []
    low, high = max(min(logs), max(logs) + LOWEST_SHOWN), max(logs)
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    bars = "".join(SPARKS[round(max(value - low, 0.0) * scale)] for value in _thinned(logs))
    return [f"gradient by depth (input left, log scale {low:.1f} .. {high:.1f})", f"  {bars}"]


def _thinned(values: Sequence[float]) -> Sequence[float]:
    """At most as many as fit, evenly."""
    room = WIDTH - 2
    step = max(1, math.ceil(len(values) / room))
    return values[::step]


def _findings(report: Report) -> list[str]:
    if not report.findings:
        return []
    lines = ["findings"]
    for finding in report.findings:
        cause = f", caused by {', '.join(finding.caused_by)}" if finding.caused_by else ""
        lines.append(f"  {finding.severity.value:<8}{finding.rule} {finding.name} [{finding.confidence.value}{cause}]")
        words = evidence_words(report, finding)
        lines += textwrap.wrap(words, WIDTH, initial_indent=" " * 10, subsequent_indent=" " * 10)
    return lines


def _layers(report: Report) -> list[str]:
    """Those that will learn last."""
    worst, names = worst_layers(report), layer_names(report)
    if not worst:
        return []
    lines = [f"{'worst layers':<38}{'|gradient|':>12}{'|g|/|w|':>12}{'leverage':>12}"]
    return lines + [_layer_row(each, visible(f"{each.id} {names[each.id]}")) for each in worst]


def _layer_row(stats: LayerStats, name: str) -> str:
    norm = "-" if stats.weight_gradient is None else f"{stats.weight_gradient.norm:.2e}"
    lever = "-" if stats.leverage_log10 is None else f"10^{stats.leverage_log10:.1f}"
    return f"  {_cut(name, 35):<36}{norm:>12}{stats.update_ratio or 0.0:>12.2e}{lever:>12}"


def _remedies(remedies: Sequence[Remedy]) -> list[str]:
    if not remedies:
        return []
    lines = [f"{'proven remedies, of equals the smallest change first':<56}{'worst loss':>12}{'unchanged':>12}"]
    lines += list(_remedy_rows(remedies[:BEST_REMEDIES]))
    return lines


def _remedy_rows(remedies: Sequence[Remedy]) -> Iterator[str]:
    for remedy in remedies:
        unchanged = "-" if remedy.proof.unchanged is None else loss_words(remedy.proof.unchanged)
        mark = " (weights redrawn)" if remedy.destructive else ""
        name = f"{remedy.rank}. {_cut(remedy.variant + mark, 50):<51}"
        yield f"  {name}{loss_words(remedy.proof.worst):>12}{unchanged:>12}"


def _left_out(report: Report) -> list[str]:
    if not report.left_out:
        return []
    lines = ["left out"]
    for item in report.left_out[:BEST_REMEDIES]:
        lines += textwrap.wrap(f"{item.what}: {item.why}", WIDTH, initial_indent="  ", subsequent_indent="    ")
    rest = len(report.left_out) - BEST_REMEDIES
    return [*lines, f"  and {rest} more"] if rest > 0 else lines


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else "…" + text[-(width - 1) :]
