"""Report -> Markdown as GitHub and GitLab show it: for the summary of a job, or a comment below a merge request.

Names come from strangers: what Markdown, HTML or a forge would obey (tables, links, mentions, references to issues) is
written as character references, which are text and nothing else (CommonMark 6.2).
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from analysis.diagnosis.brief import brief_of, is_made_up
from analysis.diagnosis.words import loss_words
from analysis.facts import LayerStats
from analysis.render._excerpts import (
    BEST_REMEDIES,
    evidence_words,
    layer_names,
    some_layers,
    worst_first,
    worst_layers,
)
from analysis.render._visible import visible
from analysis.report import Finding, Remedy, Report, Severity, Verdict

MARKS: Final = {Severity.ERROR: "🔴", Severity.WARNING: "🟡", Severity.INFO: "🔵"}
VERDICTS: Final = {Verdict.HEALTHY: "🟢", Verdict.AT_RISK: "🟡", Verdict.UNHEALTHY: "🔴", Verdict.INCONCLUSIVE: "⚪"}
ORDINARY: Final = re.compile(r"[\w./+:=, -]+", re.ASCII)
"""What a code span shows as it is."""
OBEYED: Final = re.compile(r"[\\`*\[\]<>|&@~#$]|(?<!\w)_|_(?!\w)|:(?=/)|(?<=www)\.|(?<=GH)-(?=\d)", re.IGNORECASE)
"""In prose: markup, mentions, references, and what would be made a link."""


def render_markdown(report: Report) -> str:
    """Verdict and recipe, then what speaks for it."""
    parts = (
        _title(report),
        _recipe(report),
        _findings(report),
        _remedies(report.remedies),
        _layers(report),
        _left_out(report),
    )
    return "\n\n".join(filter(None, parts)) + "\n"


def _title(report: Report) -> str:
    invented = " (on a made-up batch)" if is_made_up(report) else ""
    verdict = report.verdict.value.replace("_", " ")
    return f"## {VERDICTS[report.verdict]} {_code(report.model.name)}: {verdict}{invented}"


def _recipe(report: Report) -> str:
    brief = brief_of(report)
    said = {
        "Batch": brief.batch,
        "Read": brief.reading,
        "Cause": brief.cause,
        "First": brief.first,
        "Change" if brief.moved else "Tried": brief.change,
        "Moved": brief.moved,
        "Cost": brief.cost,
        "Sure": brief.certainty,
    }
    return "\n".join(f"- **{label}:** {_prose(words)}" for label, words in said.items() if words)


def _findings(report: Report) -> str:
    rows = [_finding(report, finding) for finding in worst_first(report.findings)]
    return _table("Findings", ("", "rule", "evidence", "layers", "confidence"), rows)


def _finding(report: Report, finding: Finding) -> Sequence[str]:
    cause = f"<br>caused by {_prose(', '.join(finding.caused_by))}" if finding.caused_by else ""
    return (
        f"{MARKS[finding.severity]} {finding.severity.value}",
        f"**{_prose(finding.rule)}** {_prose(finding.name)}{cause}",
        _prose(evidence_words(report, finding)),
        _code(some_layers(finding.layers, layer_names(report))) if finding.layers else "",
        finding.confidence.value,
    )


def _remedies(remedies: Sequence[Remedy]) -> str:
    rows = [
        (
            str(remedy.rank),
            _code(remedy.variant) + (" (weights redrawn)" if remedy.destructive else ""),
            loss_words(remedy.proof.worst),
            "" if remedy.proof.unchanged is None else loss_words(remedy.proof.unchanged),
        )
        for remedy in remedies[:BEST_REMEDIES]
    ]
    heading = "Proven remedies (loss over chance after a short training)"
    return _table(heading, ("", "variant", "worst seed", "unchanged"), rows)


def _layers(report: Report) -> str:
    names = layer_names(report)
    rows = [_layer(stats, f"{stats.id} {names.get(stats.id, '')}".strip()) for stats in worst_layers(report)]
    return _table("Worst layers", ("layer", "gradient norm", "over weight norm", "leverage"), rows)


def _layer(stats: LayerStats, name: str) -> Sequence[str]:
    norm = "" if stats.weight_gradient is None else f"{stats.weight_gradient.norm:.2e}"
    ratio = "" if stats.update_ratio is None else f"{stats.update_ratio:.2e}"
    return _code(name), norm, ratio, "" if stats.leverage_log10 is None else f"10^{stats.leverage_log10:.1f}"


def _left_out(report: Report) -> str:
    told = [f"- {_prose(f'{item.what}: {item.why}')}" for item in report.left_out[:BEST_REMEDIES]]
    more = len(report.left_out) - BEST_REMEDIES
    told += [f"- and {more} more"] if more > 0 else []
    return "\n".join(("### Left out", "", *told)) if told else ""


def _table(heading: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = [_row(row) for row in rows]
    return "\n".join((f"### {heading}", "", _row(columns), _row(["---"] * len(columns)), *body)) if body else ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    shown = visible(text)
    if ORDINARY.fullmatch(shown) and shown == shown.strip():
        return f"`{shown}`"
    return f"<code>{''.join(c if c.isalnum() or c in ' -.,/' else f'&#{ord(c)};' for c in shown)}</code>"


def _prose(text: str) -> str:
    return OBEYED.sub(lambda found: f"&#{ord(found[0])};", visible(text))
