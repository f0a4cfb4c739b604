"""What is said of the unchanged model."""

import pytest

from analysis.diagnosis.diagnosis import Diagnosis
from analysis.diagnosis.policy import EVERY_RULE, policy
from analysis.facts import Measurement
from analysis.options import AnalysisOptions, Effort
from analysis.report import Verdict
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement


def told(patient: Measurement, **options: object) -> Diagnosis:
    chosen = AnalysisOptions.model_validate(options)
    return Diagnosis.of(patient, None, policy(chosen), chosen)


def test_findings_and_verdict_are_by_the_rules_in_force() -> None:
    known = told(measurement(probe=FAILS))
    assert ([each.rule for each in known.findings], known.verdict) == (["GH105"], Verdict.UNHEALTHY)
    deaf = told(measurement(probe=FAILS), ignore=["GH105"])
    assert (deaf.findings, deaf.verdict) == ((), Verdict.HEALTHY)


def test_advice_on_decay_is_by_the_decay_that_was_asked_for() -> None:
    patient = measurement(total_gradient_norm=2.0, total_weight_norm=4.0)
    (card,) = told(patient, weight_decay=0.5).advice
    assert card.values["pull_over_gradient"] == 1.0
    assert told(patient, weight_decay=0.0).advice == ()


@pytest.mark.parametrize(
    ("probe", "effort", "called"),
    [
        (FAILS, Effort.STANDARD, True),
        (FAILS, Effort.THOROUGH, True),
        (FAILS, Effort.QUICK, False),
        (LEARNS, Effort.STANDARD, False),
    ],
)
def test_cures_are_called_for_by_the_sick_and_not_in_a_hurry(probe: object, effort: Effort, called: bool) -> None:
    patient = measurement(flow=flow(-0.5), probe=probe)
    known = Diagnosis.of(patient, None, EVERY_RULE, AnalysisOptions())
    assert known.calls_for_cures(effort) is called
