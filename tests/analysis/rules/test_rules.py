"""Each rule with a handful of numbers: one case that must fire, its near misses, its severity and confidence."""

import math
from dataclasses import replace

import pytest

from analysis.facts import Confidence, Measurement, NonFinite, ProbeKind, Range
from analysis.report import Finding, Severity
from analysis.rules import RULES, diagnose
from analysis.rules._base import HEADINGS
from tests.analysis.rules.builders import (
    FAILS,
    LEARNS,
    flow,
    measurement,
    probe,
    run,
    stats,
    with_activation,
)

LOW_LEVERAGE = Range(least=-3.0, largest=1.0)
HIGH_LEVERAGE = Range(least=0.0, largest=4.5)


def fired(rule: str, patient: Measurement) -> Finding | None:
    return next((finding for finding in diagnose(patient) if finding.rule == rule), None)


def severity(rule: str, patient: Measurement) -> Severity | None:
    finding = fired(rule, patient)
    return None if finding is None else finding.severity


def test_a_healthy_measurement_has_no_finding() -> None:
    assert diagnose(measurement()) == ()
    assert diagnose(measurement(probe=LEARNS)) == ()


@pytest.mark.parametrize(
    ("rms", "norm", "leverage", "expected"),
    [
        (-4.0, -3.0, LOW_LEVERAGE, Severity.ERROR),
        (-4.0, -3.0, Range(least=0.0, largest=1.0), Severity.WARNING),
        (-4.0, -2.7, Range(least=0.0, largest=1.0), None),  # the larger of both decides
        (-1.0, -1.0, LOW_LEVERAGE, Severity.WARNING),
        (-math.inf, -math.inf, Range(least=-math.inf, largest=-math.inf), Severity.ERROR),
    ],
)
def test_vanishing_needs_two_witnesses_for_an_error(
    rms: float, norm: float, leverage: Range, expected: Severity | None
) -> None:
    assert severity("GH101", measurement(flow=flow(rms, norm, leverage_log10=leverage))) is expected


def test_vanishing_is_a_warning_where_the_network_learns() -> None:
    sick = flow(-4.0, leverage_log10=LOW_LEVERAGE)
    assert severity("GH101", measurement(flow=sick, probe=LEARNS)) is Severity.WARNING
    assert severity("GH101", measurement(flow=sick, probe=FAILS)) is Severity.ERROR


def test_vanishing_names_its_layers_its_margin_and_whom_it_affects() -> None:
    finding = fired(
        "GH101",
        measurement(
            flow=flow(-6.0, leverage_log10=LOW_LEVERAGE),
            stats=(stats(1, leverage_log10=-3.0), stats(2, leverage_log10=-1.5), stats(3)),
        ),
    )
    assert finding is not None
    assert finding.layers == ("layer-01", "layer-02")
    assert finding.evidence["flow_decades"].margin_decades == pytest.approx(3.2)
    assert finding.affects == ("sgd", "adam")


def test_a_zero_initialised_layer_on_the_trunk_is_not_vanishing() -> None:
    weight = stats(3).weight
    assert weight is not None
    zero = stats(3, weight=type(weight)(norm=0.0, rms=0.0))
    blocked = flow(-math.inf, leverage_log10=Range(least=-math.inf, largest=-math.inf))
    assert fired("GH101", measurement(flow=blocked, stats=(stats(1), stats(2), zero))) is None


