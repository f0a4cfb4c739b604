import pytest

from analysis.facts import Parity, ParityStatus
from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import severity

WARNING = Severity.WARNING


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"parity": Parity(reference="", status=ParityStatus.ILL_CONDITIONED, max_relative_error=0.1)}, WARNING),
    ],
)
def test_rounding_that_changes_the_outputs_is_a_warning(changes: dict[str, object], expected: Severity | None) -> None:
    assert severity("GH908", measurement(**changes)) is expected
