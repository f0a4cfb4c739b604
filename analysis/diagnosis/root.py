"""The finding that opens a diagnosis: what nothing explains, and the worst follows from."""

from collections.abc import Sequence

from analysis.report import Finding, Severity
from analysis.report.parts import Cause


def root_cause(findings: Sequence[Finding]) -> Finding | None:
    """What nothing explains and the worst finding follows from; None where there are remarks only.

    A warning that explains an error comes before the error: the root opens, the consequence follows. Of several the
    worst, then the one that explains most, then the first by id.
    """
    accusing = serious(findings)

    def weight(each: Finding) -> tuple[bool, int, int, int, str]:
        explained = [other.severity.rank for other in accusing if each.rule in other.caused_by]
        worst = max([each.severity.rank, *explained])
        return bool(each.caused_by), -worst, -each.severity.rank, -len(explained), each.rule

    return min(accusing, key=weight, default=None)


def cause_of(findings: Sequence[Finding]) -> Cause | None:
    """The same as the report says it: rule and layers."""
    root = root_cause(findings)
    return None if root is None else Cause(rule=root.rule, layers=root.layers)


def serious(findings: Sequence[Finding]) -> list[Finding]:
    """All but remarks."""
    return [finding for finding in findings if finding.severity is not Severity.INFO]
