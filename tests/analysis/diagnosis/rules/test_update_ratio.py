from dataclasses import replace

import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import ratios, severity

WARNING, INFO = Severity.WARNING, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (ratios(1e-4, 1e-4, 1e-4), WARNING),
        (ratios(1e-2, 1e-2, 1e-2), None),
        ({**ratios(0.5, 0.5, 0.5), "learning_rate": 0.1}, WARNING),
        ({**ratios(0.05, 0.05, 0.05), "learning_rate": 0.1}, INFO),
        ({**ratios(1e-3, 1e-3, 1e-3), "learning_rate": 0.1}, None),
    ],
)
def test_steps_of_the_wrong_size_are_told_by_the_rate_where_one_is_known(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH304", measurement(**changes)) is expected


def test_steps_in_branches_behind_a_layer_scale_are_not_too_small() -> None:
    small = ratios(1e-1, 1e-7, 1e-7)
    assert severity("GH304", measurement(**small)) is Severity.WARNING
    first, *branches = measurement().layers
    layers = (first, *(replace(each, on_trunk=False) for each in branches))
    assert severity("GH304", measurement(**small, layers=layers)) is None
