from dataclasses import replace

import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement, probe, run
from tests.analysis.diagnosis.rules.patients import severity

WARNING, INFO = Severity.WARNING, Severity.INFO


def moved(*shares: float, end: float = 1.0) -> dict[str, object]:
    told = {f"layer-{place:02d}": share for place, share in enumerate(shares, 1)}
    return {"probe": probe(replace(run("sgd", end), moved=told))}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (moved(1e-5, 0.1, 0.4), WARNING),
        (moved(1e-5, 0.1, 0.4, end=0.4), INFO),
        (moved(1e-2, 0.1, 0.4), None),
    ],
)
def test_first_layers_that_hardly_move_beside_others_are_a_warning(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH107", measurement(**changes)) is expected
