"""What the rules make of measured treatments: which are worth a training, which have proven themselves.

Those who train know variants by their ids; the judge looks up what was measured of them by then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from analysis.diagnosis.brief import root_cause
from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.policy import Policy
from analysis.diagnosis.rank import Trial, rank, score, shortlist
from analysis.diagnosis.rules import BY_ID
from analysis.facts import Factor, Measurement, Probe, VariantInfo
from analysis.report import Finding, Remedy, Verdict


class Trained(Protocol):
    """What was measured and trained so far."""

    @property
    def baseline(self) -> Measurement:
        """Of the unchanged model."""

    @property
    def unchanged(self) -> Probe | None:
        """The unchanged model in the training that treatments are put to."""

    def treated(self, names: Iterable[str] | None = None) -> Sequence[tuple[VariantInfo, Measurement]]:
        """Of these variants, or of all, those that are a treatment and were measured."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the treatments of one analysis."""

    trained: Trained
    rules: Policy
    findings: tuple[Finding, ...]
    """Of the unchanged model."""

    def hopeful(self, verdict: Verdict) -> tuple[str, ...]:
        """Variants worth a training, best first, those that go to the cause before all others.

        Those alone where nothing else can mend it; none where the cause is no matter of the network.
        """
        root = root_cause(self.findings)
        cause = None if root is None else BY_ID[root.rule]
        factors = set[Factor]() if cause is None else set(cause.factors)
        trials = shortlist(verdict, self._trials(None))
        to_the_cause = [trial.info.id for trial in trials if not factors.isdisjoint(trial.info.choices)]
        if cause is not None and not cause.treatable:
            return tuple(to_the_cause)
        return (*to_the_cause, *(trial.info.id for trial in trials if factors.isdisjoint(trial.info.choices)))

    def proven(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of these variants that are a remedy, best first."""
        return tuple(remedy.variant for remedy in self.remedies(names))

    def furthest(self, names: Iterable[str]) -> tuple[str, ...]:
        """These variants by how far their training came, whether it proved them or not."""
        return tuple(trial.info.id for trial in sorted(self._trials(names), key=score))

    def remedies(self, names: Iterable[str]) -> tuple[Remedy, ...]:
        """What these variants are proven to mend, best first."""
        return rank(self.trained.baseline, self.trained.unchanged, self._trials(names), self.findings)

    def _trials(self, names: Iterable[str] | None) -> list[Trial]:
        return [
            Trial(info, measurement, diagnose(measurement, self.rules))
            for info, measurement in self.trained.treated(names)
        ]
