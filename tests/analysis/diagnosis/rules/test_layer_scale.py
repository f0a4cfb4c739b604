import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import anatomy, evidence, found, owning, severity

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


def test_the_smallest_factor_is_shown_and_the_layers_that_own_a_small_one_are_named() -> None:
    factors = anatomy(layer_scales={"gamma": 0.01, "beta": 1e-6, "wide": 0.5})
    finding = found("GH903", measurement(**factors, **owning(2, scale="gamma")))
    assert evidence(finding) == {"smallest_scale": (1e-6, 0.1, None)}
    assert finding.layers == ("layer-02",)
    assert finding.affects == ()
    assert found("GH903", measurement(**factors, **owning(2, scale="wide"))).layers == ()
