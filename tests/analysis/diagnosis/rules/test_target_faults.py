from dataclasses import replace

import pytest

from analysis.facts import TargetFacts
from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, measurement
from tests.analysis.diagnosis.rules.patients import Numbers, evidence, found, severity

WARNING, INFO = Severity.WARNING, Severity.INFO
NUMBERS = TargetFacts(kind="numbers", least=-3.0, most=4.0, mean=2.5, std=1.0, rms=2.7, tail_share=0.08)
LABELS = TargetFacts(
    kind="labels", least=0.0, most=9.0, mean=4.5, std=3.0, rms=5.0, classes=10, present=10, imbalance=1.5
)


@pytest.mark.parametrize(
    ("targets", "learns", "expected"),
    [
        (replace(LABELS, present=1, imbalance=1.0), False, WARNING),
        (replace(LABELS, present=1, imbalance=1.0), True, WARNING),
        (replace(NUMBERS, std=0.0, tail_share=None), False, WARNING),
        (replace(NUMBERS, tail_share=0.6), False, WARNING),
        (replace(NUMBERS, tail_share=0.6), True, INFO),
        (replace(NUMBERS, far_decades=3.5), False, WARNING),
        (replace(NUMBERS, far_decades=3.5), True, INFO),
        (replace(LABELS, imbalance=20.0), False, INFO),
        (replace(LABELS, imbalance=10.0), False, None),
        (replace(NUMBERS, tail_share=0.5), False, None),
        (LABELS, False, None),
        (NUMBERS, False, None),
        (None, False, None),
    ],
)
def test_targets_that_teach_little_are_told(
    targets: TargetFacts | None, learns: bool, expected: Severity | None
) -> None:
    assert severity("GH506", measurement(targets=targets, probe=LEARNS if learns else None)) is expected


@pytest.mark.parametrize(
    ("targets", "shown"),
    [
        (replace(LABELS, present=1), {"different_targets": (1, 2, 0.301029996)}),
        (replace(NUMBERS, tail_share=0.9, far_decades=3.5), {"far_decades": (3.5, 3, 0.5)}),
        (replace(NUMBERS, tail_share=0.9), {"tail_share": (0.9, 0.5, 0.255272505)}),
        (replace(LABELS, imbalance=100.0), {"imbalance": (100, 10, 1)}),
    ],
)
def test_the_number_stands_beside_its_limit(targets: TargetFacts, shown: Numbers) -> None:
    assert evidence(found("GH506", measurement(targets=targets))) == shown


@pytest.mark.parametrize(("size", "expected"), [(1, None), (2, WARNING)])
def test_a_single_sample_shows_nothing_of_what_targets_are_equal(size: int, expected: Severity | None) -> None:
    whole = measurement(targets=replace(LABELS, present=1, imbalance=1.0))
    assert severity("GH506", replace(whole, batch=replace(whole.batch, size=size))) is expected
