"""The report in under 20 kB: the same words and numbers, the first of many."""

import json
from dataclasses import replace

import pytest

from analysis.diagnosis.brief import brief_of
from analysis.facts import ModelFile
from analysis.render.summary import Summary, render_summary, summary_of
from analysis.report import Report, Severity
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import HOSTILE, SHAPES, by_hand, poisoned, told_in_full

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


def test_a_summary_is_whole() -> None:
    report = told_in_full()
    (mild, worst), (best, *_) = report.findings, report.remedies
    with_model = tuple(
        each.model_copy(update={"model": ModelFile(href=f"variants/{each.id}.onnx", sha256="0")})
        if each.id == best.variant
        else each
        for each in report.variants
    )
    brief = brief_of(report)
    written = json.loads(render_summary(report.model_copy(update={"variants": with_model})))
    (first, *others) = written.pop("remedies")
    assert first == {
        "rank": 1, "variant": "relu+batch_norm+he", "recipe": "Do it.", "worst_loss_over_chance": 0.256,
        "unchanged_loss_over_chance": 1.2345, "destructive": True, "model": "variants/relu+batch_norm+he.onnx",
    }  # fmt: skip
    unproven = {"rank": 2, "variant": "relu", "recipe": "Do it.", "worst_loss_over_chance": 0.5, "destructive": False}
    assert others == [unproven] * 4
    assert written == {
        "schema_version": report.schema_version, "id": report.id, "model": "model.onnx", "verdict": "unhealthy",
        "counts": "unhealthy: 1 error, 1 warning", "cause": {"rule": "GH101", "layers": ["layer-01"]},
        "recipe": {
            "cause": brief.cause, "first": "Take Adam.", "change": "Do it.", "moved": brief.moved, "cost": brief.cost,
            "certainty": brief.certainty,
        },
        "findings": [
            {
                "rule": "GH101", "name": "vanishing-gradient", "severity": "error", "confidence": "high",
                "message": worst.message,
                "evidence": {
                    "flow_decades": {"value": -6.0, "threshold": -2.8, "bound": "least", "margin_decades": 3.2}
                },
                "layers": ["layer-01"], "layers_total": 1, "caused_by": [],
            },
            {
                "rule": "GH105", "name": "does-not-learn", "severity": "warning", "confidence": "low",
                "message": mild.message, "evidence": {"loss": {"value": 1.0, "threshold": 0.7}}, "layers": [],
                "layers_total": 0, "caused_by": ["GH101", "GH202"],
            },
        ],
        "findings_total": 2, "remedies_total": 6,
        "links": {"report": "report.json", "page": "report.html", "findings": "report.sarif"},
    }  # fmt: skip
    assert render_summary(report).startswith('{\n "schema_version"'), "a line for each key"


@pytest.mark.parametrize(("field", "longest"), [("model", 100), ("rule", 100), ("name", 100), ("message", 200)])
def test_texts_are_cut_where_they_are_too_long(field: str, longest: int) -> None:
    report = by_hand()
    for count, end in ((longest, "x"), (longest + 1, "\N{HORIZONTAL ELLIPSIS}")):
        named = report.findings[0].model_copy(update={} if field == "model" else {field: "x" * count})
        changed = report.model_copy(
            update={"findings": (named,), "model": replace(report.model, name="x" * count if field == "model" else "m")}
        )
        summary = summary_of(changed)
        text = summary.model if field == "model" else str(getattr(summary.findings[0], field))
        assert (len(text), text[-1]) == (longest, end)


def test_of_layers_and_causes_eight_are_named_each_in_a_hundred_letters() -> None:
    report = by_hand()
    assert report.cause is not None
    names = tuple(f"{'x' * 100}{each}" for each in range(9))
    found = report.findings[0].model_copy(update={"layers": names, "caused_by": names})
    cause = report.cause.model_copy(update={"layers": names})
    remedy = report.remedies[0].model_copy(update={"variant": names[0], "recipe": "y" * 601})
    summary = summary_of(report.model_copy(update={"findings": (found,), "cause": cause, "remedies": (remedy,)}))
    cut = (f"{'x' * 99}\N{HORIZONTAL ELLIPSIS}",) * 8
    assert summary.cause is not None
    assert summary.findings[0].layers == summary.findings[0].caused_by == summary.cause.layers == cut
    assert summary.findings[0].layers_total == 9
    (shown,) = summary.remedies
    assert (shown.variant, shown.recipe) == (cut[0], f"{'y' * 599}\N{HORIZONTAL ELLIPSIS}")
    assert summary.recipe.change == shown.recipe


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
