"""What is said where no treatment was proven to help."""

from dataclasses import replace

import pytest

from analysis.diagnosis.brief import brief_of
from analysis.facts import WeightStats
from tests.analysis.diagnosis.builders import FAILS, measurement, stats, with_activation
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import SICK, trained, trial


def test_without_a_proven_treatment_the_reason_and_the_usual_remedies_are_said() -> None:
    why = {
        "effort is quick": report_of(SICK, left_out=[("training of treatments", "effort is quick")]),
        "none that was measured looked promising enough": report_of(SICK),
        "of 1 that were trained none learnt clearly better": report_of(
            SICK, [trial("he", measurement(probe=trained(0.99)))]
        ),
    }
    for words, report in why.items():
        change = brief_of(report).change
        assert change.startswith("No treatment was proven to help: ")
        assert words in change
        assert "What usually helps: Replace saturating activations by ReLU" in change


def test_where_no_treatment_may_mend_the_cause_the_brief_says_so_and_what_does() -> None:
    along = replace(measurement().batch, along_samples="lstm")
    change = brief_of(report_of(measurement(batch=along, probe=FAILS))).change
    assert change.startswith("No treatment of the network mends this, and none was trained. What usually helps: batch_")


@pytest.mark.parametrize(
    ("units", "dead", "words"),
    [
        (2, 0.9, "Its narrowest layer, layer-01, has 2 units: "),
        (1, 0.0, "Its narrowest layer, layer-01, has 1 unit: "),
        (5, 0.9, "Most units of layer-01 are silent, and no treatment woke them: draw the network anew."),
        (5, 0.5, "ended at 0.97 of chance. What usually helps"),
    ],
)
def test_a_narrow_or_dead_network_that_no_treatment_cures_is_told_so(units: int, dead: float, words: str) -> None:
    first = with_activation(1, dead_fraction=dead)
    first = replace(first, weight=WeightStats(norm=1.0, rms=1.0, units=units))
    useless = trial("he", measurement(probe=trained(0.97)))
    report = report_of(measurement(probe=FAILS, stats=(first, stats(2), stats(3))), [useless])
    change = brief_of(report).change
    assert " The one that came furthest, he, ended at 0.97 of chance." in change
    assert words in change
