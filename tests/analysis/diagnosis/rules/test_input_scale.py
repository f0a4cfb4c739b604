from dataclasses import replace

import pytest

from analysis.facts import Provenance
from analysis.report import Severity
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.rules.patients import severity

WARNING = Severity.WARNING


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flow": flow(input_rms=148.0)}, WARNING),
        ({"flow": flow(input_rms=0.001)}, WARNING),
        ({"flow": flow(input_mean_over_std=4.0)}, WARNING),
        ({"flow": flow(input_rms=148.0), "normalized": True}, None),
    ],
)
def test_inputs_off_the_unit_scale_are_a_warning_where_nothing_normalises_them(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH305", measurement(**changes)) is expected


def test_the_scale_of_inputs_that_were_made_up_is_a_remark() -> None:
    invented = replace(measurement().batch, provenance=Provenance.SYNTHETIC)
    assert severity("GH305", measurement(flow=flow(input_rms=148.0), batch=invented)) is Severity.INFO
