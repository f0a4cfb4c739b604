"""Each rule with a handful of numbers: one case that must fire, its near misses, its severity and confidence."""

import math
from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.contract import HEADINGS
from analysis.diagnosis.policy import policy
from analysis.diagnosis.rules import RULES
from analysis.errors import BadOptions
from analysis.facts import (
    Anatomy,
    AttentionStats,
    Confidence,
    Flow,
    LossFacts,
    Measurement,
    NonFinite,
    Outcome,
    Parity,
    ParityStatus,
    ProbeKind,
    Provenance,
    Range,
    SampleGradients,
    TimeProfile,
    WeightStats,
)
from analysis.options import AnalysisOptions
from analysis.report import Finding, Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, probe, run, stats, with_activation

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
        (-5.0, -4.5, Range(least=-1.5, largest=1.0), Severity.ERROR),
        (-4.0, -3.0, Range(least=-2.0, largest=1.0), Severity.WARNING),  # neither is far beyond its threshold
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


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, Severity.WARNING), ({"normalized": True}, Severity.ERROR), ({"probe": FAILS}, Severity.ERROR)],
)
def test_large_inputs_leave_a_doubt_where_nothing_normalises_them(
    changes: dict[str, object], expected: Severity
) -> None:
    sick = flow(-8.0, leverage_log10=LOW_LEVERAGE, input_rms=148.0)
    assert severity("GH101", measurement(flow=sick, **changes)) is expected


@pytest.mark.parametrize(("transport", "expected"), [(-4.0, Severity.ERROR), (-0.5, Severity.WARNING)])
def test_what_only_the_loss_loses_did_not_vanish_through_depth(transport: float, expected: Severity) -> None:
    """A head of equal rows cancels the gradient of a softmax, which sums to zero; a random cotangent comes through."""
    sick = flow(-8.0, leverage_log10=LOW_LEVERAGE, transport_decades=transport)
    assert severity("GH101", measurement(flow=sick)) is expected


def test_a_probe_ends_the_doubt_that_borderline_witnesses_leave() -> None:
    borderline = flow(-3.5, leverage_log10=Range(least=-1.5, largest=1.0))
    assert severity("GH101", measurement(flow=borderline)) is Severity.WARNING
    assert severity("GH101", measurement(flow=borderline, probe=replace(FAILS, unfinished=True))) is Severity.WARNING
    assert severity("GH101", measurement(flow=borderline, probe=FAILS)) is Severity.ERROR
    assert severity("GH101", measurement(flow=borderline, probe=LEARNS)) is Severity.WARNING


@pytest.mark.parametrize(("probed", "expected"), [(None, Severity.WARNING), (FAILS, Severity.ERROR)])
def test_what_only_branches_with_a_small_factor_reach_waits_for_a_probe(probed: object, expected: Severity) -> None:
    """CaiT's patches, behind a class token that reads them through factors of 1e-5."""
    waiting = flow(-7.0, leverage_log10=Range(least=-4.0, largest=1.0))
    scaled = Anatomy(layer_scales={"gamma": 1e-5})
    assert severity("GH101", measurement(flow=waiting, anatomy=scaled, probe=probed)) is expected


VANISHING = {"flow": flow(-7.0, leverage_log10=Range(least=-4.0, largest=1.0))}
EXPLODING = {"flow": flow(9.0, leverage_log10=Range(least=0.0, largest=9.0), nonlinearity_coefficient=1e6)}


@pytest.mark.parametrize(
    ("rule", "changes"),
    [("GH101", VANISHING), ("GH102", EXPLODING), ("GH103", EXPLODING), ("GH105", {})],
)
def test_nothing_is_an_error_where_batch_normalisation_normalises_nothing(
    rule: str, changes: dict[str, object]
) -> None:
    """With running statistics of 0 and 1 a ResNet explodes and LeViT vanishes; nobody trains them like that."""
    for probed in (None, FAILS) if changes else (FAILS,):
        assert severity(rule, measurement(**changes, probe=probed)) is Severity.ERROR
        assert severity(rule, measurement(**changes, probe=probed, idle_normalization=True)) is Severity.WARNING


