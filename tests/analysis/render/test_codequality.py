"""GitLab Code Quality: the keys that GitLab documents, and nothing else."""

import hashlib
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from analysis.render._publication import Publication
from analysis.render.codequality import render_codequality
from analysis.report import Report, Severity
from tests.analysis.render.pages import HOSTILE, SHAPES, by_hand, poisoned, told_in_full

DOCUMENTED = Draft202012Validator(
    {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["description", "check_name", "fingerprint", "severity", "location"],
            "additionalProperties": False,
            "properties": {
                "description": {"type": "string", "minLength": 1},
                "check_name": {"type": "string", "minLength": 1},
                "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
                "location": {
                    "type": "object",
                    "required": ["path", "lines"],
                    "additionalProperties": False,
                    "properties": {
                        "path": {"type": "string", "pattern": r"^(?!\./)."},
                        "lines": {
                            "type": "object",
                            "required": ["begin"],
                            "properties": {"begin": {"type": "integer", "minimum": 1}},
                        },
                    },
                },
            },
        },
    }
)
"""https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format"""


def issues_of(report: Report, path: str = "") -> list[dict[str, Any]]:
    issues = json.loads(render_codequality(report, Publication(path=path)))
    DOCUMENTED.validate(issues)
    return list(issues)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_finding_of_every_report_is_an_issue(shape: str) -> None:
    report = SHAPES[shape]()
    assert len(issues_of(report)) == len(report.findings)


def test_the_worst_come_first_each_with_evidence_layers_and_file() -> None:
    report = by_hand()
    issues = issues_of(report, "./models/net.onnx")
    severities = {"critical": Severity.ERROR, "major": Severity.WARNING, "info": Severity.INFO}
    ranks = [severities[each["severity"]].rank for each in issues]
    assert ranks == sorted((each.severity.rank for each in report.findings), reverse=True)
    assert {each["location"]["path"] for each in issues} == {"models/net.onnx"}
    (vanishing,) = [each for each in issues if each["check_name"] == "GH101 vanishing-gradient"]
    assert "flow_decades -6 (limit -2.8)" in vanishing["description"]
    assert "layer-01 fc1" in vanishing["description"]


def test_an_issue_is_whole() -> None:
    report = told_in_full()
    bare = report.findings[0].model_copy(update={"evidence": {}, "severity": Severity.INFO})
    issues = issues_of(report.model_copy(update={"findings": (bare, *report.findings)}), "models/net.onnx")
    place = {"path": "models/net.onnx", "lines": {"begin": 1}}
    said = "A short training on the sample batch does not bring the loss down."
    flow = "The gradient that reaches the first layer is too small to train it."
    assert [{name: each[name] for name in each if name != "fingerprint"} for each in issues] == [
        {
            "description": f"{flow} Evidence: flow_decades -6 (limit -2.8). Layers: layer-01 fc1.",
            "check_name": "GH101 vanishing-gradient", "severity": "critical", "location": place,
        },
        {
            "description": f"{said} Evidence: loss 1 (limit 0.7).",
            "check_name": "GH105 does-not-learn", "severity": "major", "location": place,
        },
        {"description": said, "check_name": "GH105 does-not-learn", "severity": "info", "location": place},
    ]  # fmt: skip
    assert [each["fingerprint"] for each in issues] == [
        hashlib.sha256(f"models/net.onnx\0{key}".encode()).hexdigest() for key in ("GH101", "GH105#2", "GH105")
    ]
    assert render_codequality(report).startswith('[\n {\n  "description"'), "a line for each key"


def test_fingerprints_tell_findings_apart_and_outlive_other_numbers_and_layers() -> None:
    report = by_hand()
    changed = tuple(each.model_copy(update={"evidence": {}, "layers": ()}) for each in report.findings)
    before, after = (
        {each["check_name"]: each["fingerprint"] for each in issues_of(told)}
        for told in (report, report.model_copy(update={"findings": changed}))
    )
    assert before == after
    assert len(set(before.values())) == len(report.findings)


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_no_name_breaks_the_list_or_turns_text_around(name: str) -> None:
    text = json.dumps(issues_of(poisoned(name)), ensure_ascii=False)
    assert not set("\u202e\u2066\u200b\u2028\x00\x1b\ud800") & set(text)
