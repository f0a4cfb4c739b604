import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import severity

WARNING, INFO = Severity.WARNING, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(width_sum=6.7)}, WARNING),
        ({"flow": flow(width_sum=2.5)}, INFO),
        ({"flow": flow(width_sum=1.0)}, None),
    ],
)
def test_a_deep_and_narrow_trunk_is_a_remark_and_then_a_warning(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH306", measurement(**changes)) is expected