def test_where_normalisation_was_folded_only_a_training_makes_an_error() -> None:
    folded = {"anatomy": Anatomy(folded_share=0.6), "convolutional": True, "probe": FAILS}
    assert severity("GH101", measurement(**VANISHING, **folded)) is Severity.WARNING
    assert severity("GH102", measurement(**EXPLODING, **folded)) is Severity.WARNING
    assert severity("GH101", measurement(**VANISHING, **folded, normalized=True)) is Severity.ERROR
    assert severity("GH105", measurement(**VANISHING, **folded)) is Severity.ERROR


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
        (4.0, 3.5, {"nonlinearity_coefficient": 40.0}, Severity.ERROR),
        (3.0, 2.0, {"nonlinearity_coefficient": 40.0}, Severity.WARNING),  # neither is far beyond its threshold
        (3.0, 2.0, {}, Severity.WARNING),
        (3.0, 1.7, {"leverage_log10": Range(least=0.0, largest=3.5)}, None),  # the smaller of both decides
        (3.0, 1.7, {"leverage_log10": HIGH_LEVERAGE}, Severity.WARNING),  # unless the reach is very long
        (3.0, 2.0, {"leverage_log10": HIGH_LEVERAGE, "input_rms": 255.0}, Severity.WARNING),
        (0.0, 0.0, {"leverage_log10": HIGH_LEVERAGE}, None),
    ],
)
def test_exploding_needs_flow_and_a_second_witness(
    rms: float, norm: float, changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH102", measurement(flow=flow(rms, norm, **changes))) is expected


@pytest.mark.parametrize(
    ("largest", "changes", "expected"),
    [
        (4.2, {}, Severity.WARNING),
        (4.2, {"probe": LEARNS}, Severity.INFO),
        (3.8, {}, None),
        (4.2, {"normalized": True}, None),  # the scale of its inputs does not matter to it
    ],
)
def test_a_very_long_reach_is_a_warning_behind_a_pooling_that_hides_the_flow_from_the_rms(
    largest: float, changes: dict[str, object], expected: Severity | None
) -> None:
    pooled = flow(1.2, 2.4, leverage_log10=Range(least=0.0, largest=largest))
    assert severity("GH102", measurement(flow=pooled, **changes)) is expected


def test_steps_in_branches_behind_a_layer_scale_are_not_too_small() -> None:
    small = ratios(1e-1, 1e-7, 1e-7)
    assert severity("GH304", measurement(**small)) is Severity.WARNING
    first, *branches = measurement().layers
    layers = (first, *(replace(each, on_trunk=False) for each in branches))
    assert severity("GH304", measurement(**small, layers=layers)) is None


@pytest.mark.parametrize(("normalized", "expected"), [(False, Severity.ERROR), (True, Severity.WARNING)])
def test_a_small_input_lends_no_reach_behind_a_normalisation(*, normalized: bool, expected: Severity) -> None:
    small = flow(3.0, leverage_log10=Range(least=0.0, largest=2.0), input_rms=1e-3)
    assert severity("GH102", measurement(flow=small, normalized=normalized)) is expected


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


def test_targets_that_nobody_sent_are_no_proof_of_an_illness() -> None:
    invented = replace(measurement(probe=FAILS).loss, targets=Provenance.SYNTHETIC)
    finding = fired("GH105", measurement(probe=FAILS, loss=invented))
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.MEDIUM)
    assert finding.affects == ("sgd", "adam")


@pytest.mark.parametrize(
    ("unfinished", "held_out", "expected"),
    [(True, 64, Severity.WARNING), (False, 64, Severity.ERROR), (True, 0, Severity.ERROR)],
)
def test_a_recurrent_network_is_not_condemned_before_it_had_its_time(
    unfinished: bool, held_out: int, expected: Severity
) -> None:
    finding = fired("GH105", measurement(probe=replace(FAILS, unfinished=unfinished, held_out=held_out)))
    assert finding.severity is expected


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


