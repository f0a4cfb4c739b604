"""Reports of other versions are read, what is no report is refused by file and field."""

import json
import math
from typing import Any

import pytest

from analysis.comparison.excerpt import Excerpt, parse_excerpt, read_excerpt
from analysis.errors import BadReport
from analysis.options import parse_options
from analysis.report import Severity, Verdict
from tests.analysis.diagnosis.builders import FAILS, flow, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import trial
from tests.beside import SHARED

EXAMPLE = SHARED / "report-example.json"
LEAST: dict[str, Any] = {"schema_version": "1.0", "verdict": "at_risk", "layers": [], "findings": []}
FINDING: dict[str, Any] = {"rule": "GH101", "severity": "error"}


def read(**fields: Any) -> Excerpt:
    return read_excerpt(json.dumps(LEAST | fields), "old.json")


def refused(content: bytes | str) -> BadReport:
    with pytest.raises(BadReport) as refusal:
        read_excerpt(content, "old.json")
    return refusal.value


def test_a_report_at_hand_and_the_same_one_in_a_file_give_the_same_excerpt() -> None:
    sick = measurement(flow=flow(-math.inf), probe=FAILS)
    report = report_of(sick, [trial("he", measurement())], options=parse_options({"effort": "quick"}))
    here, written = Excerpt.of(report), read_excerpt(report.to_json(), "old.json")
    assert here == written
    assert Excerpt.of(here) is here
    assert [layer.name for layer in here.layers] == [layer.name for layer in report.layers]
    assert "GH101" in {finding.rule for finding in here.findings}
    assert [finding.rule for finding in here.findings] == [finding.rule for finding in report.findings]
    assert here.gradient_flow.decades_rms == -math.inf
    assert here.options == {"effort": "quick"}
    assert here.baseline is not None
    assert [stats.id for stats in here.baseline.layers or ()] == [layer.id for layer in report.layers]


def test_what_an_older_version_did_not_write_has_a_default() -> None:
    excerpt = read(findings=[FINDING], layers=[{"id": "layer-1"}])
    assert excerpt.verdict is Verdict.AT_RISK
    assert excerpt.findings[0].severity is Severity.ERROR
    assert (excerpt.findings[0].layers, excerpt.findings[0].evidence) == ((), {})
    assert (excerpt.engine.seed, excerpt.options, excerpt.baseline) == (None, None, None)
    assert excerpt.gradient_flow.decades_rms is None


def test_what_a_newer_version_writes_besides_is_ignored() -> None:
    newer: dict[str, Any] = {
        "schema_version": "1.7",
        "findings": [FINDING | {"novelty": [1]}],
        "layers": [{"id": "layer-1", "parameters": {"weight": {"shape": [2, 3], "dtype": "int4"}}, "novelty": {}}],
        "gradient_flow": {"decades_rms": -1.5, "novelty": 3},
        "parity": "in another form",
        "variants": [{"id": "baseline", "status": "imagined", "layers": [{"id": "layer-1", "update_ratio": 0.5}]}, 7],
    }
    excerpt = read(**newer)
    assert excerpt.layers[0].parameters["weight"].shape == (2, 3)
    assert excerpt.gradient_flow.decades_rms == -1.5
    assert excerpt.baseline is not None
    assert excerpt.baseline.layers is not None
    assert excerpt.baseline.layers[0].update_ratio == 0.5


def test_the_agreed_example_can_be_read() -> None:
    if not EXAMPLE.exists():
        pytest.skip("the agreed example lies beside the repository, and is not there")
    excerpt = read_excerpt(EXAMPLE.read_bytes(), "example")
    assert [finding.rule for finding in excerpt.findings] == ["GH101"]
    assert [remedy.variant for remedy in excerpt.remedies] == ["relu+residual+he"]


def test_non_finite_numbers_are_read() -> None:
    excerpt = read(gradient_flow={"decades_rms": "-Infinity"}, loss={"value": "NaN"})
    assert excerpt.gradient_flow.decades_rms == -math.inf
    assert math.isnan(excerpt.loss.value or 0.0)


@pytest.mark.parametrize(
    ("content", "where", "words"),
    [
        (b"", "old.json", "not JSON"),
        (b"\x08\x08\x12\x07pytorch", "old.json", "not JSON"),
        (b"[" * 100_000, "old.json", "not JSON"),
        ("[]", "old.json", "JSON object"),
        ('"a"', "old.json", "JSON object"),
        ("{}", "old.json: schema_version", "schema_version: field required; verdict: field required"),
        (json.dumps(LEAST | {"verdict": "fine"}), "old.json: verdict", "'healthy'"),
        (json.dumps(LEAST | {"layers": 3}), "old.json: layers", "given 3"),
        (
            json.dumps(LEAST | {"findings": [FINDING, {"rule": "GH1", "severity": "fatal"}]}),
            "old.json: findings.1.severity",
            "'fatal'",
        ),
        (json.dumps(LEAST | {"schema_version": "2.0"}), "old.json: schema_version", "version 2.0, expected 1.x"),
        (json.dumps({"id": "x", "state": "running", "links": {}}), "old.json: schema_version", "field required"),
    ],
)
def test_what_is_no_report_is_refused_by_file_and_field(content: bytes | str, where: str, words: str) -> None:
    error = refused(content)
    assert error.where == where
    assert words in error.detail
    assert error.hint


def test_a_refusal_says_all_that_is_wrong_and_what_to_do() -> None:
    assert refused("[]").detail == "a report is a JSON object"
    one = refused(json.dumps({name: value for name, value in LEAST.items() if name != "verdict"}))
    assert (one.detail, one.where) == ("no report: verdict: field required", "old.json: verdict")
    assert refused(json.dumps(LEAST | {"schema_version": "2.0"})).hint == "compare with a newer gradient-health"


def test_a_minor_version_may_have_parts() -> None:
    assert read(schema_version="1.0.1").verdict is Verdict.AT_RISK


def test_in_parsed_json_a_dot_leads_to_the_field() -> None:
    with pytest.raises(BadReport) as refusal:
        parse_excerpt(LEAST | {"verdict": "fine"}, "old")
    assert refusal.value.where == "old.verdict"


def test_a_place_is_named_by_two_hundred_characters_at_most() -> None:
    layer = {"id": "x", "parameters": {"w" * 300: {"shape": "square"}}}
    place = refused(json.dumps(LEAST | {"layers": [layer]})).where or ""
    assert place == "old.json: " + ("layers.0.parameters." + "w" * 300)[:200]


@pytest.mark.parametrize("field", ["layers", "findings"])
def test_more_than_any_network_has_is_refused(field: str) -> None:
    one = {"id": "x", "rule": "GH101", "severity": "info"}
    assert refused(json.dumps(LEAST | {field: [one] * 20_001})).where == f"old.json: {field}"


def test_a_refusal_is_short_however_much_is_wrong() -> None:
    error = refused(json.dumps(LEAST | {"findings": [{"rule": "x" * 9999}] * 9999, "layers": [{"id": {}}] * 9999}))
    assert "and 19995 more" in error.detail
    assert len(str(error)) < 1000
