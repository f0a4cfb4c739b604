"""The shelf of rules: RULES, in the order of their ids, and `diagnose`."""

from collections import Counter
from typing import Final

from analysis.facts import Measurement
from analysis.report import Finding
from analysis.rules._base import Rule
from analysis.rules.dead_units import dead_units
from analysis.rules.does_not_learn import does_not_learn
from analysis.rules.exploding_gradient import exploding_gradient
from analysis.rules.no_gradient import no_gradient
from analysis.rules.non_finite import non_finite
from analysis.rules.saturated_units import saturated_units
from analysis.rules.vanishing_gradient import vanishing_gradient

RULES: Final[tuple[Rule, ...]] = (
    vanishing_gradient,
    exploding_gradient,
    does_not_learn,
    non_finite,
    dead_units,
    saturated_units,
    no_gradient,
)
PRECEDENCE: Final = (("GH106",), ("GH601",), ("GH201", "GH202"), ("GH101", "GH102"), ("GH105",))
"""Causes before consequences: a finding is explained by those in earlier groups."""

_repeated = [rule_id for rule_id, count in Counter(rule.id for rule in RULES).items() if count > 1]
if _repeated:
    raise ValueError(f"rule ids used twice: {_repeated}")


def diagnose(measurement: Measurement) -> tuple[Finding, ...]:
    """All findings, worst first, each told what explains it."""
    found = [finding for rule in RULES for finding in rule.findings(measurement)]
    found.sort(key=lambda finding: (-finding.severity.rank, finding.rule))
    return tuple(finding.model_copy(update={"caused_by": _causes(finding, found)}) for finding in found)


def _causes(finding: Finding, found: list[Finding]) -> tuple[str, ...]:
    own = _group(finding.rule)
    causes = {
        other.rule for other in found if _group(other.rule) < own and other.severity.rank >= finding.severity.rank
    }
    return tuple(sorted(causes))


def _group(rule_id: str) -> int:
    return next((place for place, group in enumerate(PRECEDENCE) if rule_id in group), len(PRECEDENCE))
