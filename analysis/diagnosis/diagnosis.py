"""What is said of the unchanged model: findings, verdict, and what to try before it is changed."""

from dataclasses import dataclass

from analysis.diagnosis.advise import advise
from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.policy import Policy
from analysis.diagnosis.verdict import verdict_of
from analysis.facts import LargerRate, Measurement
from analysis.options import AnalysisOptions, Effort
from analysis.report import Advice, Finding, Verdict


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is said of the unchanged model, by which rules."""

    baseline: Measurement
    rules: Policy
    findings: tuple[Finding, ...]
    """Worst first."""
    verdict: Verdict
    advice: tuple[Advice, ...] = ()

    @classmethod
    def of(
        cls, baseline: Measurement, larger: LargerRate | None, rules: Policy, options: AnalysisOptions
    ) -> "Diagnosis":
        """By these rules; `larger`: the training at a larger rate, where clipping permits one."""
        findings = diagnose(baseline, rules)
        verdict = verdict_of(baseline, findings, rules)
        return cls(baseline, rules, findings, verdict, advise(baseline, larger, options.weight_decay))

    def calls_for_cures(self, effort: Effort) -> bool:
        """Whether treatments are measured beyond the factorial: a healthy model needs none, quick has no time."""
        return self.verdict is not Verdict.HEALTHY and effort is not Effort.QUICK