def test_a_dead_branch_is_a_warning_until_a_probe_does_not_learn() -> None:
    sick = (stats(1), with_activation(2, dead_fraction=1.0), stats(3))
    first, second, *others = measurement().layers
    layers = (first, replace(second, on_trunk=False), *others)
    assert severity("GH201", measurement(stats=sick, layers=layers)) is Severity.WARNING
    assert severity("GH201", measurement(stats=sick, layers=layers, probe=FAILS)) is Severity.ERROR


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
    ("saturated", "flows", "probed", "expected"),
    [
        (0.9, flow(0.0), FAILS, Severity.ERROR),
        (0.9, flow(0.0), LEARNS, Severity.WARNING),
        (0.9, flow(0.0), None, Severity.WARNING),
        (0.9, flow(-5.0, leverage_log10=LOW_LEVERAGE), None, Severity.ERROR),
        (0.9, flow(-5.0, -2.5, leverage_log10=LOW_LEVERAGE), None, Severity.WARNING),  # the larger of both decides
        (0.9, flow(-3.0, leverage_log10=Range(least=-1.5, largest=1.0)), None, Severity.WARNING),  # borderline
        (0.9, flow(-5.0, leverage_log10=LOW_LEVERAGE, input_rms=255.0), None, Severity.WARNING),
        (0.9, flow(-5.0, leverage_log10=LOW_LEVERAGE, input_rms=255.0), FAILS, Severity.ERROR),
        (0.9, flow(-4.0), None, Severity.WARNING),  # an input of 0 to 255 in front of a tanh costs no leverage
        (0.4, flow(0.0), FAILS, Severity.WARNING),
        (0.2, flow(0.0), FAILS, None),
    ],
)
def test_saturated_units_need_a_second_witness_for_an_error(
    saturated: float, flows: Flow, probed: object, expected: Severity | None
) -> None:
    sick = (stats(1), with_activation(2, saturated_fraction=saturated), stats(3))
    assert severity("GH202", measurement(stats=sick, flow=flows, probe=probed)) is expected


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
    assert found["GH105"].caused_by == ("GH201",)  # which explains GH101, too


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


# ------------------------------------------------------------------ every other rule: fires, nearly fires

REACHING = {"leverage_log10": HIGH_LEVERAGE}
UNSTABLE = run("sgd", 9.0, outcome=Outcome.DIVERGED)
GENTLE = replace(run("sgd", 0.4), learning_rate=0.01)
PROFILE = TimeProfile(
    node="cells", direction="forward", gradient_log10=(-1.0,) * 30, growth_decades=0.0, horizon_steps=29,
    memory_decades=-0.5, informative_step=3,
)  # fmt: skip


def attention(entropy: float = 0.9, deviation: float = 1.0) -> dict[str, object]:
    return {"attention": (AttentionStats(node="softmax", entropy_share=entropy, score_std=deviation, keys=12),)}


def moved(*shares: float, end: float = 1.0) -> dict[str, object]:
    told = {f"layer-{place:02d}": share for place, share in enumerate(shares, 1)}
    return {"probe": probe(replace(run("sgd", end), moved=told))}


def weighted(**changes: object) -> dict[str, object]:
    """All three layers with these weight statistics."""
    whole = WeightStats(norm=5.0, rms=0.1, **changes)  # type: ignore[arg-type]
    return {"stats": tuple(stats(place, weight=whole) for place in (1, 2, 3))}


def ranked(collapse: float) -> dict[str, object]:
    """One direction of 64, samples this different."""
    one = with_activation(1, effective_rank=1.1, rank_limit=64, collapse_log10=collapse)
    return {"stats": (one, stats(2), stats(3))}


def ratios(*values: float) -> dict[str, object]:
    return {"stats": tuple(stats(place, update_ratio=value) for place, value in enumerate(values, 1))}


def remembering(**changes: object) -> dict[str, object]:
    return {"through_time": (replace(PROFILE, **changes),), "recurrent": True}


def anatomy(**changes: object) -> dict[str, object]:
    return {"anatomy": Anatomy(**changes)}  # type: ignore[arg-type]


