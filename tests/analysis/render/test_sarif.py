"""SARIF, held against the schema of its standard: pydantic models that another project generated from it."""

import hashlib
import json
from typing import Any

import pytest
from fluidattacks_core.sarif import SarifLog

from analysis.diagnosis.brief import brief_of
from analysis.diagnosis.rules import BY_ID
from analysis.render._publication import Publication
from analysis.render.sarif import render_sarif
from analysis.report import Report, Severity
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import HOSTILE, SHAPES, by_hand, poisoned, told_in_full


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
        assert each["help"] == {"text": known.page, "markdown": known.page}
        assert known.page.count(f"# {known.id} {known.name}") == 1
        assert each["fullDescription"]["text"] == " ".join(known.sections["What it detects"])
        assert each["shortDescription"]["text"] == known.message
        assert each["name"].lower() == known.name.replace("-", "")


def test_a_rule_that_this_version_does_not_know_is_named_all_the_same() -> None:
    report = by_hand()
    later = report.findings[0].model_copy(update={"rule": "GH777", "name": "later-rule"})
    (rule,) = run_of(report.model_copy(update={"findings": (later,)}))["tool"]["driver"]["rules"]
    assert rule == {
        "id": "GH777", "name": "LaterRule", "shortDescription": {"text": later.message},
        "properties": {"tags": ["gradient-health"], "precision": "high"},
    }  # fmt: skip


def test_the_log_says_who_looked_at_what_and_what_it_came_to() -> None:
    report = told_in_full()
    log = json.loads(render_sarif(report, Publication(path="models/net.onnx")))
    assert (log["$schema"].rsplit("/", 1)[1], log["version"]) == ("sarif-schema-2.1.0.json", "2.1.0")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("gradient-health", report.engine.version)
    assert [each["properties"]["precision"] for each in driver["rules"]] == ["low", "high"]
    assert {name: run[name] for name in run if name not in {"tool", "results"}} == {
        "automationDetails": {"id": "gradient-health/models/net.onnx/"},
        "artifacts": [
            {
                "location": {"uri": "models/net.onnx"}, "roles": ["analysisTarget"], "length": 1,
                "hashes": {"sha-256": "0" * 64},
            }
        ],
        "columnKind": "unicodeCodePoints",
        "properties": {"verdict": "unhealthy", "reportId": report.id, "summary": brief_of(report).summary},
    }  # fmt: skip
    assert render_sarif(report).startswith('{\n "$schema"'), "a line for each key, so that logs can be compared"


def test_a_result_is_whole() -> None:
    first, second = run_of(told_in_full())["results"]
    place = {"artifactLocation": {"uri": "model.onnx", "index": 0}, "region": {"startLine": 1}}
    assert first == {
        "ruleId": "GH105", "ruleIndex": 0, "level": "warning", "kind": "fail",
        "message": {
            "text": "A short training on the sample batch does not bring the loss down. Evidence: loss 1 (limit 0.7). "
            "Caused by GH101, GH202. Proven to help: he, relu."
        },
        "locations": [{"physicalLocation": place, "logicalLocations": []}],
        "partialFingerprints": {"gradientHealth/v1": hashlib.sha256(b"model.onnx\0GH105").hexdigest()},
        "properties": {
            "confidence": "low", "evidence": {"loss": {"value": 1.0, "threshold": 0.7}}, "affects": ["adam"],
            "causedBy": ["GH101", "GH202"], "remedies": ["he", "relu"], "layers": 0,
        },
    }  # fmt: skip
    assert second["ruleIndex"] == 1
    assert second["message"]["text"] == (
        "The gradient that reaches the first layer is too small to train it. Evidence: flow_decades -6 (limit -2.8)."
    )
    (where,) = second["locations"]
    assert where["logicalLocations"] == [{"name": "layer-01", "fullyQualifiedName": "fc1", "kind": "module"}]
    assert second["properties"]["layers"] == 1


def test_a_hundred_layers_are_places_and_all_are_counted() -> None:
    report = by_hand()
    many = report.findings[0].model_copy(update={"layers": tuple(f"l{each}" for each in range(101)), "evidence": {}})
    (result,) = run_of(report.model_copy(update={"findings": (many,)}))["results"]
    (where,) = result["locations"]
    assert where["logicalLocations"][-1] == {"name": "l99", "fullyQualifiedName": "l99", "kind": "module"}
    assert (len(where["logicalLocations"]), result["properties"]["layers"]) == (100, 101)
    assert result["message"]["text"].startswith(f"{many.message} Proven to help: ")


def test_a_file_without_a_name_is_a_model() -> None:
    assert run_of(report_of(name="./"))["artifacts"][0]["location"]["uri"] == "model.onnx"
    assert run_of(report_of(), "a\ud800.onnx")["artifacts"][0]["location"]["uri"] == "a%5Cud800.onnx"


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
