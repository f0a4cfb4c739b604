from dataclasses import replace

import pytest

from analysis.facts import Flow, Range
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, probe, run, stats, with_activation
from tests.analysis.diagnosis.rules.patients import LOW_LEVERAGE, Numbers, evidence, found, severity

ADAM = probe(run("sgd", 1.0), run("adam", 0.3))


@pytest.mark.parametrize(
    ("saturated", "flows", "probed", "expected"),
    [
        (0.9, flow(0.0), FAILS, Severity.ERROR),
        (0.9, flow(0.0), LEARNS, Severity.INFO),  # they learn to leave their flat parts
        (0.9, flow(0.0), ADAM, Severity.WARNING),
        (0.9, flow(0.0), None, Severity.WARNING),
        (0.9, flow(-5.0, leverage_log10=LOW_LEVERAGE), None, Severity.ERROR),
        (0.9, flow(-5.0, -2.5, leverage_log10=LOW_LEVERAGE), None, Severity.WARNING),  # the larger of both decides
        (0.9, flow(-3.0, leverage_log10=Range(least=-1.5, largest=1.0)), None, Severity.WARNING),  # borderline
        (0.9, flow(-5.0, leverage_log10=LOW_LEVERAGE, input_rms=255.0), None, Severity.WARNING),
        (0.9, flow(-5.0, leverage_log10=LOW_LEVERAGE, input_rms=255.0), FAILS, Severity.ERROR),
        (0.9, flow(-4.0), None, Severity.WARNING),  # an input of 0 to 255 in front of a tanh costs no leverage
        (0.4, flow(0.0), FAILS, Severity.WARNING),
        (0.9, flow(-5.0, leverage_log10=None), None, Severity.WARNING),
        (0.9, flow(-5.0, decades_norm=None, leverage_log10=LOW_LEVERAGE), None, Severity.WARNING),
        (0.9, flow(-5.0, leverage_log10=LOW_LEVERAGE, decades_rms=None), None, Severity.WARNING),
        (0.9, flow(-2.8, leverage_log10=LOW_LEVERAGE), None, Severity.WARNING),  # flow at its limit
        (0.9, flow(-2.9, leverage_log10=LOW_LEVERAGE), None, Severity.ERROR),
        (0.9, flow(-5.0, leverage_log10=Range(least=-1.0, largest=1.0)), None, Severity.WARNING),
        (0.9, flow(-5.0, leverage_log10=Range(least=-1.1, largest=1.0)), None, Severity.ERROR),
        (0.4, flow(0.0), LEARNS, Severity.INFO),
        (0.5, flow(0.0), FAILS, Severity.WARNING),  # most are saturated from more than a half on
        (0.51, flow(0.0), FAILS, Severity.ERROR),
        (0.3, flow(0.0), FAILS, None),
        (0.2, flow(0.0), FAILS, None),
    ],
)
def test_saturated_units_need_a_second_witness_for_an_error(
    saturated: float, flows: Flow, probed: object, expected: Severity | None
) -> None:
    sick = (stats(1), with_activation(2, saturated_fraction=saturated), stats(3))
    assert severity("GH202", measurement(stats=sick, flow=flows, probe=probed)) is expected


@pytest.mark.parametrize(
    ("saturated", "probed", "shown"),
    [
        (0.5, FAILS, {"saturated_fraction": (0.5, 0.3, 0.22184875)}),  # log10(5 / 3)
        (0.6, None, {"saturated_fraction": (0.6, 0.3, 0.301029996)}),  # log10(2)
        (1.0, FAILS, {"saturated_fraction": (1, 0.5, 0.301029996)}),
    ],
)
def test_the_limit_beside_the_worst_share_is_the_one_that_made_the_severity(
    saturated: float, probed: object, shown: Numbers
) -> None:
    sick = (with_activation(1, saturated_fraction=0.4), stats(2), with_activation(3, saturated_fraction=saturated))
    finding = found("GH202", measurement(stats=sick, probe=probed))
    assert evidence(finding) == shown
    assert finding.layers == ("layer-01", "layer-03")


def test_layers_that_cannot_saturate_are_left_out_and_equal_samples_say_nothing() -> None:
    sick = (stats(1, activation=None), with_activation(2, saturated_fraction=None),
            with_activation(3, saturated_fraction=0.6))  # fmt: skip
    assert found("GH202", measurement(stats=sick)).layers == ("layer-03",)
    alike = replace(measurement().batch, constant_inputs=True)
    assert severity("GH202", measurement(stats=sick, batch=alike)) is None


def test_a_limit_under_nothing_shows_that_nothing_is_saturated() -> None:
    none = tuple(with_activation(place, saturated_fraction=0.0) for place in (1, 2, 3))
    finding = found("GH202", measurement(stats=none), saturated_fraction=-1.0)
    assert evidence(finding) == {"saturated_fraction": (0, -1, None)}
