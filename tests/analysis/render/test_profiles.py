"""What each layer gets, relative to the logits."""

import math
from dataclasses import replace

import pytest

from analysis.render._profiles import profile
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import by_hand, profiled


def test_a_layer_that_gets_a_tenth_of_the_logits_is_a_decade_down() -> None:
    report = report_of(measurement(stats=profiled(1e-4, 0.0, math.inf), flow=replace(flow(), logits_gradient_rms=0.01)))
    first, second, third = profile(report, report.variants[0])
    assert first == pytest.approx(-2.0)
    assert second == -math.inf
    assert third is not None
    assert math.isnan(third)


def test_a_layer_that_a_treatment_added_has_no_place_and_moves_no_other() -> None:
    report = by_hand()
    treated = next(each for each in report.variants if each.id == "relu+batch_norm+he")
    assert treated.added_layers == ("layer-09",)
    assert profile(report, treated) == pytest.approx([-1.0, math.log10(2.5), 0.0])
