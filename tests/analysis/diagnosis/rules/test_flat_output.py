import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import anatomy, severity

WARNING = Severity.WARNING


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(logit_std_log10=-3.0)}, WARNING),
        ({"flow": flow(logit_std_log10=-3.0), **anatomy(zero_head="layer-03")}, None),
        ({"flow": flow(logit_std_log10=-2.0)}, None),
    ],
)
def test_logits_that_hardly_differ_are_a_warning_but_for_a_head_that_starts_at_zero(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH206", measurement(**changes)) is expected
