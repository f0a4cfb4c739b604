"""The confusion matrix: what the rules said of every exhibit, against what real training said.

An exhibit that fails, or trains with Adam alone, has to be told by a warning or an error; for one that trains under
plain gradient descent a remark of the right id is enough, and an error is a false alarm.

Measured once, thresholds frozen before the second half was run; expected rules told, healthy networks with an error and
with a warning, exhibits that are sick by construction, train under some optimiser and have an error all the same:

    first half,  standard   163 of 165    0 of 51    1 of 51    2
    first half,  quick      120 of 120    0 of 51    0 of 51   13
    second half, standard   180 of 183    0 of 63    0 of 63    1
    second half, quick      137 of 138    0 of 63    1 of 63   13
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from analysis.clock import Clock
from analysis.diagnosis.causes import diagnose
from analysis.experiment.experiment import Experiment
from analysis.measure.examine import examine
from analysis.model import check_model
from analysis.options import Effort
from analysis.report import Finding, Severity
from analysis.subject.parity import check_parity
from analysis.subject.preparation import prepare
from tests.gallery.exhibit import Exhibit, labels

REMARKS = ("GH502", "GH9")
"""Rules that never accuse."""


def diagnosed(exhibit: Exhibit, seed: int, effort: Effort) -> tuple[Finding, ...]:
    """What `analyze` finds in the unchanged model, without treatments."""
    options = exhibit.request(seed, effort)
    subject = prepare(check_model(exhibit.model(seed)), exhibit.batch(seed), options)
    subject, unprobed = examine(subject, check_parity(subject), options)
    return diagnose(Experiment(subject, unprobed, options, Clock(float("inf"), None)).probe_baseline())


@dataclass(frozen=True)
class Verdict:
    """One exhibit, one seed."""

    exhibit: Exhibit
    seed: int
    label: str
    found: Mapping[str, Severity]
    """Worst severity by rule."""

    @property
    def trains(self) -> bool:
        return self.label == "trains"

    @property
    def missed(self) -> frozenset[str]:
        """Expected rules that did not speak loud enough."""
        return frozenset(rule for rule in self.exhibit.expected if not self._spoke(rule))

    @property
    def wrong(self) -> frozenset[str]:
        """Forbidden rules that spoke."""
        return self.exhibit.forbidden & self.accusing

    @property
    def errors(self) -> frozenset[str]:
        return frozenset(rule for rule, severity in self.found.items() if severity is Severity.ERROR)

    @property
    def accusing(self) -> frozenset[str]:
        return frozenset(rule for rule, severity in self.found.items() if severity is not Severity.INFO)

    @property
    def false_alarms(self) -> frozenset[str]:
        """Errors of a network that some optimiser trains."""
        return frozenset() if self.label == "fails" else self.errors

    def _spoke(self, rule: str) -> bool:
        enough = self.trains or rule.startswith(REMARKS)
        return rule in self.found if enough else rule in self.accusing

    def __str__(self) -> str:
        said = " ".join(
            f"{rule[2:]}{'!' if severity is Severity.ERROR else '' if severity is Severity.WARNING else '.'}"
            for rule, severity in sorted(self.found.items())
        )
        marks = [f"missed {sorted(self.missed)}"] if self.missed else []
        marks += [f"WRONG {sorted(self.wrong)}"] if self.wrong else []
        marks += [f"FALSE ALARM {sorted(self.false_alarms)}"] if self.false_alarms else []
        return f"{self.exhibit.name:<46} {self.seed} {self.label:<7} {said}  {'; '.join(marks)}"


def judge(exhibit: Exhibit, seed: int, effort: Effort) -> Verdict:
    found: dict[str, Severity] = {}
    for finding in diagnosed(exhibit, seed, effort):
        found[finding.rule] = max(
            finding.severity, found.get(finding.rule, Severity.INFO), key=lambda severity: severity.rank
        )
    return Verdict(exhibit, seed, labels()[exhibit.name][str(seed)]["label"], found)


@dataclass(frozen=True)
class Figures:
    """What is reported of a half."""

    expected: int
    """Expected rules over sick exhibits and seeds."""
    recalled: int
    wrong: int
    """Verdicts on sick exhibits with a forbidden rule."""
    healthy: int
    """Verdicts on healthy exhibits."""
    errors: int
    """Of these, with an error."""
    warnings: int
    """Of these, with a warning and no error."""
    alarms: int
    """Errors on exhibits that are sick by construction and train under some optimiser."""

    def __str__(self) -> str:
        return (
            f"recall of the right id {self.recalled}/{self.expected} = {self.recalled / max(self.expected, 1):.1%}, "
            f"forbidden ids on the sick {self.wrong}, healthy: {self.errors}/{self.healthy} errors, "
            f"{self.warnings}/{self.healthy} = {self.warnings / max(self.healthy, 1):.1%} warnings; "
            f"errors on the sick that train {self.alarms}"
        )


def figures(verdicts: Iterable[Verdict]) -> Figures:
    verdicts = list(verdicts)
    sick = [each for each in verdicts if not each.exhibit.healthy]
    well = [each for each in verdicts if each.exhibit.healthy]
    expected = sum(len(each.exhibit.expected) for each in sick)
    return Figures(
        expected=expected,
        recalled=expected - sum(len(each.missed) for each in sick),
        wrong=sum(bool(each.wrong) for each in sick),
        healthy=len(well),
        errors=sum(bool(each.errors) for each in well),
        warnings=sum(bool(each.accusing) and not each.errors for each in well),
        alarms=sum(bool(each.false_alarms) for each in sick),
    )
