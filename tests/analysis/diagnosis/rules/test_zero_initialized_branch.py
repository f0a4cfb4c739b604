import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import anatomy, evidence, found, severity

INFO = Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (anatomy(zero_branches=("layer-02",)), INFO),
        (anatomy(zero_head="layer-03"), INFO),
        (anatomy(), None),
    ],
)
def test_a_branch_or_a_head_of_zeros_is_a_remark(changes: dict[str, object], expected: Severity | None) -> None:
    assert severity("GH902", measurement(**changes)) is expected


def test_branches_and_head_are_counted_together_and_named() -> None:
    finding = found("GH902", measurement(**anatomy(zero_branches=("layer-01", "layer-02"), zero_head="layer-03")))
    assert evidence(finding) == {"layers_of_zeros": (3, 0, None)}
    assert finding.layers == ("layer-01", "layer-02", "layer-03")
    assert finding.affects == ()
