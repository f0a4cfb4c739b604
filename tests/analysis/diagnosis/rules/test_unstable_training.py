import math
from dataclasses import replace

import pytest

from analysis.facts import Outcome, Probe, Run, StartEnd
from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement, probe, run
from tests.analysis.diagnosis.rules.patients import Numbers, evidence, found, severity

WARNING, INFO = Severity.WARNING, Severity.INFO
UNSTABLE = run("sgd", 9.0, outcome=Outcome.DIVERGED)
GENTLE = replace(run("sgd", 0.4), learning_rate=0.01)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"probe": probe(UNSTABLE, run("adam", 1.0))}, WARNING),
        ({"probe": probe(UNSTABLE, GENTLE, run("adam", 0.4))}, INFO),
        ({"probe": probe(run("sgd", 0.4))}, None),
        ({"probe": probe(replace(UNSTABLE, learning_rate=0.5, own=True), GENTLE), "learning_rate": 0.5}, INFO),
        ({"probe": probe(replace(UNSTABLE, outcome=Outcome.OSCILLATING))}, WARNING),
        ({"probe": probe(UNSTABLE, GENTLE)}, INFO),
        ({"probe": probe(UNSTABLE, run("adam", 0.4))}, WARNING),  # why Adam alone learns
        ({"probe": probe(UNSTABLE, UNSTABLE, replace(GENTLE, outcome=Outcome.STALLED))}, WARNING),
        ({"probe": probe(UNSTABLE, UNSTABLE, GENTLE)}, INFO),
        ({"probe": probe(UNSTABLE, replace(GENTLE, outcome=Outcome.STALLED))}, INFO),
        ({"probe": probe(run("adam", 9.0, outcome=Outcome.DIVERGED), GENTLE)}, None),
        ({"probe": probe(UNSTABLE, GENTLE), "learning_rate": 0.01}, INFO),
        ({}, None),
    ],
)
def test_rates_that_all_shake_are_a_warning_and_a_large_one_alone_a_remark(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH108", measurement(**changes)) is expected


def grown(start: float, end: float, optimizer: str = "sgd") -> Run:
    return replace(run(optimizer, 0.9), weight_norm=StartEnd(start=start, end=end))


@pytest.mark.parametrize(
    ("trained", "expected"),
    [
        (grown(2.0, 20.0), None),  # ten times as long, and no more
        (grown(2.0, 20.1), WARNING),
        (grown(2.0, math.inf), WARNING),
        (grown(2.0, math.nan), WARNING),
        (grown(0.0, 5.0), None),  # of nothing nothing grows
        (grown(2.0, 30.0, optimizer="adam"), None),
    ],
)
def test_weights_that_end_ten_times_as_long_are_unstable(trained: Run, expected: Severity | None) -> None:
    assert severity("GH108", measurement(probe=probe(trained))) is expected


@pytest.mark.parametrize(
    ("trained", "shown"),
    [
        (
            probe(UNSTABLE, grown(2.0, 6.0), run("adam", 1.0)),
            {"unstable_share_of_runs": (0.5, 0, None)},
        ),
        (
            probe(grown(2.0, math.nan)),
            {"unstable_share_of_runs": (1, 0, None), "weight_growth": (math.inf, 10, None)},
        ),
        (
            probe(replace(UNSTABLE, weight_norm=StartEnd(start=0.0, end=5.0))),
            {"unstable_share_of_runs": (1, 0, None)},
        ),
    ],
)
def test_the_share_of_unstable_runs_is_shown_and_a_growth_over_its_limit(trained: Probe, shown: Numbers) -> None:
    finding = found("GH108", measurement(probe=trained))
    assert evidence(finding) == shown
    assert finding.affects == ("sgd",)