WARNING, ERROR, INFO = Severity.WARNING, Severity.ERROR, Severity.INFO
ENDING = LossFacts(name="cross_entropy", chosen="", value=0.001, chance=2.3, targets=Provenance.UPLOADED)
CASES: list[tuple[str, dict[str, object], Severity | None]] = [
    ("GH103", {"flow": flow(nonlinearity_coefficient=40.0)}, WARNING),
    ("GH103", {"flow": flow(nonlinearity_coefficient=40.0), "probe": LEARNS}, INFO),
    ("GH103", {"flow": flow(nonlinearity_coefficient=40.0), "convolutional": True}, None),
    ("GH103", {"flow": flow(nonlinearity_coefficient=400.0, **REACHING)}, ERROR),
    ("GH103", {"flow": flow(nonlinearity_coefficient=400.0, **REACHING), "probe": LEARNS}, WARNING),
    ("GH103", {"flow": flow(nonlinearity_coefficient=9e4, **REACHING), "convolutional": True}, WARNING),  # ConvMixer
    ("GH103", {"flow": flow(nonlinearity_coefficient=9e4, **REACHING), "convolutional": True, "probe": FAILS}, ERROR),
    ("GH103", {"flow": flow(nonlinearity_coefficient=400.0)}, WARNING),  # no reach
    ("GH103", {"flow": flow(nonlinearity_coefficient=400.0, nonlinearity_by_seed=(900.0, 20.0), **REACHING)}, None),
    ("GH104", {"flow": flow(nonlinearity_coefficient=20.0, shatter_cosine=0.05)}, WARNING),
    ("GH104", {"flow": flow(nonlinearity_coefficient=5.0, shatter_cosine=0.05)}, None),
    ("GH104", {"flow": flow(nonlinearity_coefficient=20.0, shatter_cosine=0.3)}, None),
    ("GH107", moved(1e-5, 0.1, 0.4), WARNING),
    ("GH107", moved(1e-5, 0.1, 0.4, end=0.4), INFO),
    ("GH107", moved(1e-2, 0.1, 0.4), None),
    ("GH108", {"probe": probe(UNSTABLE, run("adam", 1.0))}, WARNING),
    ("GH108", {"probe": probe(UNSTABLE, GENTLE, run("adam", 0.4))}, INFO),
    ("GH108", {"probe": probe(run("sgd", 0.4))}, None),
    ("GH108", {"probe": probe(replace(UNSTABLE, learning_rate=0.5), GENTLE), "learning_rate": 0.5}, WARNING),
    ("GH203", {"flow": flow(collapse_decades=-6.0, blindness_log10=-3.0)}, ERROR),
    ("GH203", {"flow": flow(collapse_decades=-6.0, blindness_log10=-3.0), "probe": LEARNS}, WARNING),
    ("GH203", {"flow": flow(collapse_decades=-6.0, blindness_log10=-3.0), "batch_statistics": True}, WARNING),
    ("GH203", {"flow": flow(collapse_decades=-7.0, blindness_log10=-3.0), "batch_statistics": True}, ERROR),
    ("GH203", {"flow": flow(collapse_decades=-4.5, blindness_log10=-1.0)}, WARNING),
    ("GH203", {"flow": flow(collapse_decades=-3.0, blindness_log10=-1.5)}, None),
    ("GH204", ranked(-3.0), WARNING),
    ("GH204", ranked(-1.0), None),
    ("GH205", {"flow": flow(tokens_decades=-14.0)}, WARNING),
    ("GH205", {"flow": flow(tokens_decades=-9.0)}, None),
    ("GH206", {"flow": flow(logit_std_log10=-3.0)}, WARNING),
    ("GH206", {"flow": flow(logit_std_log10=-3.0), **anatomy(zero_head="layer-03")}, None),
    ("GH206", {"flow": flow(logit_std_log10=-2.0)}, None),
    ("GH207", attention(entropy=0.1), WARNING),
    ("GH207", attention(deviation=7.0), WARNING),
    ("GH207", attention(), None),
    ("GH301", {**weighted(initialization_gain=0.1, target_gain=1.4), "flow": flow(-2.0)}, WARNING),
    ("GH301", weighted(initialization_gain=0.1, target_gain=1.4), INFO),  # gradients flow all the same
    ("GH301", {**weighted(initialization_gain=0.58, target_gain=1.41), "flow": flow(-2.0)}, INFO),
    ("GH301", weighted(initialization_gain=1.2, target_gain=1.41), None),
    ("GH301", {**weighted(initialization_gain=0.1, target_gain=1.4), "trained": True}, None),
    ("GH302", weighted(duplicate_fraction=1.0), ERROR),
    ("GH302", {**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=-4.0)}, ERROR),
    ("GH302", {**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=0.5)}, WARNING),
    ("GH302", {**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=-4.0, input_rms=20.0)}, WARNING),
    ("GH302", {**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=0.5), "probe": FAILS}, ERROR),
    ("GH302", weighted(duplicate_fraction=0.5), WARNING),
    ("GH302", weighted(duplicate_fraction=0.1), None),
    ("GH303", ratios(1e-5, 1e-2, 0.1), WARNING),
    ("GH303", {**ratios(1e-5, 1e-2, 0.1), "probe": LEARNS}, INFO),
    ("GH303", ratios(1e-2, 1e-2, 0.1), None),
    ("GH304", ratios(1e-4, 1e-4, 1e-4), WARNING),
    ("GH304", ratios(1e-2, 1e-2, 1e-2), None),
    ("GH304", {**ratios(0.5, 0.5, 0.5), "learning_rate": 0.1}, WARNING),
    ("GH304", {**ratios(0.05, 0.05, 0.05), "learning_rate": 0.1}, INFO),
    ("GH304", {**ratios(1e-3, 1e-3, 1e-3), "learning_rate": 0.1}, None),
    ("GH305", {"flow": flow(input_rms=148.0)}, WARNING),
    ("GH305", {"flow": flow(input_rms=0.001)}, WARNING),
    ("GH305", {"flow": flow(input_mean_over_std=4.0)}, WARNING),
    ("GH305", {"flow": flow(input_rms=148.0), "normalized": True}, None),
    ("GH306", {"flow": flow(width_sum=6.7)}, WARNING),
    ("GH306", {"flow": flow(width_sum=2.5)}, INFO),
    ("GH306", {"flow": flow(width_sum=1.0)}, None),
    ("GH401", remembering(memory_decades=-4.0), ERROR),
    ("GH401", {**remembering(memory_decades=-4.0), "probe": LEARNS}, WARNING),
    ("GH401", remembering(memory_decades=-2.5), WARNING),
    ("GH401", remembering(), None),
    ("GH401", remembering(memory_decades=None, growth_decades=-6.0, horizon_steps=8), INFO),
    ("GH402", remembering(growth_decades=3.5), ERROR),
    ("GH402", remembering(growth_decades=2.5), None),
    ("GH501", anatomy(stacked_links=("softmax",)), WARNING),
    ("GH501", {**anatomy(stacked_links=("softmax",)), "probe": LEARNS}, WARNING),  # never below its floor
    ("GH501", anatomy(head_activation="Relu"), WARNING),
    ("GH501", {**anatomy(head_activation="Relu"), "probe": LEARNS}, INFO),
    ("GH501", {"loss": replace(ENDING, value=90.0)}, WARNING),
    ("GH501", {"loss": replace(ENDING, value=20.0)}, None),
    ("GH901", {"flow": flow(head_gradient_log10=-4.0), "loss": ENDING}, INFO),
    ("GH901", {"flow": flow(head_gradient_log10=-4.0), "loss": replace(ENDING, value=9.0)}, None),
    ("GH902", anatomy(zero_branches=("layer-02",)), INFO),
    ("GH902", anatomy(zero_head="layer-03"), INFO),
    ("GH903", anatomy(layer_scales={"gamma": 1e-6}), INFO),
    ("GH904", anatomy(cancelled={"b1": "BatchNormalization"}), INFO),
    ("GH905", {**anatomy(channel_norm_spread=0.6), "convolutional": True, "trained": True}, INFO),
    ("GH905", {**anatomy(channel_norm_spread=0.6), "convolutional": True}, None),
    ("GH905", {**anatomy(channel_norm_spread=0.1, fresh_biases=True), "convolutional": True}, INFO),
    ("GH905", {**anatomy(folded_share=0.6), "convolutional": True}, INFO),
    ("GH905", {**anatomy(folded_share=0.4), "convolutional": True}, None),
    ("GH905", {**anatomy(folded_share=0.6), "convolutional": True, "normalized": True}, None),
    ("GH906", anatomy(straight_through=("quantize",)), INFO),
    ("GH907", {"loss": replace(ENDING, targets=Provenance.SYNTHETIC)}, INFO),
    ("GH908", {"parity": Parity(reference="", status=ParityStatus.ILL_CONDITIONED, max_relative_error=0.1)}, WARNING),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "changes", "expected"), CASES)
