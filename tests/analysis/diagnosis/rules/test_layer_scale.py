import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import anatomy, severity

INFO = Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (anatomy(layer_scales={"gamma": 1e-6}), INFO),
        (anatomy(layer_scales={"gamma": 0.1}), INFO),
        (anatomy(layer_scales={"gamma": 0.11}), None),
    ],
)
def test_a_small_learnt_factor_is_a_remark(changes: dict[str, object], expected: Severity | None) -> None:
    assert severity("GH903", measurement(**changes)) is expected