@pytest.mark.parametrize(
    ("rms", "norm", "changes", "expected"),
    [
        (3.0, 2.0, {"leverage_log10": HIGH_LEVERAGE}, Severity.ERROR),
        (3.0, 2.0, {"nonlinearity_coefficient": 40.0}, Severity.ERROR),
        (3.0, 2.0, {}, Severity.WARNING),
        (3.0, 1.7, {"leverage_log10": HIGH_LEVERAGE}, None),  # the smaller of both decides
        (3.0, 2.0, {"leverage_log10": HIGH_LEVERAGE, "input_rms": 255.0}, Severity.WARNING),
        (0.0, 0.0, {"leverage_log10": HIGH_LEVERAGE}, None),
    ],
)
def test_exploding_needs_flow_and_a_second_witness(
    rms: float, norm: float, changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH102", measurement(flow=flow(rms, norm, **changes))) is expected


def test_normalised_networks_may_be_more_nonlinear() -> None:
    curved = flow(3.0, nonlinearity_coefficient=40.0)
    assert severity("GH102", measurement(flow=curved, normalized=True)) is Severity.WARNING


@pytest.mark.parametrize(
    ("runs", "expected", "affects"),
    [
        ([run("sgd", 1.0), run("adam", 1.0)], Severity.ERROR, ("sgd", "adam")),
        ([run("sgd", 1.0), run("adam", 0.5)], Severity.WARNING, ("sgd",)),
        ([run("sgd", 0.5), run("adam", 1.0)], None, ()),
        ([run("sgd", 0.5, 0), run("sgd", 1.0, 1)], Severity.ERROR, ("sgd", "adam")),  # the worst seed counts
    ],
)
def test_a_network_that_does_not_learn(runs: list[object], expected: Severity | None, affects: tuple[str, ...]) -> None:
    finding = fired("GH105", measurement(probe=probe(*runs)))  # type: ignore[arg-type]
    assert (None if finding is None else finding.severity) is expected
    assert finding is None or finding.affects == affects


def test_memorising_says_less_about_recurrent_networks() -> None:
    hasty = probe(run("sgd", 1.0), kind=ProbeKind.MEMORIZING)
    plain, recurrent = (
        fired("GH105", measurement(probe=hasty)),
        fired("GH105", measurement(probe=hasty, recurrent=True)),
    )
    assert plain is not None
    assert plain.confidence is Confidence.HIGH
    assert recurrent is not None
    assert recurrent.confidence is Confidence.MEDIUM


def test_non_finite_values_are_an_error() -> None:
    where = NonFinite(stage="forward", node="log", value="l")
    finding = fired(
        "GH106", measurement(non_finite=where, stats=(stats(1), with_activation(2, non_finite=3), stats(3)))
    )
    assert finding is not None
    assert finding.severity is Severity.ERROR
    assert finding.layers == ("layer-02",)


@pytest.mark.parametrize(
    ("dead", "probed", "expected"),
    [
        (0.6, FAILS, Severity.ERROR),
        (0.6, LEARNS, Severity.WARNING),
        (0.6, None, Severity.WARNING),
        (1.0, None, Severity.ERROR),
        (0.3, FAILS, Severity.WARNING),
        (0.15, FAILS, None),
    ],
)
def test_dead_units_need_a_second_witness_for_an_error(dead: float, probed: object, expected: Severity | None) -> None:
    patient = measurement(stats=(stats(1), with_activation(2, dead_fraction=dead), stats(3)), probe=probed)
    assert severity("GH201", patient) is expected


def test_dead_units_want_enough_observations_and_samples_that_differ() -> None:
    few = (stats(1), with_activation(2, dead_fraction=1.0, observations=31), stats(3))
    assert fired("GH201", measurement(stats=few)) is None
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
    ("saturated", "rms", "probed", "expected"),
    [
        (0.9, 0.0, FAILS, Severity.ERROR),
        (0.9, 0.0, LEARNS, Severity.WARNING),
        (0.9, 0.0, None, Severity.WARNING),
        (0.9, -2.5, None, Severity.ERROR),
        (0.4, 0.0, FAILS, Severity.WARNING),
        (0.2, 0.0, FAILS, None),
    ],
)
def test_saturated_units_need_a_second_witness_for_an_error(
    saturated: float, rms: float, probed: object, expected: Severity | None
) -> None:
    sick = (stats(1), with_activation(2, saturated_fraction=saturated), stats(3))
    assert severity("GH202", measurement(stats=sick, flow=flow(rms), probe=probed)) is expected


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
    dead = (stats(1), SILENT, with_activation(3, dead_fraction=1.0))
    assert fired("GH601", measurement(stats=dead)) is None
    converged = replace(SILENT, leverage_log10=0.3)
    assert fired("GH601", measurement(stats=(stats(1), converged, stats(3)))) is None


def test_confidence_never_exceeds_the_cap() -> None:
    patient = measurement(flow=flow(-6.0, leverage_log10=LOW_LEVERAGE), confidence_cap=Confidence.MEDIUM)
    assert {finding.confidence for finding in diagnose(patient)} == {Confidence.MEDIUM}


def test_causes_come_before_consequences_and_the_worst_finding_first() -> None:
    patient = measurement(
        flow=flow(-6.0, leverage_log10=LOW_LEVERAGE),
        stats=(stats(1), with_activation(2, dead_fraction=1.0), stats(3)),
        probe=FAILS,
    )
    found = {finding.rule: finding for finding in diagnose(patient)}
    assert found["GH201"].caused_by == ()
    assert found["GH101"].caused_by == ("GH201",)
    assert found["GH105"].caused_by == ("GH101", "GH201")


def test_a_warning_does_not_cause_an_error() -> None:
    patient = measurement(
        flow=flow(-6.0, leverage_log10=LOW_LEVERAGE), stats=(stats(1), with_activation(2, dead_fraction=0.3), stats(3))
    )
    found = {finding.rule: finding for finding in diagnose(patient)}
    assert found["GH201"].severity is Severity.WARNING
    assert found["GH101"].caused_by == ()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_has_a_page_with_all_headings_in_order(rule: object) -> None:
    page = rule.page  # type: ignore[attr-defined]
    assert page.startswith(f"# {rule.id} {rule.name}\n")  # type: ignore[attr-defined]
    places = [page.index(f"## {heading}\n") for heading in HEADINGS]
    assert places == sorted(places)
    sections = page.split("## ")[1:]
    assert [section.splitlines()[0] for section in sections] == list(HEADINGS)
    assert all(len(section.split("\n", 1)[1].strip()) > 20 for section in sections)


def test_messages_are_constant_and_say_one_sentence() -> None:
    for rule in RULES:
        assert rule.message.endswith(".")
        assert not any(character.isdigit() for character in rule.message)
