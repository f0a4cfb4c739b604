"""JUnit XML, read back by a library that others read it with."""

import re
from xml.etree.ElementTree import fromstring

import pytest
from junitparser import JUnitXml, TestCase, TestSuite

from analysis.diagnosis.brief import brief_of
from analysis.diagnosis.rules import RULES
from analysis.options import parse_options
from analysis.render._publication import PLAINLY, Publication
from analysis.render.junit import render_junit
from analysis.report import Report, Severity, Verdict
from analysis.report.gate import Gate
from tests.analysis.diagnosis.builders import FAILS, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import HOSTILE, VANISHING, by_hand, poisoned, told_in_full

TestCase.__test__ = TestSuite.__test__ = False
"""They are no tests of ours."""


def suite_of(report: Report, publication: Publication = PLAINLY) -> TestSuite:
    (suite,) = JUnitXml.fromstring(render_junit(report, publication).encode())
    return suite


def failed(report: Report, gate: str) -> set[str]:
    """Names of the cases that fail."""
    suite = suite_of(report, Publication(gate=Gate.parse(gate)))
    names = {case.name for case in suite if case.result}
    assert suite.failures == len(names)
    return names


def test_every_rule_is_a_case_and_the_verdict_is_the_last() -> None:
    suite = suite_of(report_of())
    assert [case.name for case in suite] == [*(f"{rule.id} {rule.name}" for rule in RULES), "verdict"]
    assert suite.tests == len(RULES) + 1
    assert all(case.is_passed for case in suite)


def test_rules_that_were_not_asked_are_no_cases() -> None:
    chosen = report_of(options=parse_options({"select": ["GH1"], "ignore": ["GH104"]}))
    names = [case.name for case in suite_of(chosen)]
    assert names[0] == "GH101 vanishing-gradient"
    assert not [name for name in names[:-1] if not name.startswith("GH1") or name.startswith("GH104")]


@pytest.mark.parametrize("options", [{"select": ["GH777"]}, {"of a later version": 1}])
def test_a_report_of_a_version_with_other_rules_is_told_all_the_same(options: dict[str, object]) -> None:
    later = by_hand()
    new = later.findings[0].model_copy(update={"rule": "GH777", "name": "later"})
    suite = suite_of(later.model_copy(update={"options": options, "findings": (*later.findings, new)}))
    assert "GH777 later" in {case.name for case in suite if not case.is_passed}


def test_what_counts_at_the_gate_fails_and_the_rest_is_told() -> None:
    report = by_hand()
    milder = tuple(each.model_copy(update={"severity": Severity.WARNING}) for each in report.findings[1:])
    report = report.model_copy(update={"findings": (report.findings[0], *milder)})
    by_severity = {
        severity: {f"{each.rule} {each.name}" for each in report.findings if each.severity is severity}
        for severity in Severity
    }
    assert by_severity[Severity.ERROR]
    assert by_severity[Severity.WARNING]
    assert failed(report, "error") == by_severity[Severity.ERROR]
    assert failed(report, "warning") == by_severity[Severity.ERROR] | by_severity[Severity.WARNING]
    told = {case.name for case in suite_of(report) if case.is_passed and case.system_out}
    assert told == by_severity[Severity.WARNING] | by_severity[Severity.INFO] | {"verdict"}


@pytest.mark.parametrize(
    ("verdict", "gate", "fails"),
    [
        (Verdict.AT_RISK, "error", False),
        (Verdict.AT_RISK, "warning", True),
        (Verdict.INCONCLUSIVE, "error", False),
        (Verdict.INCONCLUSIVE, "error,inconclusive", True),
        (Verdict.HEALTHY, "info", False),
    ],
)
def test_a_verdict_that_the_gate_refuses_is_a_failure_of_its_own(verdict: Verdict, gate: str, fails: bool) -> None:
    report = report_of().model_copy(update={"verdict": verdict})
    assert (failed(report, gate) == {"verdict"}) is fails


