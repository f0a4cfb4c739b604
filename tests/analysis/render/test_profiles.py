"""What each layer gets, relative to the logits."""

import math
from dataclasses import replace

import pytest

from analysis.facts import ActivationGradient
from analysis.render._profiles import profile
from tests.analysis.diagnosis.builders import flow, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import by_hand, profiled


def test_a_layer_that_gets_a_tenth_of_the_logits_is_a_decade_down() -> None:
    report = report_of(measurement(stats=profiled(1e-4, 0.0, math.inf), flow=replace(flow(), logits_gradient_rms=0.01)))
    first, second, third = profile(report, report.variants[0]).rms
    assert first == pytest.approx(-2.0)
    assert second == -math.inf
    assert third is not None
    assert math.isnan(third)


def test_a_layer_that_a_treatment_added_has_no_place_and_moves_no_other() -> None:
    report = by_hand()
    treated = next(each for each in report.variants if each.id == "relu+batch_norm+he")
    assert treated.added_layers == ("layer-09",)
    assert profile(report, treated).rms == pytest.approx([-1.0, math.log10(2.5), 0.0])


def test_by_norm_the_curve_ends_where_it_ends_by_rms() -> None:
    """dL/dz of norm 1, 1 and 1: by norm nothing is lost; the last layer is at a tenth of the logits by both."""
    stats = tuple(
        replace(each, activation_gradient=ActivationGradient(rms=rms, norm=1.0))
        for each, rms in zip(profiled(1.0, 1.0, 1.0), (1e-4, 1e-3, 0.1), strict=True)
    )
    report = report_of(measurement(stats=stats, flow=replace(flow(), logits_gradient_rms=1.0)))
    measured = profile(report, report.variants[0])
    assert measured.rms == pytest.approx((-4.0, -3.0, -1.0))
    assert measured.norm == pytest.approx((-1.0, -1.0, -1.0))
    assert measured.judged == pytest.approx((-1.0, -1.0, -1.0))


def test_a_block_that_ends_with_an_added_layer_ends_behind_the_layer_before_it() -> None:
    report = by_hand()
    treated = next(each for each in report.variants if each.id == "relu+batch_norm+he")
    layers = tuple(
        replace(each, block_gradient=ActivationGradient(rms=0.02, norm=0.1)) if each.id == "layer-09" else each
        for each in treated.layers or ()
    )
    found = profile(report, treated.model_copy(update={"layers": layers}))
    assert found.blocks == {0: pytest.approx(-1.0)}
    assert found.block_norms == {0: pytest.approx(math.log10(0.1 / 1.6))}


@pytest.mark.parametrize("logits", [math.inf, math.nan, 0.0, None])
def test_without_a_gradient_at_the_logits_the_last_layer_that_gets_one_is_the_measure(logits: float | None) -> None:
    stats = profiled(1e-3, 1e-2, 1e-1)
    report = report_of(measurement(stats=stats, flow=replace(flow(), logits_gradient_rms=logits)))
    assert profile(report, report.variants[0]).rms == pytest.approx((-2.0, -1.0, 0.0))
