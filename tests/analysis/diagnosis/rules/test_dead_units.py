from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.facts import Confidence
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, probe, run, stats, with_activation
from tests.analysis.diagnosis.rules.patients import LOW_LEVERAGE, Numbers, changed, evidence, fired, found, severity

ADAM = probe(run("sgd", 1.0), run("adam", 0.3))


@pytest.mark.parametrize(
    ("dead", "probed", "expected"),
    [
        (0.6, FAILS, Severity.ERROR),
        (0.6, LEARNS, Severity.INFO),
        (0.6, None, Severity.WARNING),
        (1.0, None, Severity.ERROR),
        (0.3, FAILS, Severity.WARNING),
        (0.3, None, Severity.INFO),  # nothing was trained
        (0.38, None, Severity.INFO),
        (0.39, None, Severity.WARNING),
        (0.3, LEARNS, Severity.INFO),
        (0.5, FAILS, Severity.WARNING),  # most are dead from more than a half on
        (0.51, FAILS, Severity.ERROR),
        (0.95, LEARNS, Severity.INFO),  # the living ones do
        (0.95, ADAM, Severity.WARNING),
        (0.99, None, Severity.WARNING),
        (0.995, None, Severity.ERROR),  # as good as all of a layer
        (0.2, FAILS, None),
        (0.15, FAILS, None),
    ],
)
def test_dead_units_need_a_second_witness_for_an_error(dead: float, probed: object, expected: Severity | None) -> None:
    patient = measurement(stats=(stats(1), with_activation(2, dead_fraction=dead), stats(3)), probe=probed)
    assert severity("GH201", patient) is expected


def test_units_that_nothing_reaches_are_not_dead_of_themselves() -> None:
    constant = (stats(1), with_activation(2, dead_fraction=1.0, std=0.0), stats(3))
    assert severity("GH201", measurement(stats=constant, probe=FAILS)) is None


def test_a_dead_branch_is_a_warning_until_a_probe_does_not_learn() -> None:
    sick = (stats(1), with_activation(2, dead_fraction=1.0), stats(3))
    first, second, *others = measurement().layers
    layers = (first, replace(second, on_trunk=False), *others)
    assert severity("GH201", measurement(stats=sick, layers=layers)) is Severity.WARNING
    assert severity("GH201", measurement(stats=sick, layers=layers, probe=FAILS)) is Severity.ERROR


@pytest.mark.parametrize(("dead", "root"), [(0.75, "GH101"), (0.76, "GH201")])
def test_half_of_the_units_are_silent_where_depth_made_samples_alike_and_explain_no_vanishing(
    dead: float, root: str
) -> None:
    sick = (stats(1), with_activation(2, dead_fraction=dead), stats(3))
    patient = measurement(flow=flow(-6.0, leverage_log10=LOW_LEVERAGE), stats=sick, probe=FAILS)
    told = {each.rule: each.caused_by for each in diagnose(patient)}
    assert (told["GH201"], told["GH101"]) == (((), (root,)) if root == "GH201" else ((root,), ()))


def test_few_observations_make_dead_units_less_sure_and_equal_samples_say_nothing() -> None:
    some = (stats(1), with_activation(2, dead_fraction=1.0, observations=50), stats(3))
    finding = fired("GH201", measurement(stats=some))
    assert finding is not None
    assert finding.confidence is Confidence.MEDIUM
    constant = measurement().batch
    same = measurement(
        stats=some, batch=type(constant)(sha256="", size=50, provenance=constant.provenance, constant_inputs=True)
    )
    assert fired("GH201", same) is None


@pytest.mark.parametrize(
    ("dead", "probed", "shown"),
    [
        (0.4, FAILS, {"dead_fraction": (0.4, 0.2, 0.301029996)}),  # log10(2)
        (0.6, None, {"dead_fraction": (0.6, 0.2, 0.477121255)}),  # log10(3)
        (1.0, FAILS, {"dead_fraction": (1.0, 0.5, 0.301029996)}),
    ],
)
def test_the_limit_beside_the_worst_share_is_the_one_that_made_the_severity(
    dead: float, probed: object, shown: Numbers
) -> None:
    sick = (with_activation(1, dead_fraction=0.3), stats(2), with_activation(3, dead_fraction=dead))
    finding = found("GH201", measurement(stats=sick, probe=probed))
    assert evidence(finding) == shown
    assert finding.layers == ("layer-01", "layer-03")


@pytest.mark.parametrize(("seen", "expected"), [(99, Confidence.MEDIUM), (100, Confidence.HIGH)])
def test_the_layer_with_fewest_observations_among_the_dead_ones_decides_how_sure_it_is(
    seen: int, expected: Confidence
) -> None:
    unseen = with_activation(1, dead_fraction=0.1, observations=1)
    dead = [with_activation(2, dead_fraction=0.6, observations=seen), with_activation(3, dead_fraction=0.7)]
    assert found("GH201", measurement(stats=(unseen, *dead))).confidence is expected


def test_layers_whose_units_nobody_judged_are_left_out() -> None:
    sick = (stats(1, activation=None), with_activation(2, dead_fraction=None), with_activation(3, dead_fraction=0.6))
    finding = found("GH201", measurement(stats=sick, **changed(3, on_trunk=False)))
    assert finding.layers == ("layer-03",)
    assert finding.severity is Severity.WARNING


def test_a_limit_under_nothing_shows_that_nothing_is_dead() -> None:
    none = tuple(with_activation(place, dead_fraction=0.0) for place in (1, 2, 3))
    finding = found("GH201", measurement(stats=none), dead_fraction=-1.0)
    assert evidence(finding) == {"dead_fraction": (0, -1, None)}
