"""Report -> JUnit XML: one test case for each rule, so that a pipeline shows which ones fail, newly or no longer.

A rule without a finding is a test that passed. A finding under the gate passes, too, and its words are the output of
the test. The last case is the verdict: it fails where the gate refuses a verdict by itself.
Format: https://github.com/testmoapp/junitxml, read by GitLab, Jenkins, Azure DevOps and CircleCI.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from analysis.diagnosis.brief import brief_of
from analysis.diagnosis.contract import Rule
from analysis.diagnosis.policy import policy
from analysis.diagnosis.rules import RULES
from analysis.errors import BadOptions
from analysis.options import parse_options
from analysis.render._excerpts import evidence_words, layer_names, some_layers
from analysis.render._publication import PLAINLY, Publication
from analysis.render._visible import visible
from analysis.report import Finding, Report

FORBIDDEN: Final = re.compile("[\ufffe\uffff]")
"""XML 1.0 has no way to write these, as it has none for controls, which `visible` writes out."""
VERDICT: Final = "verdict"


def render_junit(report: Report, publication: Publication = PLAINLY) -> str:
    """The suite of one model."""
    cases = [_case(name, findings, report, publication) for name, findings in _by_rule(report).items()]
    cases.append(_verdict(report, publication))
    failed = sum(case.find("failure") is not None for case in cases)
    counts = {"tests": str(len(cases)), "failures": str(failed), "errors": "0", "skipped": "0"}
    suites = Element("testsuites", {"name": "gradient-health", **counts})
    name, seconds = _plain(report.model.name), report.timings_seconds.get("total")
    suite = SubElement(suites, "testsuite", {"name": name, **counts})
    if seconds is not None:
        suite.set("time", f"{seconds:.3f}")
    for case in cases:
        case.set("classname", name)
        case.set("file", _plain(publication.file(report)))
        suite.append(case)
    indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(suites, encoding="unicode") + "\n"


def _by_rule(report: Report) -> Mapping[str, Sequence[Finding]]:
    """Test names to what was found: rules that this version knows and the options chose, then any others."""
    names: dict[str, list[Finding]] = {f"{rule.id} {rule.name}": [] for rule in _applied(report)}
    for finding in report.findings:
        names.setdefault(f"{finding.rule} {finding.name}", []).append(finding)
    return names


def _applied(report: Report) -> Sequence[Rule]:
    """The rules that were asked; all of them where another version chose what this one does not know."""
    try:
        return policy(parse_options(dict(report.options or {}))).rules
    except BadOptions:
        return RULES


def _case(name: str, findings: Sequence[Finding], report: Report, publication: Publication) -> Element:
    case = Element("testcase", {"name": _plain(name)})
    failing = [each for each in findings if publication.gate.counts(each.severity)]
    told = [each for each in findings if each not in failing]
    if failing:
        worst = max(failing, key=lambda each: each.severity.rank)
        words = {"message": _plain(worst.message), "type": worst.severity.value}
        SubElement(case, "failure", words).text = _told(failing, report)
    if told:
        SubElement(case, "system-out").text = _told(told, report)
    return case


def _verdict(report: Report, publication: Publication) -> Element:
    case, brief = Element("testcase", {"name": VERDICT}), brief_of(report)
    words = "\n".join(map(_plain, filter(None, (brief.verdict, brief.summary, brief.certainty))))
    if publication.gate.refuses(report.verdict):
        SubElement(case, "failure", {"message": _plain(brief.verdict), "type": report.verdict.value}).text = words
    else:
        SubElement(case, "system-out").text = words
    return case


def _told(findings: Sequence[Finding], report: Report) -> str:
    return "\n".join(_plain(line) for finding in findings for line in _lines(report, finding) if line)


def _lines(report: Report, finding: Finding) -> Iterator[str]:
    cause = f", caused by {', '.join(finding.caused_by)}" if finding.caused_by else ""
    yield f"{finding.severity.value}, {finding.confidence.value} confidence{cause}: {finding.message}"
    yield evidence_words(report, finding)
    yield f"layers: {some_layers(finding.layers, layer_names(report))}" if finding.layers else ""
    yield f"proven remedies: {', '.join(finding.remedies)}" if finding.remedies else ""


def _plain(text: str) -> str:
    return FORBIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", visible(text))
