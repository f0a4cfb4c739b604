"""What every rule gets for nothing: identity, page, thresholds in force, and a cap on confidence."""

import sys
from collections.abc import Iterator

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.contract import Draft, Limits, Place, Rule, rule
from analysis.facts import Confidence, Measurement
from analysis.report import Evidence, Finding, Severity
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import LOW_LEVERAGE

PAGE = """# GH000 a-test

## What it detects
Nothing, on
two lines.

And a second paragraph.

## Remedies
None.
"""


def limited(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
    """Says which limits it was handed."""
    evidence = {name: Evidence(value=0.0, threshold=limit) for name, limit in limits.items()}
    yield Draft(severity=Severity.WARNING, evidence=evidence)


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


def believing(confidence: Confidence) -> Rule:
    def detect(measurement: Measurement, limits: Limits) -> Iterator[Draft]:
        yield Draft(severity=Severity.INFO, confidence=confidence)

    return Rule("GH000", "a-test", "x.", PAGE, detect, {}, Place.ASIDE)


def test_confidence_never_exceeds_the_cap() -> None:
    patient = measurement(flow=flow(-6.0, leverage_log10=LOW_LEVERAGE), confidence_cap=Confidence.MEDIUM)
    assert {finding.confidence for finding in diagnose(patient)} == {Confidence.MEDIUM}


@pytest.mark.parametrize(
    ("own", "cap", "expected"),
    [
        ("high", "high", "high"), ("high", "medium", "medium"), ("high", "low", "low"), ("medium", "high", "medium"),
        ("medium", "low", "low"), ("low", "high", "low"), ("low", "medium", "low"),
    ],
)  # fmt: skip
def test_of_its_own_confidence_and_the_cap_the_lower_is_said(own: str, cap: str, expected: str) -> None:
    capped = measurement(confidence_cap=Confidence(cap))
    assert only(believing(Confidence(own)).findings(capped)).confidence == expected


def test_a_rule_is_handed_its_own_thresholds_but_for_those_a_user_set() -> None:
    made = Rule("GH000", "a-test", "x.", PAGE, limited, {"a": 1.0, "b": 2.0}, Place.ASIDE)
    for limits, expected in ((None, (1.0, 2.0)), ({}, (1.0, 2.0)), ({"b": 5.0}, (1.0, 5.0))):
        evidence = only(made.findings(measurement(), limits)).evidence
        assert (evidence["a"].threshold, evidence["b"].threshold) == expected


def test_a_finding_carries_the_identity_of_its_rule_and_knows_neither_causes_nor_remedies_yet() -> None:
    finding = only(Rule("GH000", "a-test", "x.", PAGE, limited, {}, Place.ASIDE).findings(measurement()))
    assert (finding.rule, finding.name, finding.message) == ("GH000", "a-test", "x.")
    assert (finding.caused_by, finding.remedies) == ((), ())
    assert (finding.severity, finding.confidence, finding.affects) == ("warning", "high", ("sgd", "adam"))


def test_a_page_falls_into_sections_of_paragraphs_on_one_line_each() -> None:
    assert Rule("GH000", "a-test", "x.", PAGE, limited, {}, Place.ASIDE).sections == {
        "What it detects": ("Nothing, on two lines.", "And a second paragraph."),
        "Remedies": ("None.",),
    }


def test_the_page_of_a_rule_is_the_docstring_of_its_module() -> None:
    made = rule("GH000", "a-test", "x.", a=1.0)(limited)
    assert made.page == __doc__
    assert (made.id, made.name, made.message, made.thresholds) == ("GH000", "a-test", "x.", {"a": 1.0})
    assert only(made.findings(measurement())).evidence == {"a": Evidence(value=0.0, threshold=1.0)}


@pytest.mark.parametrize(("said", "expected"), [({"place": Place.LOSS}, Place.LOSS), ({}, Place.ASIDE)])
def test_a_rule_stands_where_it_says_and_aside_where_it_says_nothing(said: dict[str, Place], expected: Place) -> None:
    assert rule("GH000", "a-test", "x.", **said)(limited).place is expected


def test_a_module_without_a_docstring_has_an_empty_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "__doc__", None)
    made = rule("GH000", "a-test", "x.")(limited)
    assert (made.page, made.sections) == ("", {})


def test_how_a_network_was_fed_read_and_made_is_a_root_and_nothing_else_is() -> None:
    roots = {Place.INPUT, Place.LOSS, Place.SYMMETRY, Place.MAKING}
    assert {place for place in Place if place.is_root} == roots
