import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import anatomy, severity

INFO = Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (anatomy(cancelled={"b1": "BatchNormalization"}), INFO),
        (anatomy(), None),
    ],
)
def test_a_parameter_that_something_takes_out_again_is_a_remark(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH904", measurement(**changes)) is expected
