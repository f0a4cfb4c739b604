"""All findings of a measurement, and which of them explains which."""

from collections.abc import Iterable, Mapping
from typing import Final

from analysis.diagnosis.policy import EVERY_RULE, Policy
from analysis.facts import Measurement
from analysis.report import Finding, Severity

PRECEDENCE: Final = (
    ("GH106",),
    ("GH601",),
    ("GH305",),
    ("GH501",),
    ("GH302",),
    ("GH301", "GH306"),
    ("GH201", "GH202", "GH207"),
    ("GH101", "GH102", "GH103", "GH401", "GH402"),
    ("GH303", "GH304"),
    ("GH104", "GH203", "GH204", "GH205", "GH206"),
    ("GH107", "GH108"),
    ("GH105",),
)
"""Causes before consequences: a finding is explained by those in earlier groups that are as serious."""
ROOTS: Final = frozenset({"GH301", "GH302", "GH305", "GH306", "GH501"})
"""How the network was made or fed: a warning of these explains an error, too."""


def diagnose(measurement: Measurement, chosen: Policy = EVERY_RULE) -> tuple[Finding, ...]:
    """All findings, worst first, each told what explains it."""
    found = [finding for rule in chosen.rules for finding in rule.findings(measurement, chosen.thresholds.get(rule.id))]
    found.sort(key=lambda finding: (-finding.severity.rank, finding.rule))
    causes = {finding.rule: _causes(finding, found) for finding in found}
    return tuple(finding.model_copy(update={"caused_by": _roots(causes[finding.rule], causes)}) for finding in found)


def _causes(finding: Finding, found: Iterable[Finding]) -> frozenset[str]:
    """Earlier in precedence and as serious, or made so; a remark neither has nor is a cause."""
    if finding.severity is Severity.INFO:
        return frozenset()
    serious = [other for other in found if other.severity is not Severity.INFO]
    earlier = [other for other in serious if _group(other.rule) < _group(finding.rule)]
    return frozenset(
        other.rule for other in earlier if other.rule in ROOTS or other.severity.rank >= finding.severity.rank
    )


def _roots(causes: frozenset[str], of: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """Those of the causes that none of the others explains."""
    return tuple(sorted(cause for cause in causes if of[cause].isdisjoint(causes)))


def _group(rule_id: str) -> int:
    return next((place for place, group in enumerate(PRECEDENCE) if rule_id in group), len(PRECEDENCE))
