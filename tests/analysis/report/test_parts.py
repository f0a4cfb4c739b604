"""Parts of a report as they are published: frozen, ordered, and readable by other versions."""

import json
import math

import pytest
from pydantic import ValidationError

from analysis.facts import Confidence
from analysis.report import Evidence, Finding, Severity, Verdict
from analysis.report.parts import AdviceKind, Decades, keyed


def test_severities_are_ordered() -> None:
    assert [severity.rank for severity in Severity] == [0, 1, 2]
    assert [severity.value for severity in Severity] == ["info", "warning", "error"]


def test_the_words_of_verdicts_and_advice_are_what_clients_match_on() -> None:
    assert [verdict.value for verdict in Verdict] == ["healthy", "at_risk", "unhealthy", "inconclusive"]
    advised = ["learning_rate", "adam", "larger_learning_rate", "warm_up", "normalization", "weight_decay"]
    advised += ["standard_inputs", "loss"]
    assert [kind.value for kind in AdviceKind] == advised


@pytest.mark.parametrize(("number", "written"), [(math.inf, "Infinity"), (-math.inf, "-Infinity"), (math.nan, "NaN")])
def test_what_is_not_finite_is_written_as_a_string_and_read_back(number: float, written: str) -> None:
    content = Evidence(value=number, threshold=1.0).model_dump_json()
    assert json.loads(content, parse_constant=pytest.fail)["value"] == written
    assert Evidence.model_validate_json(content).value == pytest.approx(number, nan_ok=True)


def test_a_part_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Decades().decades_rms = 1.0  # type: ignore[misc]


def test_what_another_version_wrote_besides_is_passed_over() -> None:
    assert Evidence.model_validate({"value": 2.0, "threshold": 1.0, "novelty": 7}) == Evidence(value=2.0, threshold=1.0)


def test_flow_that_was_not_measured_is_absent() -> None:
    assert (Decades().decades_rms, Decades().decades_norm) == (None, None)


def test_the_key_of_a_finding_is_its_rule_and_which_one_of_that_rule_it_is() -> None:
    rules = ["GH101", "GH205", "GH101", "GH101"]
    findings = [
        Finding(
            rule=rule, name="x", severity=Severity.INFO, confidence=Confidence.LOW, layers=(), message="",
            evidence={}, affects=(), caused_by=(), remedies=(),
        )
        for rule in rules
    ]  # fmt: skip
    assert [key for key, _ in keyed(findings)] == ["GH101", "GH205", "GH101#2", "GH101#3"]
    assert [finding for _, finding in keyed(findings)] == findings
