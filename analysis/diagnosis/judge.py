"""What the rules make of measured treatments: which are worth a training, which have proven themselves.

Those who train know variants by their ids; the judge looks up what was measured of them by then.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.diagnosis import Diagnosis
from analysis.diagnosis.rank import Trial, may_redraw, rank, score, shortlist
from analysis.diagnosis.readings import learns
from analysis.diagnosis.root import root_cause
from analysis.diagnosis.rules import BY_ID
from analysis.facts import Factor, Measurement, Probe, VariantInfo
from analysis.report import Remedy

COMBINED: Final = 3
"""Treatments that came furthest are combined, two and two."""
Ranked = Callable[[Iterable[str]], Sequence[str]]
"""Ids of variants that were trained -> those to look at, the most promising first."""


class Trained(Protocol):
    """What was measured and trained so far."""

    @property
    def unchanged(self) -> Probe | None:
        """The unchanged model in the training that treatments are put to."""

    def treated(self, names: Iterable[str] | None = None) -> Sequence[tuple[VariantInfo, Measurement]]:
        """Of these variants, or of all, those that are a treatment and were measured."""

    def prove_until(self, hopeful: Sequence[str], proven: Ranked, furthest: Ranked) -> Sequence[str]:
        """Train the hopeful until the best proven one of them learns; the ids of those that were trained."""

    def combine(self, names: Sequence[str]) -> Sequence[str]:
        """Measure what these variants are together, two and two; the ids of those that are new."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the treatments of one analysis."""

    trained: Trained
    known: Diagnosis
    """Of the unchanged model."""

    def remedies_of_trainings(self) -> tuple[Remedy, ...]:
        """What is proven once the hopeful are trained, best first."""
        tried = self.trained.prove_until(self.hopeful(), self.proven, self.furthest)
        remedies = self.remedies(tried)
        return remedies if remedies or len(tried) < 2 else self._of_a_second_round(tried)

    def _of_a_second_round(self, tried: Sequence[str]) -> tuple[Remedy, ...]:
        """Where no treatment helps by itself, those that came furthest are combined."""
        combined = self.trained.combine(self.furthest(tried)[:COMBINED])
        more = self.trained.prove_until(self.hopeful(combined), self.proven, self.furthest) if combined else ()
        return self.remedies(more)

    def hopeful(self, names: Iterable[str] | None = None) -> tuple[str, ...]:
        """Variants worth a training, of these or of all, best first, those that go to the cause before all others.

        Those alone where nothing else can mend it; none where the cause is no matter of the network, or all that it
        takes is another loss.
        """
        outputs = self.known.baseline.outputs
        if outputs is not None and outputs.off_logarithms is not None and learns(self.known.baseline):
            return ()
        root = root_cause(self.known.findings)
        cause = None if root is None else BY_ID[root.rule]
        factors = set[Factor]() if cause is None else set(cause.factors)
        measured = [trial for trial in self._trials(names) if may_redraw(trial, self.known.baseline.probe)]
        trials = shortlist(self.known.verdict, measured)
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
        return rank(self.known.baseline, self.trained.unchanged, self._trials(names), self.known.findings)

    def _trials(self, names: Iterable[str] | None) -> list[Trial]:
        return [
            Trial(info, measurement, diagnose(measurement, self.known.rules))
            for info, measurement in self.trained.treated(names)
        ]
