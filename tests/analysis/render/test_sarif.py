"""SARIF, held against the schema of its standard: pydantic models that another project generated from it."""

import json
from typing import Any

import pytest
from fluidattacks_core.sarif import SarifLog

from analysis.diagnosis.rules import BY_ID
from analysis.render._publication import Publication
from analysis.render.sarif import render_sarif
from analysis.report import Report, Severity
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import HOSTILE, SHAPES, by_hand, poisoned


def run_of(report: Report, path: str = "") -> dict[str, Any]:
    """The run of a log that the schema accepts."""
    text = render_sarif(report, Publication(path=path))
    SarifLog.model_validate_json(text)
    log = json.loads(text)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    return dict(run)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_report_is_a_valid_log(shape: str) -> None:
    report = SHAPES[shape]()
    assert len(run_of(report)["results"]) == len(report.findings)


def test_the_schema_refuses_what_is_wrong() -> None:
    log = json.loads(render_sarif(by_hand()))
    for spoil in (lambda result: result.update(level="fatal"), lambda result: result.update(ruleID="x"),
                  lambda result: result.pop("message")):  # fmt: skip
        spoilt = json.loads(json.dumps(log))
        spoil(spoilt["runs"][0]["results"][0])
        with pytest.raises(ValueError, match="validation error"):
            SarifLog.model_validate(spoilt)


def test_a_result_says_rule_level_place_and_evidence() -> None:
    report = by_hand()
    run = run_of(report, "models/net.onnx")
    levels = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
    for finding, result in zip(report.findings, run["results"], strict=True):
        assert result["ruleId"] == finding.rule == run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"]
        assert result["level"] == levels[finding.severity]
        assert result["message"]["text"].startswith(finding.message)
        (place,) = result["locations"]
        assert place["physicalLocation"]["artifactLocation"] == {"uri": "models/net.onnx", "index": 0}
        assert [each["name"] for each in place["logicalLocations"]] == list(finding.layers)
        assert {name: each["value"] for name, each in result["properties"]["evidence"].items()} == {
            name: each.value for name, each in finding.evidence.items()
        }
    assert run["artifacts"][0]["hashes"] == {"sha-256": "0" * 64}


def test_every_rule_that_speaks_carries_its_page_once() -> None:
    report = by_hand()
    rules = run_of(report)["tool"]["driver"]["rules"]
    assert [each["id"] for each in rules] == list(dict.fromkeys(each.rule for each in report.findings))
    for each in rules:
        known = BY_ID[each["id"]]
        assert known.page.strip() in each["help"]["markdown"]
        assert each["shortDescription"]["text"] == known.message
        assert each["name"].lower() == known.name.replace("-", "")


def test_a_rule_that_this_version_does_not_know_is_named_all_the_same() -> None:
    report = by_hand()
    later = report.findings[0].model_copy(update={"rule": "GH777", "name": "later-rule"})
    (rule,) = run_of(report.model_copy(update={"findings": (later,)}))["tool"]["driver"]["rules"]
    assert (rule["id"], rule["name"], "help" in rule) == ("GH777", "LaterRule", False)


def prints(report: Report, path: str = "") -> list[str]:
    return [each["partialFingerprints"]["gradientHealth/v1"] for each in run_of(report, path)["results"]]


def test_fingerprints_tell_findings_apart_and_outlive_other_numbers_layers_and_severities() -> None:
    report = by_hand()
    assert len(set(prints(report))) == len(report.findings)
    changed = tuple(
        each.model_copy(update={"evidence": {}, "layers": ("layer-02",), "severity": Severity.WARNING})
        for each in report.findings
    )
    assert prints(report.model_copy(update={"findings": changed})) == prints(report)
    assert not set(prints(report, "other.onnx")) & set(prints(report))
    twice = report.model_copy(update={"findings": (report.findings[0], report.findings[0])})
    assert len(set(prints(twice))) == 2


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("models/net.onnx", "models/net.onnx"),
        ("./models/net.onnx", "models/net.onnx"),
        ("models\\net.onnx", "models/net.onnx"),
        ("my model #1?.onnx", "my%20model%20%231%3F.onnx"),
        ("模型.onnx", "%E6%A8%A1%E5%9E%8B.onnx"),
        ("javascript:alert(1)", "javascript%3Aalert%281%29"),
    ],
)
def test_a_file_is_a_relative_reference(path: str, uri: str) -> None:
    assert run_of(report_of(), path)["artifacts"][0]["location"]["uri"] == uri


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_no_name_breaks_the_log_or_turns_text_around(name: str) -> None:
    text = json.dumps(run_of(poisoned(name)), ensure_ascii=False)
    assert not set("\u202e\u2066\u200b\u2028\x00\x1b\ud800") & set(text)
    text.encode()
