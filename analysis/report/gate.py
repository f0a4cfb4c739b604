"""Whether a report passes a gate: the question a CI pipeline asks.

A gate is a severity (info, warning, error), or `inconclusive`, or both joined by a comma: `error,inconclusive` fails on
any error-level finding and on a verdict without enough evidence. `inconclusive` alone implies error.
"""

from dataclasses import dataclass

from analysis.errors import BadOptions
from analysis.report.document import Report
from analysis.report.parts import Severity, Verdict

INCONCLUSIVE = Verdict.INCONCLUSIVE.value


@dataclass(frozen=True, slots=True)
class Gate:
    """What makes a report fail."""

    severity: Severity = Severity.ERROR
    inconclusive: bool = False

    @classmethod
    def parse(cls, text: str) -> "Gate":
        """Read `error`, `warning`, `info`, `inconclusive`, or a severity and `inconclusive`.

        Raises BadOptions.
        """
        tokens = {token.strip() for token in text.split(",") if token.strip()}
        severities = tokens - {INCONCLUSIVE}
        if len(severities) > 1 or not severities <= {severity.value for severity in Severity} or not tokens:
            raise BadOptions(
                f"{text!r} is no gate", where="fail_on", hint="info, warning or error, with or without ,inconclusive"
            )
        severity = Severity(severities.pop()) if severities else Severity.ERROR
        return cls(severity, INCONCLUSIVE in tokens)

    def fails(self, report: Report) -> bool:
        """Whether the report has a finding at or over the severity, or a verdict that is refused by itself."""
        return any(self.counts(finding.severity) for finding in report.findings) or self.refuses(report.verdict)

    def counts(self, severity: Severity) -> bool:
        """Whether a finding of this severity fails."""
        return severity.rank >= self.severity.rank

    def refuses(self, verdict: Verdict) -> bool:
        """Whether a verdict fails without a finding: at risk unless only errors count, too little evidence if asked."""
        at_risk = self.severity is not Severity.ERROR and verdict is Verdict.AT_RISK
        return at_risk or (self.inconclusive and verdict is Verdict.INCONCLUSIVE)

    def __str__(self) -> str:
        """What `parse` reads."""
        return f"{self.severity.value},{INCONCLUSIVE}" if self.inconclusive else self.severity.value
