from dataclasses import replace

import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import ENDING, anatomy, evidence, found, severity

WARNING, INFO = Severity.WARNING, Severity.INFO
FLAT = {"flow": flow(logit_std_log10=-3.0)}
ALIKE = replace(measurement().batch, constant_inputs=True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(logit_std_log10=-3.0)}, WARNING),
        ({"flow": flow(logit_std_log10=-3.0), **anatomy(zero_head="layer-03")}, None),
        ({**FLAT, "probe": LEARNS}, INFO),
        ({**FLAT, "batch": ALIKE}, None),
        ({"flow": flow(logit_std_log10=-2.5)}, None),
        ({"flow": flow(logit_std_log10=-2.0)}, None),
    ],
)
def test_logits_that_hardly_differ_are_a_warning_but_for_a_head_that_starts_at_zero(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH206", measurement(**changes)) is expected


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("cross_entropy", WARNING), ("nll", WARNING), ("bce", WARNING), ("mse", None), ("graph", None)],
)
def test_the_scale_of_logits_means_something_to_losses_of_classes_only(loss: str, expected: Severity | None) -> None:
    assert severity("GH206", measurement(**FLAT, loss=replace(ENDING, name=loss))) is expected


def test_the_deviation_stands_beside_its_limit_and_the_last_layer_of_the_trunk_is_named() -> None:
    finding = found("GH206", measurement(**FLAT))
    assert evidence(finding) == {"logit_std_log10": (-3, -2.5, 0.5)}
    assert finding.layers == ("layer-03",)