def test_each_rule_fires_where_it_should_and_not_next_to_it(
    rule: str, changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity(rule, measurement(**changes)) is expected


@pytest.mark.parametrize(("direction", "expected"), [("forward", None), ("reverse", Severity.ERROR)])
def test_a_peak_further_back_than_the_informative_step_is_no_fading_memory(
    direction: str, expected: Severity | None
) -> None:
    """What a chain reads last it has not lost, however much the gradient grows behind it."""
    growing = tuple(float(6 - step) for step in range(10))
    chain = replace(
        PROFILE, direction=direction, gradient_log10=growing, informative_step=8, memory_decades=growing[8] - growing[0]
    )
    assert severity("GH401", measurement(through_time=(chain,), recurrent=True)) is expected


@pytest.mark.parametrize(
    ("states", "probed", "expected"),
    [
        (8.0, None, Severity.ERROR),  # the states explode as well
        (0.3, None, Severity.WARNING),  # a tanh holds them: half of such networks were trained
        (0.3, FAILS, Severity.ERROR),
        (0.3, LEARNS, Severity.WARNING),
    ],
)
def test_an_explosion_behind_states_that_stay_in_range_waits_for_a_probe(
    states: float, probed: object, expected: Severity
) -> None:
    exploding = flow(9.0, leverage_log10=Range(least=0.0, largest=9.0), nonlinearity_coefficient=1e6)
    chain = remembering(growth_decades=8.0, state_growth_decades=states)
    patient = measurement(flow=exploding, probe=probed, **chain)
    assert {rule: severity(rule, patient) for rule in ("GH102", "GH103", "GH402")} == dict.fromkeys(
        ("GH102", "GH103", "GH402"), expected
    )


def test_noise_is_a_remark_where_it_drowns_the_batch() -> None:
    gradients = SampleGradients(
        samples=32, method="loop", least_norm=1.0, median_norm=1.0, largest_norm=1.0, coherence=1.0, noise_scale=4000.0
    )
    assert severity("GH502", measurement(sample_gradients=gradients)) is Severity.INFO
    assert severity("GH502", measurement(sample_gradients=replace(gradients, noise_scale=100.0))) is None
    unresolved = replace(gradients, coherence=0.9, noise_scale=None)
    assert severity("GH502", measurement(sample_gradients=unresolved)) is Severity.INFO
    learnt = measurement(sample_gradients=unresolved, flow=flow(head_gradient_log10=-5.0), loss=ENDING)
    assert severity("GH502", learnt) is None
    assert severity("GH502", measurement(sample_gradients=replace(unresolved, coherence=0.0))) is None


def test_function_preserving_rescaling_is_scale_imbalance_and_not_vanishing() -> None:
    rescaled = measurement(flow=flow(-4.0), **ratios(1e-7, 0.1, 0.1))
    assert severity("GH303", rescaled) is Severity.WARNING
    assert severity("GH101", rescaled) is None
    assert severity("GH102", measurement(flow=flow(4.0), **ratios(1e-7, 0.1, 0.1))) is None


def test_a_second_witness_wants_both_cotangents() -> None:
    split = flow(
        -4.0, leverage_log10=LOW_LEVERAGE,
        leverage_by_seed=(Range(least=-3.0, largest=1.0), Range(least=0.0, largest=1.0)),
    )  # fmt: skip
    assert severity("GH101", measurement(flow=split)) is Severity.WARNING


def test_a_required_horizon_that_is_not_reached_is_an_error_even_where_the_network_learns() -> None:
    patient = measurement(**remembering(horizon_steps=8, memory_decades=None), probe=LEARNS)
    chosen = policy(AnalysisOptions(required_horizon=20))
    found = {finding.rule: finding.severity for finding in diagnose(patient, chosen)}
    assert found["GH401"] is Severity.ERROR
    assert "GH401" not in {finding.rule for finding in diagnose(patient, policy(AnalysisOptions(required_horizon=5)))}


# ------------------------------------------------------------------ what a user chooses


SICK = {"flow": flow(-4.0, leverage_log10=LOW_LEVERAGE, input_rms=148.0)}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"GH101", "GH305"}),
        ({"select": ["GH1"]}, {"GH101"}),
        ({"select": ["input-scale"]}, {"GH305"}),
        ({"ignore": ["GH101"]}, {"GH305"}),
        ({"select": ["GH"], "ignore": ["GH1", "GH3"]}, set()),
        ({"thresholds": {"GH305.largest_rms": 255.0}}, {"GH101"}),
        ({"thresholds": {"vanishing-gradient.flow_decades": -5.0, "GH101.leverage_log10": -9.0}}, {"GH305"}),
    ],
)
def test_rules_can_be_selected_ignored_and_given_other_thresholds(options: dict, expected: set[str]) -> None:
    found = diagnose(measurement(**SICK), policy(AnalysisOptions(**options)))
    assert {finding.rule for finding in found} == expected


@pytest.mark.parametrize(
    ("options", "where", "words"),
    [
        ({"select": ["GH999"]}, "options.select", ("GH999", "GH101")),
        ({"ignore": ["nonsense"]}, "options.ignore", ("nonsense",)),
        ({"thresholds": {"GH101.nonsense": 1.0}}, "options.thresholds.GH101.nonsense", ("nonsense", "flow_decades")),
        ({"thresholds": {"nonsense.flow_decades": 1.0}}, "options.thresholds.nonsense.flow_decades", ("nonsense",)),
    ],
)
def test_an_unknown_rule_or_threshold_is_refused_by_name(options: dict, where: str, words: tuple[str, ...]) -> None:
    with pytest.raises(BadOptions) as caught:
        policy(AnalysisOptions(**options))
    assert caught.value.where == where
    assert all(word in f"{caught.value} {caught.value.hint}" for word in words)
