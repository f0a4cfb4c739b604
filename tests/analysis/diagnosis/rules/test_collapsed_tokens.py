import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import severity

WARNING = Severity.WARNING


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(tokens_decades=-14.0)}, WARNING),
        ({"flow": flow(tokens_decades=-9.0)}, None),
    ],
)
def test_tokens_that_are_all_alike_are_a_warning(changes: dict[str, object], expected: Severity | None) -> None:
    assert severity("GH205", measurement(**changes)) is expected
