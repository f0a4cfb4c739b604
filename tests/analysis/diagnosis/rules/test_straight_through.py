import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import anatomy, evidence, found, severity

INFO = Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (anatomy(straight_through=("quantize",)), INFO),
        (anatomy(), None),
    ],
)
def test_quantisers_that_let_gradients_pass_are_a_remark(changes: dict[str, object], expected: Severity | None) -> None:
    assert severity("GH906", measurement(**changes)) is expected


def test_quantisers_are_counted_and_accuse_nobody() -> None:
    finding = found("GH906", measurement(**anatomy(straight_through=("first", "second"))))
    assert evidence(finding) == {"quantizing_nodes": (2, 0, None)}
    assert finding.affects == ()