def test_a_failure_has_evidence_layers_cause_and_remedies() -> None:
    report = by_hand()
    (finding,) = [each for each in report.findings if each.rule == "GH101"]
    explained = report.model_copy(
        update={"findings": (finding.model_copy(update={"caused_by": ("GH202",), "layers": ("layer-01",)}),)}
    )
    (case,) = [case for case in suite_of(explained) if case.name.startswith("GH101")]
    (failure,) = case.result
    assert (failure.message, failure.type) == (finding.message, "error")
    for words in ("flow_decades -6 (limit -2.8)", "caused by GH202", "layers: layer-01 fc1", *finding.remedies):
        assert words in failure.text


def test_a_suite_is_written_case_by_case() -> None:
    report = told_in_full().model_copy(update={"options": {"select": ["GH101", "GH102", "GH105"]}})
    mild, worst = report.findings
    again = worst.model_copy(update={"severity": Severity.WARNING, "message": "Milder.", "evidence": {}, "layers": ()})
    report = report.model_copy(update={"findings": (mild, again, worst)})
    brief = brief_of(report)
    text = render_junit(report, Publication(path="models/net.onnx"))
    place = 'classname="model.onnx" file="models/net.onnx"'
    counts = 'tests="4" failures="1" errors="0" skipped="0"'
    assert text.splitlines() == [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name="gradient-health" {counts}>',
        f'  <testsuite name="model.onnx" {counts} time="1.500">',
        f'    <testcase name="GH101 vanishing-gradient" {place}>',
        f'      <failure message="{worst.message}" type="error">error, high confidence: {worst.message}',
        "flow_decades -6 (limit -2.8)",
        "layers: layer-01 fc1</failure>",
        "      <system-out>warning, high confidence: Milder.</system-out>",
        "    </testcase>",
        f'    <testcase name="GH102 exploding-gradient" {place} />',
        f'    <testcase name="GH105 does-not-learn" {place}>',
        f"      <system-out>warning, low confidence, caused by GH101, GH202: {mild.message}",
        "loss 1 (limit 0.7)",
        "proven remedies: he, relu</system-out>",
        "    </testcase>",
        f'    <testcase name="verdict" {place}>',
        "      <system-out>unhealthy: 1 error, 2 warnings",
        brief.summary,
        f"{brief.certainty}</system-out>",
        "    </testcase>",
        "  </testsuite>",
        "</testsuites>",
    ]
    assert text.endswith(">\n")


def test_without_a_time_a_suite_has_none() -> None:
    timeless = by_hand().model_copy(update={"timings_seconds": {"factorial": 1.0}})
    assert " time=" not in render_junit(timeless)


def test_time_and_file_are_those_of_the_analysis() -> None:
    suite = suite_of(by_hand(), Publication(path="models/net.onnx"))
    assert (suite.name, suite.time) == ("model.onnx", 1.5)
    assert {case._elem.get("file") for case in suite} == {"models/net.onnx"}
    assert {case.classname for case in suite} == {"model.onnx"}


@pytest.mark.parametrize("name", [*HOSTILE, "a\x0bb\ufffe\uffff", "]]>", "&lt;"], ids=ascii)
def test_no_name_breaks_the_document(name: str) -> None:
    text = render_junit(poisoned(name))
    assert not re.search("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text), "XML 1.0, production 2"
    root = fromstring(text)
    assert {each.tag for each in root.iter()} <= {
        "testsuites", "testsuite", "testcase", "failure", "system-out",
    }  # fmt: skip
    assert root[0].get("name") == root[0][0].get("classname")


def test_several_findings_of_one_rule_are_one_case() -> None:
    report = report_of(measurement(flow=VANISHING, probe=FAILS))
    (first,) = [each for each in report.findings if each.rule == "GH101"]
    second = first.model_copy(update={"severity": Severity.WARNING, "layers": ("layer-03",), "message": "Milder."})
    both = report.model_copy(update={"findings": (second, first)})
    (case,) = [case for case in suite_of(both, Publication(gate=Gate.parse("warning"))) if "GH101" in case.name]
    assert (case.result[0].message, case.result[0].type) == (first.message, "error")
    assert "Milder." in case.result[0].text
    (case,) = [case for case in suite_of(both) if "GH101" in case.name]
    assert "Milder." not in case.result[0].text
    assert "Milder." in case.system_out
