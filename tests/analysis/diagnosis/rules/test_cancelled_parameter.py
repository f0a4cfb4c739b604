import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import anatomy, evidence, found, owning, severity

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


def test_the_remark_counts_them_and_names_the_layers_that_own_one() -> None:
    cancelled = {"b2": "BatchNormalization", "b9": "Softmax"}
    finding = found("GH904", measurement(**anatomy(cancelled=cancelled), **owning(2, bias="b2")))
    assert evidence(finding) == {"cancelled_parameters": (2, 0, None)}
    assert finding.layers == ("layer-02",)
    assert finding.affects == ()
