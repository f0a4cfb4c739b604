"""The report in under 20 kB: the same words and numbers, the first of many."""

import json

import pytest

from analysis.diagnosis.brief import brief_of
from analysis.render.summary import Summary, render_summary, summary_of
from analysis.report import Report, Severity
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import HOSTILE, SHAPES, by_hand, poisoned

LARGEST = 20_000


@pytest.mark.parametrize("shape", SHAPES)
def test_every_report_has_a_summary_that_is_read_back(shape: str) -> None:
    report = SHAPES[shape]()
    assert Summary.model_validate_json(render_summary(report)).verdict is report.verdict


def test_words_and_numbers_are_those_of_the_report() -> None:
    report, brief = by_hand(), brief_of(by_hand())
    summary = summary_of(report)
    assert (summary.recipe.cause, summary.recipe.change, summary.counts) == (brief.cause, brief.change, brief.verdict)
    evidence = {each.rule: each.evidence for each in report.findings}
    assert {each.rule: each.evidence for each in summary.findings} == evidence
    assert [(each.variant, each.worst_loss_over_chance) for each in summary.remedies] == [
        (each.variant, each.proof.worst) for each in report.remedies
    ]
    ranks = [each.severity.rank for each in summary.findings]
    assert ranks == sorted(ranks, reverse=True)


def enormous() -> Report:
    """More of everything than any network has."""
    report = by_hand()
    layers = tuple(f"layer-{number:04d}" for number in range(5000))
    finding = report.findings[0].model_copy(
        update={
            "severity": Severity.WARNING,
            "layers": layers,
            "caused_by": tuple("x" * 500 for _ in range(99)),
            "message": "m" * 5000,
        }
    )
    findings = tuple(finding.model_copy(update={"rule": f"GH{number}"}) for number in range(100, 200))
    remedy = report.remedies[0].model_copy(update={"recipe": "模" * 9000, "snippet": "s" * 9000})
    worst = finding.model_copy(update={"rule": "GH000", "severity": Severity.ERROR})
    return report.model_copy(update={"findings": (*findings, worst), "remedies": (remedy,) * 40})


def test_the_largest_report_has_a_small_summary_that_counts_what_it_leaves_out() -> None:
    text = render_summary(enormous())
    assert len(text.encode()) < LARGEST
    summary = Summary.model_validate_json(text)
    assert (summary.findings_total, summary.remedies_total) == (101, 40)
    assert len(summary.findings) > 3
    assert summary.findings[0].rule == "GH000"
    assert all(each.layers_total == 5000 for each in summary.findings)


def test_links_and_models_are_relative_to_the_analysis() -> None:
    summary = summary_of(by_hand())
    assert {"report", "page"} <= summary.links.keys()
    assert not [each for each in summary.links.values() if each.startswith(("/", "http"))]
    assert [each.model for each in summary.remedies] == [None] * len(summary.remedies), "no file was written"


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_no_name_turns_text_around(name: str) -> None:
    text = json.dumps(json.loads(render_summary(poisoned(name))), ensure_ascii=False)
    assert not set("\u202e\u2066\u200b\u2028\x00\x1b\ud800") & set(text)


def test_a_healthy_report_has_neither_findings_nor_cause() -> None:
    summary = summary_of(report_of())
    assert (summary.findings, summary.cause, summary.recipe.cause) == ((), None, "No gradient-flow problem found.")
