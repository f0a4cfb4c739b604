import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.policy import policy
from analysis.errors import BadOptions
from analysis.options import AnalysisOptions
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import LOW_LEVERAGE

SICK = {"flow": flow(-4.0, leverage_log10=LOW_LEVERAGE, input_rms=148.0)}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"GH101", "GH305"}),
        ({"select": ["GH1"]}, {"GH101"}),
        ({"select": ["input-scale"]}, {"GH305"}),
        ({"ignore": ["GH101"]}, {"GH305"}),
        ({"select": ["GH"], "ignore": ["GH1", "GH3"]}, set()),
        ({"thresholds": {"GH305.largest_rms": 255.0}}, {"GH101"}),
        ({"thresholds": {"vanishing-gradient.flow_decades": -5.0, "GH101.leverage_log10": -9.0}}, {"GH305"}),
    ],
)
def test_rules_can_be_selected_ignored_and_given_other_thresholds(options: dict, expected: set[str]) -> None:
    found = diagnose(measurement(**SICK), policy(AnalysisOptions(**options)))
    assert {finding.rule for finding in found} == expected


@pytest.mark.parametrize(
    ("options", "where", "words"),
    [
        ({"select": ["GH999"]}, "options.select", ("GH999", "GH101")),
        ({"ignore": ["nonsense"]}, "options.ignore", ("nonsense",)),
        ({"thresholds": {"GH101.nonsense": 1.0}}, "options.thresholds.GH101.nonsense", ("nonsense", "flow_decades")),
        ({"thresholds": {"nonsense.flow_decades": 1.0}}, "options.thresholds.nonsense.flow_decades", ("nonsense",)),
    ],
)
def test_an_unknown_rule_or_threshold_is_refused_by_name(options: dict, where: str, words: tuple[str, ...]) -> None:
    with pytest.raises(BadOptions) as caught:
        policy(AnalysisOptions(**options))
    assert caught.value.where == where
    assert all(word in f"{caught.value} {caught.value.hint}" for word in words)
