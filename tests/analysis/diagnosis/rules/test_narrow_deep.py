import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import Numbers, evidence, found, severity

WARNING, INFO = Severity.WARNING, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(width_sum=6.7)}, WARNING),
        ({"flow": flow(width_sum=2.5)}, INFO),
        ({"flow": flow(width_sum=6.7), "probe": LEARNS}, INFO),
        ({"flow": flow(width_sum=2.0)}, None),
        ({"flow": flow(width_sum=1.0)}, None),
        ({"flow": flow(width_sum=None)}, None),
    ],
)
def test_a_deep_and_narrow_trunk_is_a_remark_and_then_a_warning(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH306", measurement(**changes)) is expected


@pytest.mark.parametrize(
    ("total", "expected", "shown"),
    [
        (50.0, WARNING, {"width_sum": (50, 5, 1)}),
        (5.0, INFO, {"width_sum": (5, 2, 0.397940009)}),  # log10(2.5)
        (4.0, INFO, {"width_sum": (4, 2, 0.301029996)}),  # log10(2)
    ],
)
def test_the_sum_stands_beside_the_limit_that_it_crossed(total: float, expected: Severity, shown: Numbers) -> None:
    finding = found("GH306", measurement(flow=flow(width_sum=total)))
    assert finding.severity is expected
    assert evidence(finding) == shown
