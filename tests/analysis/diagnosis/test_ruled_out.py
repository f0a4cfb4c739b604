"""What is said to be sound, where all that remains is that nothing is learnt."""

from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.policy import EVERY_RULE, Policy
from analysis.diagnosis.ruled_out import ruled_out
from analysis.diagnosis.rules import BY_ID
from analysis.facts import Measurement, TargetReading, WeightStats
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, stats, with_activation

STUCK = measurement(probe=FAILS)


def said(patient: Measurement, rules: Policy = EVERY_RULE) -> dict[str, tuple[float, float]]:
    listed = ruled_out(patient, diagnose(patient, rules), rules)
    return {each.rule: (found.value, found.threshold) for each in listed for found in each.evidence.values()}


def test_what_was_measured_and_keeps_its_limit_is_listed_with_both_numbers() -> None:
    assert said(STUCK) == {
        "GH101": (0.0, -2.8), "GH102": (0.0, 1.8), "GH201": (0.0, 0.2), "GH303": (0.0, 3.0),
    }  # fmt: skip
    reading = TargetReading(samples=256, linear=0.4, neighbours=0.3, permuted=0.0, reference=0.6)
    more = replace(STUCK, target_reading=reading, flow=flow(width_sum=0.5))
    assert said(more).items() >= {"GH306": (0.5, 5.0), "GH505": (0.6, 0.05)}.items()
    copied = replace(stats(1), weight=WeightStats(norm=1.0, rms=1.0, duplicate_fraction=0.1))
    assert said(replace(STUCK, stats=(copied, *STUCK.stats[1:])))["GH302"] == (0.1, 0.2)


def test_nothing_is_listed_that_breaks_its_limit_or_that_no_rule_was_asked_about() -> None:
    many = replace(STUCK, stats=(with_activation(1, dead_fraction=0.3), *STUCK.stats[1:]))
    assert "GH201" not in said(many, Policy((BY_ID["GH105"],)))
    assert said(STUCK, Policy((BY_ID["GH105"],))) == {}
    strict = Policy((BY_ID["GH105"], BY_ID["GH101"]), {"GH101": {"flow_decades": 0.5}})
    assert said(STUCK, strict) == {}


@pytest.mark.parametrize(
    "patient",
    [
        measurement(probe=LEARNS),
        measurement(),
        measurement(probe=FAILS, stats=(with_activation(1, dead_fraction=0.9), stats(2), stats(3))),
    ],
)
def test_the_list_is_for_those_of_whom_nothing_else_is_known(patient: Measurement) -> None:
    assert said(patient) == {}
