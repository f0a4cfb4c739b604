"""All findings of a measurement, and which of them explains which."""

from collections.abc import Iterable, Mapping

from analysis.diagnosis.contract import Place
from analysis.diagnosis.made_up import weighed
from analysis.diagnosis.policy import EVERY_RULE, Policy
from analysis.facts import Measurement
from analysis.report import Finding, Severity


def diagnose(measurement: Measurement, chosen: Policy = EVERY_RULE) -> tuple[Finding, ...]:
    """All findings, worst first, each told what explains it."""
    found = [
        weighed(finding, measurement, of_inputs=rule.of_inputs, of_targets=rule.of_targets)
        for rule in chosen.rules
        for finding in rule.findings(measurement, chosen.thresholds.get(rule.id))
    ]
    found.sort(key=lambda finding: (-finding.severity.rank, finding.rule))
    places = {rule.id: rule.place for rule in chosen.rules}
    causes = {finding.rule: _causes(finding, found, places) for finding in found}
    return tuple(finding.model_copy(update={"caused_by": _roots(causes[finding.rule], causes)}) for finding in found)


def _causes(finding: Finding, found: Iterable[Finding], places: Mapping[str, Place]) -> frozenset[str]:
    """At earlier places and as serious, or roots; a remark neither has nor is a cause."""
    if finding.severity is Severity.INFO:
        return frozenset()
    serious = [other for other in found if other.severity is not Severity.INFO]
    earlier = [other for other in serious if places[other.rule] < places[finding.rule]]
    return frozenset(
        other.rule for other in earlier if places[other.rule].is_root or other.severity.rank >= finding.severity.rank
    )


def _roots(causes: frozenset[str], of: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """Those of the causes that none of the others explains."""
    return tuple(sorted(cause for cause in causes if of[cause].isdisjoint(causes)))
