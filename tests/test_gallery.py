"""The confusion matrix of the gallery: the sick fire their rules, the healthy have no error-level finding.

Here one seed, and what needs no training without it; three seeds of both halves, trained, are a benchmark.
"""

from types import ModuleType

import pytest

from analysis.diagnosis.rules import RULES
from analysis.options import AnalysisOptions, Effort
from analysis.pipeline import analyze
from analysis.report import Report, Severity, Verdict
from tests.gallery import HEALTHY, SICK, first_half, held_out
from tests.gallery.exhibit import labels
from tests.gallery.matrix import diagnosed, judge

EXHIBITS = {exhibit.name: (exhibit, half.SEEDS) for half in (first_half, held_out) for exhibit in half.EXHIBITS}
STATIC = [name for name, (exhibit, _) in EXHIBITS.items() if exhibit.effort is Effort.QUICK]
TRAINED = [name for name, (exhibit, _) in EXHIBITS.items() if exhibit.effort is Effort.STANDARD]
ILLNESSES = {rule.id for rule in RULES if not rule.id.startswith("GH9")} | {"GH901"}


def errors(report: Report) -> set[str]:
    return {finding.rule for finding in report.findings if finding.severity is Severity.ERROR}


@pytest.mark.parametrize("name", SICK)
def test_a_sick_network_is_unhealthy_for_the_right_reason_and_gets_a_proven_remedy(name: str) -> None:
    patient = SICK[name]()
    report = analyze(patient.model, patient.batch)
    assert report.verdict is Verdict.UNHEALTHY
    assert patient.expected <= errors(report)
    assert report.remedies
    best = report.remedies[0].proof
    assert best.worst <= 0.5
    assert best.unchanged is not None
    assert best.unchanged > 0.92


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("with_batch", [True, False], ids=["uploaded batch", "no batch"])
def test_a_healthy_network_has_no_error_level_finding(name: str, with_batch: bool) -> None:
    patient = HEALTHY[name]()
    report = analyze(patient.model, patient.batch if with_batch else None)
    assert not errors(report), report.summary
    assert report.verdict in {Verdict.HEALTHY, Verdict.AT_RISK}
    assert report.verdict is Verdict.HEALTHY or not report.variants[0].absent.get("probe")


@pytest.mark.parametrize(
    ("name", "effort"),
    [*((name, Effort.QUICK) for name in STATIC), *((name, Effort.STANDARD) for name in TRAINED)],
    ids=lambda part: part.value if isinstance(part, Effort) else part,
)
def test_an_exhibit_is_told_by_its_rules_and_no_forbidden_one(name: str, effort: Effort) -> None:
    exhibit, seeds = EXHIBITS[name]
    verdict = judge(exhibit, seeds[0], effort)
    assert not verdict.missed, verdict
    assert not verdict.wrong, verdict
    assert not (exhibit.healthy and verdict.errors), verdict


@pytest.mark.parametrize("name", EXHIBITS)
def test_every_exhibit_was_really_trained_and_some_optimiser_trains_the_healthy(name: str) -> None:
    exhibit, seeds = EXHIBITS[name]
    known = labels()[name]
    assert set(known) == set(map(str, seeds))
    if exhibit.healthy:
        assert "fails" not in {entry["label"] for entry in known.values()}


def test_labels_are_of_exhibits_and_names_are_used_once() -> None:
    assert labels().keys() == EXHIBITS.keys()
    assert len(EXHIBITS) == len(first_half.EXHIBITS) + len(held_out.EXHIBITS)


@pytest.mark.parametrize("half", [first_half, held_out], ids=["first half", "second half"])
def test_every_illness_is_on_show(half: ModuleType) -> None:
    shown = frozenset[str]().union(*(exhibit.expected for exhibit in half.EXHIBITS))
    assert shown == ILLNESSES


def test_the_matrix_reads_what_an_analysis_finds() -> None:
    exhibit, _ = EXHIBITS["sigmoid 8"]
    report = analyze(exhibit.model(0), exhibit.batch(0), AnalysisOptions(effort="quick"))
    told = {(finding.rule, finding.severity) for finding in report.findings}
    assert told == {(finding.rule, finding.severity) for finding in diagnosed(exhibit, 0, Effort.QUICK)}
