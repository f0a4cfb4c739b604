import math
from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.root import cause_of
from analysis.facts import GradientStats, LayerStats
from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement, stats
from tests.analysis.diagnosis.rules.patients import HIGH_LEVERAGE, changed, evidence, fired, found, severity

SILENT = stats(2, weight_gradient=None, leverage_log10=None)


def test_a_weight_without_gradient_is_an_error_on_the_trunk_and_a_warning_in_a_branch() -> None:
    patient = measurement(stats=(stats(1), SILENT, stats(3)))
    assert severity("GH601", patient) is Severity.ERROR
    first, second, third = patient.layers
    branch = replace(patient, layers=(first, replace(second, on_trunk=False), third))
    assert severity("GH601", branch) is Severity.WARNING


def test_a_weight_with_a_reason_to_get_no_gradient_is_not_counted() -> None:
    unused = replace(SILENT, leads_to_loss=False)
    assert fired("GH601", measurement(stats=(stats(1), unused, stats(3)))) is None
    blocked = replace(SILENT, blocked_by="layer-03")
    assert fired("GH601", measurement(stats=(stats(1), blocked, stats(3)))) is None
    converged = replace(SILENT, leverage_log10=0.3)
    assert fired("GH601", measurement(stats=(stats(1), converged, stats(3)))) is None


ZEROS = GradientStats(norm=0.0, rms=0.0, max_abs=0.0, zero_fraction=1.0, non_finite=0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"weight_gradient": None, "leverage_log10": -math.inf}, Severity.ERROR),
        ({"weight_gradient": ZEROS, "leverage_log10": -math.inf}, Severity.ERROR),
        ({"weight_gradient": ZEROS, "leverage_log10": None}, Severity.ERROR),
        ({"weight_gradient": ZEROS, "leverage_log10": -300.0}, None),
        ({"weight_gradient": replace(ZEROS, max_abs=1e-40), "leverage_log10": -math.inf}, None),
        ({"weight_gradient": replace(ZEROS, max_abs=1.0), "leverage_log10": None}, None),
        ({"weight_gradient": None, "leverage_log10": None, "weight": None}, None),  # nothing to train
    ],
)
def test_only_exact_zeros_in_every_pass_are_no_gradient(changes: dict[str, object], expected: Severity | None) -> None:
    assert severity("GH601", measurement(stats=(stats(1), stats(2, **changes), stats(3)))) is expected


@pytest.mark.parametrize(
    ("silent", "on_trunk", "expected"),
    [(SILENT, True, Severity.ERROR), (stats(2), False, Severity.WARNING)],
)
def test_silent_weights_are_counted_and_named(silent: LayerStats, on_trunk: bool, expected: Severity) -> None:
    """The third is a branch; whether the second is silent, too, decides how bad it is."""
    branch = stats(3, weight_gradient=ZEROS, leverage_log10=None)
    finding = found("GH601", measurement(stats=(stats(1), silent, branch), **changed(3, on_trunk=False)))
    assert finding.severity is expected
    assert evidence(finding) == {"weights_without_gradient": (1 + on_trunk, 0, None)}
    assert finding.layers == (("layer-02", "layer-03") if on_trunk else ("layer-03",))


def test_a_network_that_learns_all_the_same_is_warned() -> None:
    assert severity("GH601", measurement(stats=(stats(1), SILENT, stats(3)), probe=LEARNS)) is Severity.WARNING


@pytest.mark.parametrize(("has_slope", "root"), [(True, "GH305"), (False, "GH601")])
def test_zeros_of_the_numbers_are_explained_by_the_inputs_and_those_of_the_graph_are_not(
    has_slope: bool, root: str
) -> None:
    silent = stats(1, weight_gradient=ZEROS, leverage_log10=-math.inf, has_slope=has_slope)
    patient = measurement(stats=(silent, stats(2), stats(3)), flow=replace(measurement().flow, input_rms=40_000.0))
    named = {finding.rule: finding.caused_by for finding in diagnose(patient)}
    assert named[root] == ()
    assert root in named[{"GH305": "GH601", "GH601": "GH305"}[root]]


@pytest.mark.parametrize(
    ("decades", "has_slope", "root"), [(4.0, True, "GH102"), (4.0, False, "GH601"), (1.0, True, "GH601")]
)
def test_zeros_of_units_that_an_exploding_signal_saturates_are_explained_by_it(
    decades: float, has_slope: bool, root: str
) -> None:
    silent = stats(1, weight_gradient=ZEROS, leverage_log10=-math.inf, has_slope=has_slope)
    patient = measurement(stats=(silent, stats(2), stats(3)), flow=flow(decades, leverage_log10=HIGH_LEVERAGE))
    cause = cause_of(diagnose(patient))
    assert cause is not None
    assert cause.rule == root
