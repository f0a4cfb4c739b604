"""Report -> the same in under 20 kB of JSON: verdict, recipe, findings, remedies, and where the rest is.

Words and numbers are the report's own. Long texts end in an ellipsis; of many layers or remedies the first are named
and all are counted.
"""

from collections.abc import Mapping
from typing import Final

from analysis.diagnosis.brief import brief_of
from analysis.facts import Confidence
from analysis.render._excerpts import BEST_REMEDIES, MOST_LAYERS, worst_first
from analysis.render._visible import visible
from analysis.report import Evidence, Finding, Remedy, Report, Severity, Verdict
from analysis.report.parts import Cause, Part

LARGEST_BYTES: Final = 20_000
WORDS: Final = 600
"""Characters of one sentence of the recipe."""
NAME: Final = 100
LINKS: Final = {"report": "report.json", "page": "report.html", "findings": "report.sarif"}
"""Relative to the analysis, as in the report."""


class Recipe(Part):
    """What is wrong and what helps, in words; empty where there is nothing to say."""

    cause: str
    first: str
    change: str
    moved: str
    cost: str
    certainty: str


class FindingSummary(Part):
    """A finding without its remedies."""

    rule: str
    name: str
    severity: Severity
    confidence: Confidence
    message: str
    evidence: Mapping[str, Evidence]
    layers: tuple[str, ...]
    """The first of them."""
    layers_total: int
    caused_by: tuple[str, ...]


class RemedySummary(Part):
    """A remedy: what to do, what it showed, where its model is."""

    rank: int
    variant: str
    recipe: str
    worst_loss_over_chance: float
    unchanged_loss_over_chance: float | None = None
    destructive: bool
    model: str | None = None
    """Relative to the analysis."""


class Summary(Part):
    """What a person or a pipeline reads first."""

    schema_version: str
    id: str
    model: str
    verdict: Verdict
    counts: str
    """The verdict, and how many findings there are, in words."""
    cause: Cause | None = None
    recipe: Recipe
    findings: tuple[FindingSummary, ...]
    """The worst first."""
    findings_total: int
    remedies: tuple[RemedySummary, ...]
    remedies_total: int
    links: Mapping[str, str]


def render_summary(report: Report) -> str:
    """JSON; of very many findings the mildest are counted only, so that it stays small."""
    summary = summary_of(report)
    while len((text := _json(summary)).encode()) >= LARGEST_BYTES and summary.findings:
        summary = summary.model_copy(update={"findings": summary.findings[:-1]})
    return text


def _json(summary: Summary) -> str:
    return summary.model_dump_json(exclude_none=True, indent=1) + "\n"


def summary_of(report: Report) -> Summary:
    """The report, short."""
    brief = brief_of(report)
    models = {each.id: each.model.href for each in report.variants if each.model is not None}
    recipe = {name: _cut(getattr(brief, name), WORDS) for name in Recipe.model_fields}
    return Summary(
        schema_version=report.schema_version,
        id=report.id,
        model=_cut(report.model.name, NAME),
        verdict=report.verdict,
        counts=brief.verdict,
        cause=report.cause and report.cause.model_copy(update={"layers": _first(report.cause.layers)}),
        recipe=Recipe(**recipe),
        findings=tuple(map(_finding, worst_first(report.findings))),
        findings_total=len(report.findings),
        remedies=tuple(_remedy(each, models.get(each.variant)) for each in report.remedies[:BEST_REMEDIES]),
        remedies_total=len(report.remedies),
        links=LINKS,
    )


def _finding(finding: Finding) -> FindingSummary:
    return FindingSummary(
        rule=_cut(finding.rule, NAME),
        name=_cut(finding.name, NAME),
        severity=finding.severity,
        confidence=finding.confidence,
        message=_cut(finding.message, NAME * 2),
        evidence=finding.evidence,
        layers=_first(finding.layers),
        layers_total=len(finding.layers),
        caused_by=_first(finding.caused_by),
    )


def _remedy(remedy: Remedy, model: str | None) -> RemedySummary:
    return RemedySummary(
        rank=remedy.rank,
        variant=_cut(remedy.variant, NAME),
        recipe=_cut(remedy.recipe, WORDS),
        worst_loss_over_chance=remedy.proof.worst,
        unchanged_loss_over_chance=remedy.proof.unchanged,
        destructive=remedy.destructive,
        model=model,
    )


def _first(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_cut(name, NAME) for name in names[:MOST_LAYERS])


def _cut(text: str, length: int) -> str:
    shown = visible(text)
    return shown if len(shown) <= length else shown[: length - 1] + "…"
