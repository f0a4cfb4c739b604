"""All findings of a measurement, and which of them explains which."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.diagnosis.contract import Place
from analysis.diagnosis.made_up import weighed
from analysis.diagnosis.policy import EVERY_RULE, Policy
from analysis.facts import Measurement
from analysis.report import Finding, Severity


@dataclass(frozen=True, slots=True)
class _Placed:
    """A finding and its place among causes."""

    finding: Finding
    place: Place

    def explains(self, other: "_Placed") -> bool:
        """From an earlier place, and as serious, or a root, or what it explains is a mere outcome.

        A remark neither explains nor is explained.
        """
        ranks = self.finding.severity.rank, other.finding.severity.rank
        if min(ranks) == Severity.INFO.rank or self.place >= other.place or self.finding.rule == other.finding.rule:
            return False
        return ranks[0] >= ranks[1] or self.place.is_root or other.place is Place.OUTCOME


def diagnose(measurement: Measurement, chosen: Policy = EVERY_RULE) -> tuple[Finding, ...]:
    """All findings, worst first, each told what explains it."""
    found = sorted(_found(measurement, chosen), key=lambda each: (-each.finding.severity.rank, each.finding.rule))
    return tuple(each.finding.model_copy(update={"caused_by": _roots(each, found)}) for each in found)


def _found(measurement: Measurement, chosen: Policy) -> Iterator[_Placed]:
    for rule in chosen.rules:
        for finding, place in rule.placed(measurement, chosen.thresholds.get(rule.id)):
            of = {"of_inputs": rule.of_inputs, "of_targets": rule.of_targets}
            yield _Placed(weighed(finding, measurement, **of), place)


def _roots(finding: _Placed, found: Sequence[_Placed]) -> tuple[str, ...]:
    """Those of its causes that none of the others explains."""
    causes = [other for other in found if other.explains(finding)]
    roots = {each.finding.rule for each in causes if not any(other.explains(each) for other in causes)}
    return tuple(sorted(roots))
