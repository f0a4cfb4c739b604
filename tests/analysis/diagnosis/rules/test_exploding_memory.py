import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import remembering, severity

ERROR = Severity.ERROR


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (remembering(growth_decades=3.5), ERROR),
        (remembering(growth_decades=2.5), None),
        (remembering(growth_decades=3.0), None),
    ],
)
def test_growth_through_time_beyond_three_decades_is_an_error(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH402", measurement(**changes)) is expected
