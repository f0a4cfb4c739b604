"""What formats pick out of a report."""

import hashlib

import pytest

from analysis.facts import Confidence
from analysis.render._excerpts import (
    evidence_words,
    fingerprint,
    layer_names,
    some_layers,
    worst_first,
    worst_layers,
)
from analysis.report import Evidence, Finding, Severity
from tests.analysis.diagnosis.builders import FAILS, flow, measurement, stats
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import VANISHING


def found(rule: str, severity: Severity = Severity.ERROR, **evidence: Evidence) -> Finding:
    return Finding(
        rule=rule, name="x", severity=severity, confidence=Confidence.HIGH, layers=(), message="x.",
        evidence=evidence, affects=(), caused_by=(), remedies=(),
    )  # fmt: skip


def test_flagged_layers_come_first_then_those_that_move_least_and_at_most_six() -> None:
    numbers = (1, 2, 3, 4, 5, 6, 7, 8)
    shown = tuple(
        stats(number, update_ratio=None if number == 8 else 1.0 / number, flags=("x",) if number == 2 else ())
        for number in numbers
    )
    report = report_of(measurement(flow=VANISHING, probe=FAILS))
    sick = report.model_copy(update={"variants": (report.variants[0].model_copy(update={"layers": shown}),)})
    assert [each.id for each in worst_layers(sick)] == [f"layer-0{number}" for number in (2, 7, 6, 5, 4, 3)]
    assert worst_layers(sick.model_copy(update={"findings": ()})) == []
    still = (stats(1, update_ratio=1e-9), stats(2, update_ratio=0.0), stats(3, update_ratio=0.5))
    frozen = sick.variants[0].model_copy(update={"layers": still})
    assert [each.id for each in worst_layers(sick.model_copy(update={"variants": (frozen,)}))] == [
        "layer-02", "layer-01", "layer-03",
    ]  # fmt: skip
    assert worst_layers(sick.model_copy(update={"variants": (frozen.model_copy(update={"layers": None}),)})) == []


def test_evidence_is_told_with_its_limit() -> None:
    both = found("GH101", flow=Evidence(value=-6.7048, threshold=-2.8), least=Evidence(value=-5.066, threshold=-1.0))
    report = report_of(measurement(flow=VANISHING, probe=FAILS))
    assert evidence_words(report, both) == "flow -6.7 (limit -2.8), least -5.07 (limit -1)"
    assert evidence_words(report, found("GH101")) == ""


@pytest.mark.parametrize(("rms", "norm", "words"), [(-6.0, -5.0, " by norm"), (-5.0, -6.0, ""), (-5.0, -5.0, "")])
def test_a_flow_that_is_not_the_one_of_the_summary_says_which_it_is(rms: float, norm: float, words: str) -> None:
    report = report_of(measurement(flow=flow(rms, norm), probe=FAILS))
    finding = found("GH101", flow_decades=Evidence(value=-5.0, threshold=-2.8))
    assert evidence_words(report, finding) == f"flow_decades{words} -5 (limit -2.8)"


def test_of_many_layers_eight_are_named_and_the_rest_is_counted() -> None:
    names = layer_names(report_of())
    assert some_layers(("layer-01", "layer-03", "gone"), names) == "layer-01 fc1, layer-03 fc3, gone"
    assert some_layers(tuple("abcdefgh"), {}) == "a, b, c, d, e, f, g, h"
    assert some_layers(tuple("abcdefghi"), {}) == "a, b, c, d, e, f, g, h and 1 more"
    assert some_layers(tuple("abcdefghij"), {}) == "a, b, c, d, e, f, g, h and 2 more"


def test_the_worst_come_first_and_equals_stay_in_order() -> None:
    findings = [found("a", Severity.INFO), found("b"), found("c", Severity.WARNING), found("d")]
    assert [each.rule for each in worst_first(findings)] == ["b", "d", "c", "a"]


def test_a_fingerprint_is_the_digest_of_file_and_key_and_takes_any_name() -> None:
    assert fingerprint("m.onnx", "GH101") == hashlib.sha256(b"m.onnx\0GH101").hexdigest()
    assert len({fingerprint(file, key) for file in ("a", "b", "\ud800") for key in ("GH101", "GH101#2")}) == 6
