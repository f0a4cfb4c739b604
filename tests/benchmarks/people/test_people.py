"""What counts as right, and that the draws can be counted."""

from typing import Any

import pytest

from analysis.diagnosis.rules import BY_ID
from tests.benchmarks.people.draw import Case, error_rate
from tests.benchmarks.people.run import DRAWS, cases_of, score
from tests.benchmarks.people.second_reports import logistic_regression

OWN: dict[str, Any] = {"own": 0.1, "grid": {}}
NOBODY: dict[str, Any] = {"own": 1.0, "grid": {"sgd 0.1": 1.0, "adam 0.01": 0.9}}
DESCENT: dict[str, Any] = {"own": 1.0, "grid": {"sgd 0.1": 0.2}}
ADAM: dict[str, Any] = {"own": 1.0, "grid": {"sgd 0.1": 1.0, "adam 0.01": 0.2}}
SOUND = "no error on a network that trains"


def scored(truth: dict[str, Any], verdict: str, cause: str | None, **more: Any) -> dict[str, bool | None]:
    case = Case(
        "a", "", logistic_regression, ("sgd", 0.1), 10, error_rate, frozenset({"GH101"}),
        more.pop("elsewhere", False), {}, 64,
    )  # fmt: skip
    return score(case, {"truth": truth, "product": {"verdict": verdict, "cause": cause}, **more})


@pytest.mark.parametrize(
    ("truth", "verdict", "cause", "right", "named"),
    [
        (NOBODY, "unhealthy", "GH101", True, True),
        (NOBODY, "at_risk", "GH201", True, False),
        (NOBODY, "healthy", None, False, False),
        (NOBODY, "inconclusive", None, False, False),
        (OWN, "healthy", None, True, None),
        (OWN, "at_risk", "GH201", False, None),
        (DESCENT, "healthy", None, True, None),
        (DESCENT, "at_risk", "GH101", True, None),  # its owner's rate fails, and why is said
        (ADAM, "at_risk", "GH101", True, True),
        (ADAM, "healthy", None, False, False),
    ],
)
def test_a_verdict_is_right_as_training_says_and_a_cause_where_one_is_asked_for(
    truth: dict[str, Any], verdict: str, cause: str | None, right: bool, named: bool | None
) -> None:
    found = scored(truth, verdict, cause)
    assert (found["verdict"], found["cause"]) == (right, named)


@pytest.mark.parametrize(
    ("truth", "verdict", "expected"),
    [(OWN, "unhealthy", False), (OWN, "at_risk", True), (DESCENT, "unhealthy", False), (NOBODY, "unhealthy", None)],
)
def test_an_error_is_wrong_on_what_plain_descent_or_its_owner_trains(
    truth: dict[str, Any], verdict: str, expected: bool | None
) -> None:
    assert scored(truth, verdict, "GH201")[SOUND] is expected


def test_a_sound_network_may_be_told_what_its_owner_did_and_nothing_else() -> None:
    assert scored(NOBODY, "at_risk", "GH101", elsewhere=True)["verdict"] is True
    assert scored(NOBODY, "at_risk", "GH201", elsewhere=True)["verdict"] is False
    assert scored(NOBODY, "healthy", None, elsewhere=True)["cause"] is False


def test_a_remedy_counts_where_something_was_to_be_mended_and_works_if_any_training_does() -> None:
    assert scored(NOBODY, "unhealthy", "GH101", remedy={"ends": {"sgd 0.1": 0.8, "adam 0.001": 0.1}})["remedy"] is True
    assert scored(NOBODY, "unhealthy", "GH101", remedy={"ends": {"sgd 0.1": 0.8}})["remedy"] is False
    assert scored(NOBODY, "unhealthy", "GH101", remedy={"ends": {}})["remedy"] is False
    assert scored(NOBODY, "unhealthy", "GH101")["remedy"] is None
    assert scored(OWN, "healthy", None, remedy={"ends": {}})["remedy"] is None


@pytest.mark.parametrize("draw", DRAWS)
def test_every_cause_of_a_draw_is_a_rule(draw: str) -> None:
    named = {rule for case in cases_of(draw).values() for rule in case.rules} - {"refused"}
    assert named <= BY_ID.keys()
