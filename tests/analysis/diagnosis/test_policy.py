import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.policy import EVERY_RULE, find_rule, policy
from analysis.diagnosis.rules import RULES
from analysis.errors import BadOptions
from analysis.options import AnalysisOptions
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import LOW_LEVERAGE

KNOWN = "flow_decades, leverage_log10"
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
        ({"thresholds": {"GH1.flow_decades": 1.0}}, "options.thresholds.GH1.flow_decades", ("GH1", "no rule")),
        ({"thresholds": {"GH106.any": 1.0}}, "options.thresholds.GH106.any", ("GH106", "it has: none")),
        ({"select": ["vanishing"]}, "options.select", ("vanishing",)),  # a name is matched whole
        ({"select": ["GH101", "GH999"]}, "options.select", ("GH999",)),  # one good word does not excuse another
        ({"ignore": ["H101"]}, "options.ignore", ("H101",)),
    ],
)
def test_an_unknown_rule_or_threshold_is_refused_by_name(options: dict, where: str, words: tuple[str, ...]) -> None:
    with pytest.raises(BadOptions) as caught:
        policy(AnalysisOptions(**options))
    assert caught.value.where == where
    assert all(word in f"{caught.value} {caught.value.hint}" for word in words)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"select": ["GH999"]}, "select: 'GH999' is no rule (for example GH101, GH1 or vanishing-gradient)"),
        ({"thresholds": {"GH9.a": 1.0}}, "thresholds.GH9.a: 'GH9' is no rule (for example GH101.flow_decades)"),
        ({"thresholds": {"GH101.a.b": 1.0}}, f"thresholds.GH101.a.b: GH101 has no threshold 'a.b' (it has: {KNOWN})"),
    ],
)
def test_who_is_refused_is_told_what_there_is_instead(options: dict, said: str) -> None:
    with pytest.raises(BadOptions) as caught:
        policy(AnalysisOptions(**options))
    assert str(caught.value) == f"options.{said}"


def chosen(**options: object) -> list[str]:
    return [rule.id for rule in policy(AnalysisOptions(**options)).rules]  # type: ignore[arg-type]


def test_rules_are_asked_in_the_order_of_their_ids_however_they_are_selected() -> None:
    assert chosen(select=["GH305", "GH20", "vanishing-gradient", "GH101"]) == [
        "GH101", "GH201", "GH202", "GH203", "GH204", "GH205", "GH206", "GH207", "GH305",
    ]  # fmt: skip


def test_what_is_ignored_is_taken_out_of_what_is_selected_by_id_prefix_or_name() -> None:
    scales = [rule.id for rule in RULES if rule.id.startswith("GH30")]
    assert len(scales) > 3
    assert chosen(select=["GH30"], ignore=["GH301", "update-ratio"]) == [
        rule for rule in scales if rule not in {"GH301", "GH304"}
    ]
    assert chosen() == [rule.id for rule in EVERY_RULE.rules]
    assert set(chosen()) - set(chosen(ignore=["GH9"])) == {rule.id for rule in RULES if rule.id.startswith("GH9")}


def test_a_threshold_that_is_set_leaves_the_others_of_its_rule_in_force() -> None:
    given = {"GH101.leverage_log10": -2.0, "vanishing-gradient.flow_decades": -5.0, "gh102.flow_decades": 3.0}
    rules = policy(AnalysisOptions(thresholds=given))
    assert rules.limits("GH101") == {"flow_decades": -5.0, "leverage_log10": -2.0}
    assert rules.limits("GH102")["flow_decades"] == 3.0
    assert (rules.limits("GH102")["leverage_log10"], rules.limits("GH303")["spread_decades"]) == (3.0, 3.0)
    assert EVERY_RULE.limits("GH101") == {"flow_decades": -2.8, "leverage_log10": -1.0}


def test_a_horizon_that_is_required_is_a_threshold_of_fading_memory_beside_others() -> None:
    rules = policy(AnalysisOptions(required_horizon=20, thresholds={"GH401.memory_decades": -1.0}))
    assert rules.thresholds == {"GH401": {"memory_decades": -1.0, "required_horizon": 20}}
    assert policy(AnalysisOptions()).thresholds == {}


def test_a_rule_is_found_by_id_in_either_case_and_by_its_whole_name() -> None:
    for name in ("GH101", "gh101", "vanishing-gradient"):
        rule = find_rule(name)
        assert rule is not None
        assert rule.id == "GH101"
    for name in ("GH1", "GH999", "vanishing", "Vanishing-Gradient", ""):
        assert find_rule(name) is None
