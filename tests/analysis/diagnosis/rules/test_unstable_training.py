from dataclasses import replace

import pytest

from analysis.facts import Outcome
from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement, probe, run
from tests.analysis.diagnosis.rules.patients import severity

WARNING, INFO = Severity.WARNING, Severity.INFO
UNSTABLE = run("sgd", 9.0, outcome=Outcome.DIVERGED)
GENTLE = replace(run("sgd", 0.4), learning_rate=0.01)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"probe": probe(UNSTABLE, run("adam", 1.0))}, WARNING),
        ({"probe": probe(UNSTABLE, GENTLE, run("adam", 0.4))}, INFO),
        ({"probe": probe(run("sgd", 0.4))}, None),
        ({"probe": probe(replace(UNSTABLE, learning_rate=0.5), GENTLE), "learning_rate": 0.5}, WARNING),
    ],
)
def test_rates_that_all_shake_are_a_warning_and_a_large_one_alone_a_remark(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH108", measurement(**changes)) is expected
