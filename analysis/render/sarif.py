"""Report -> SARIF 2.1.0, for GitHub code scanning and whatever else reads it: one result for each finding.

A model is no text, so that a result points to the first line of its file, and to its layers as logical locations. The
fingerprint is made of file, rule and which finding of that rule it is: numbers and layers differ between trainings,
and an alert that was dismissed must stay so. Every rule that speaks carries its page as help.
Standard: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

import json
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from analysis.diagnosis.brief import brief_of
from analysis.diagnosis.policy import find_rule
from analysis.facts import Confidence
from analysis.render._excerpts import evidence_words, fingerprint, layer_names
from analysis.render._publication import PLAINLY, Publication
from analysis.render._visible import visible
from analysis.report import Finding, Report, Severity
from analysis.report.parts import keyed

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT: Final = "gradientHealth/v1"
LEVELS: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
PRECISION: Final = {Confidence.HIGH: "high", Confidence.MEDIUM: "medium", Confidence.LOW: "low"}
MOST_LOCATIONS: Final = 100
"""Layers of one result; the report has them all."""


def render_sarif(report: Report, publication: Publication = PLAINLY) -> str:
    """A log with one run."""
    spoken = list({finding.rule: finding for finding in report.findings}.values())
    places = {finding.rule: index for index, finding in enumerate(spoken)}
    file, brief = publication.file(report), brief_of(report)
    artifact: dict[str, Any] = {"location": {"uri": _uri(file)}, "roles": ["analysisTarget"]}
    artifact |= {"length": report.model.size_bytes, "hashes": {"sha-256": report.model.sha256}}
    driver = {"name": "gradient-health", "version": report.engine.version, "rules": list(map(_rule, spoken))}
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"gradient-health/{_uri(file)}/"},
        "artifacts": [artifact],
        "columnKind": "unicodeCodePoints",
        "results": [
            _result(key, each, places[each.rule], report, _uri(file)) for key, each in keyed(report.findings)
        ],
        "properties": {"verdict": report.verdict.value, "reportId": report.id, "summary": visible(brief.summary)},
    }  # fmt: skip
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(finding: Finding) -> dict[str, Any]:
    known = find_rule(finding.rule)
    described = {
        "id": finding.rule,
        "name": "".join(map(str.capitalize, finding.name.split("-"))),
        "shortDescription": {"text": visible(finding.message)},
        "properties": {"tags": ["gradient-health"], "precision": PRECISION[finding.confidence]},
    }
    if known is None:
        return described
    detects = " ".join(known.sections.get("What it detects", (known.message,)))
    return {**described, "fullDescription": {"text": detects}, "help": {"text": known.page, "markdown": known.page}}


def _result(key: str, finding: Finding, place: int, report: Report, uri: str) -> dict[str, Any]:
    file = {"artifactLocation": {"uri": uri, "index": 0}, "region": {"startLine": 1}}
    return {
        "ruleId": finding.rule,
        "ruleIndex": place,
        "level": LEVELS[finding.severity],
        "kind": "fail",
        "message": {"text": _message(report, finding)},
        "locations": [{"physicalLocation": file, "logicalLocations": _layers(finding.layers, report)}],
        "partialFingerprints": {FINGERPRINT: fingerprint(uri, key)},
        "properties": {
            "confidence": finding.confidence.value,
            "evidence": finding.model_dump(mode="json", exclude_none=True)["evidence"],
            "affects": list(map(visible, finding.affects)),
            "causedBy": list(map(visible, finding.caused_by)),
            "remedies": list(map(visible, finding.remedies)),
            "layers": len(finding.layers),
        },
    }


def _message(report: Report, finding: Finding) -> str:
    parts = (
        finding.message,
        f"Evidence: {evidence_words(report, finding)}." if finding.evidence else "",
        f"Caused by {', '.join(finding.caused_by)}." if finding.caused_by else "",
        f"Proven to help: {', '.join(finding.remedies)}." if finding.remedies else "",
    )
    return visible(" ".join(filter(None, parts)))


def _layers(layers: Sequence[str], report: Report) -> list[dict[str, str]]:
    names = layer_names(report)
    return [
        {"name": visible(each), "fullyQualifiedName": visible(names.get(each, "") or each), "kind": "module"}
        for each in layers[:MOST_LOCATIONS]
    ]


def _uri(path: str) -> str:
    """A relative reference (RFC 3986), as a repository names its files."""
    return quote(path.replace("\\", "/").removeprefix("./"), safe="/", errors="backslashreplace") or "model.onnx"
