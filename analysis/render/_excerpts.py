"""What several formats pick out of a report; numbers and words are the report's own."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

from analysis.facts import LayerStats
from analysis.report import Finding, Report

WORST_LAYERS: Final = 6
BEST_REMEDIES: Final = 5
MOST_LAYERS: Final = 8
"""Named in one sentence; the others are counted."""


def worst_layers(report: Report) -> list[LayerStats]:
    """The layers of the unchanged model with the smallest update ratio, flagged ones first; none of a healthy one."""
    measured = [each for each in report.variants[0].layers or () if each.update_ratio is not None]
    if not report.findings:
        return []
    return sorted(measured, key=lambda each: (bool(not each.flags), each.update_ratio or 0.0))[:WORST_LAYERS]


def evidence_words(report: Report, finding: Finding) -> str:
    """Each number and its limit: flow_decades -6.7 (limit -2.8).

    The flow that decides is that by RMS or by norm; the summary tells the one by RMS, so the other is called that.
    """
    flow = report.gradient_flow
    by_norm = {name: name == "flow_decades" and each.value == flow.decades_norm != flow.decades_rms
               for name, each in finding.evidence.items()}  # fmt: skip
    return ", ".join(
        f"{name}{' by norm' if by_norm[name] else ''} {each.value:.3g} (limit {each.threshold:g})"
        for name, each in finding.evidence.items()
    )


def layer_names(report: Report) -> Mapping[str, str]:
    """What the model calls each layer."""
    return {layer.id: layer.name for layer in report.layers}


def some_layers(layers: Sequence[str], names: Mapping[str, str]) -> str:
    """The first layers with their names, and how many more there are."""
    shown = ", ".join(f"{each} {names.get(each, '')}".strip() for each in layers[:MOST_LAYERS])
    more = len(layers) - MOST_LAYERS
    return f"{shown} and {more} more" if more > 0 else shown


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """By severity; the report's own order among equals."""
    return sorted(findings, key=lambda finding: -finding.severity.rank)


def fingerprint(file: str, key: str) -> str:
    """What tells a finding of a file from all others, run after run."""
    return hashlib.sha256(f"{file}\0{key}".encode(errors="backslashreplace")).hexdigest()
