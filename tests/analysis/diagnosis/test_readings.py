"""What several rules ask of a measurement: each answer by hand, on and around its limit."""

import math
from dataclasses import replace

import pytest

from analysis.diagnosis import readings
from analysis.facts import Anatomy, Flow, LossFacts, Measurement, Probe, ProbeKind, Provenance, Range, TimeProfile
from analysis.report import Evidence, Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, layer, measurement, probe, run, stats

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR
ADAM_LEARNS = probe(run("sgd", 1.0), run("adam", 0.2))
UNFINISHED = replace(FAILS, unfinished=True)
WITH_PATIENCE = replace(run("adam", 0.1), curve=(1.0, *[0.1] * 21), limit=0.2)
CRAMS = probe(run("sgd", 1.0), WITH_PATIENCE, kind=ProbeKind.MEMORIZING)
FOLDED = Anatomy(folded_share=0.5)


def chain(growth: float | None) -> TimeProfile:
    return TimeProfile(node="cells", direction="forward", gradient_log10=(0.0,), state_growth_decades=growth)


def margins(*decades: float | None) -> list[Evidence]:
    return [Evidence(value=0.0, threshold=0.0, margin_decades=each) for each in decades]


# ------------------------------------------------------------------ how severe


@pytest.mark.parametrize(
    ("probed", "learns", "amber"),
    [
        (None, False, WARNING),
        (FAILS, False, WARNING),
        (LEARNS, True, INFO),
        (ADAM_LEARNS, True, WARNING),  # not by plain gradient descent
        (probe(run("sgd", 0.4), run("adam", 1.0)), True, INFO),
    ],
)
def test_a_network_learns_by_either_optimiser_and_amber_pales_by_plain_descent_only(
    probed: Probe | None, *, learns: bool, amber: Severity
) -> None:
    patient = measurement(probe=probed)
    assert (readings.learns(patient), readings.amber(patient)) == (learns, amber)


@pytest.mark.parametrize(
    ("rates", "own", "expected"),
    [
        ((1e-4,), False, INFO),
        ((1e-5,), False, WARNING),
        ((1e-5, 1e-11), False, WARNING),
        ((1e-5, 0.1), False, INFO),
        ((1e-5,), True, INFO),
        ((), False, WARNING),
    ],
)
def test_the_scale_is_at_fault_where_only_rates_that_nobody_would_try_learn(
    rates: tuple[float, ...], *, own: bool, expected: Severity
) -> None:
    learnt = [replace(run("sgd", 0.2), learning_rate=rate, own=own) for rate in rates]
    patient = measurement(probe=probe(run("sgd", 1.0), run("adam", 0.2), *learnt))
    assert readings.of_scale(patient) is expected


@pytest.mark.parametrize("provenance", list(Provenance))
@pytest.mark.parametrize("trained", [True, False])
def test_amber_pales_for_trained_weights_that_nobody_sent_targets_for(provenance: Provenance, *, trained: bool) -> None:
    patient = measurement(probe=FAILS, trained=trained)
    patient = replace(patient, loss=replace(patient.loss, targets=provenance))
    pales = trained and provenance is Provenance.SYNTHETIC
    assert readings.is_relearning(patient) is pales
    assert readings.amber(patient) is (INFO if pales else WARNING)


@pytest.mark.parametrize(
    ("changes", "doubtful", "expected"),
    [
        ({}, False, ERROR),
        ({}, True, WARNING),
        ({"probe": FAILS}, True, ERROR),  # the probe has ended the doubt
        ({"probe": UNFINISHED}, True, WARNING),
        ({"probe": UNFINISHED}, False, ERROR),
        ({"probe": LEARNS}, False, WARNING),
        ({"probe": ADAM_LEARNS}, False, WARNING),
        ({"probe": CRAMS}, False, ERROR),
        ({"probe": CRAMS}, True, ERROR),
        ({"idle_normalization": True, "probe": FAILS}, False, WARNING),
        ({"anatomy": FOLDED, "probe": FAILS}, False, WARNING),
        ({"anatomy": FOLDED, "normalized": True, "probe": FAILS}, False, ERROR),
    ],
)
def test_an_error_is_settled_unless_it_learns_is_in_doubt_or_was_bereft_of_its_normalisation(
    changes: dict[str, object], doubtful: bool, expected: Severity
) -> None:
    assert readings.settled(measurement(**changes), doubtful=doubtful) is expected
    if not doubtful:
        assert readings.settled(measurement(**changes)) is expected


@pytest.mark.parametrize(
    ("kind", "by_heart", "expected"),
    [
        (ProbeKind.MEMORIZING, True, WARNING),
        (ProbeKind.MEMORIZING, False, ERROR),
        (ProbeKind.LEARNING, False, WARNING),
        (ProbeKind.LEARNING, True, WARNING),
    ],
)
def test_one_batch_that_is_learnt_by_heart_may_be_no_answer(
    kind: ProbeKind, *, by_heart: bool, expected: Severity
) -> None:
    patient = measurement(probe=replace(LEARNS, kind=kind))
    assert readings.settled(patient, by_heart=by_heart) is expected


def test_the_normalisation_of_attention_is_not_that_of_the_convolutions() -> None:
    hybrid = {"normalized": True, "attentive": True}
    assert measurement(anatomy=Anatomy(folded_share=1.0), **hybrid).looks_folded
    assert not measurement(anatomy=Anatomy(folded_share=0.0), **hybrid).looks_folded


@pytest.mark.parametrize(
    ("share", "normalized", "expected"),
    [(None, False, False), (0.49, False, False), (0.5, False, True), (1.0, False, True), (1.0, True, False)],
)
def test_normalisation_was_folded_where_half_of_the_convolutions_say_so_and_none_is_left(
    share: float | None, normalized: bool, expected: bool
) -> None:
    for kept in (None, True):
        anatomy = Anatomy(folded_share=share, kept_statistics=kept)
        assert measurement(anatomy=anatomy, normalized=normalized).looks_folded is expected
    bare = Anatomy(folded_share=share, kept_statistics=False)
    assert not measurement(anatomy=bare, normalized=normalized).looks_folded


@pytest.mark.parametrize(
    ("decades", "expected"),
    [
        ((1.4,), True), ((1.5,), False), ((1.4, 1.4), True), ((1.4, 1.6), False), ((1.6, 0.1), False),
        ((None,), True), ((None, 1.6), False), ((-3.0,), True), ((), True),
    ],
)  # fmt: skip
def test_evidence_is_borderline_where_no_witness_is_far_beyond_its_threshold(
    decades: tuple[float | None, ...], expected: bool
) -> None:
    assert readings.is_borderline(margins(*decades)) is expected


# ------------------------------------------------------------------ through time


@pytest.mark.parametrize(
    ("growths", "growth", "bounded"),
    [
        ((), None, False),
        ((None,), None, False),
        ((0.3,), 0.3, True),
        ((1.9,), 1.9, True),
        ((2.0,), 2.0, False),
        ((0.3, None, 8.0, 1.0), 8.0, False),
        ((-1.0, -2.0), -1.0, True),
    ],
)
def test_states_are_bounded_where_the_chain_that_grows_most_stays_under_two_decades(
    growths: tuple[float | None, ...], growth: float | None, bounded: bool
) -> None:
    patient = measurement(through_time=tuple(map(chain, growths)))
    assert (readings.state_growth(patient), readings.has_bounded_states(patient)) == (growth, bounded)


# ------------------------------------------------------------------ loss


def losing(value: float, chance: float | None) -> LossFacts:
    return replace(measurement().loss, value=value, chance=chance)


@pytest.mark.parametrize(
    ("gradient", "value", "chance", "expected"),
    [
        (-3.1, 0.001, 2.3, True),
        (-3.0, 0.001, 2.3, False),  # on the limit
        (0.0, 0.001, 2.3, False),
        (None, 0.001, 2.3, False),
        (-3.1, 9.0, 2.3, False),  # a small gradient over chance is no success
        (-3.1, 2.3, 2.3, False),
        (-3.1, 9.0, None, True),  # nobody knows chance
    ],
)
def test_a_network_has_converged_where_its_loss_is_low_and_sends_nothing_back(
    gradient: float | None, value: float, chance: float | None, expected: bool
) -> None:
    patient = measurement(flow=flow(head_gradient_log10=gradient), loss=losing(value, chance))
    assert readings.is_converged(patient) is expected


@pytest.mark.parametrize(
    ("value", "chance", "expected"), [(4.6, 2.3, 2.0), (1.15, 2.3, 0.5), (1.0, None, None), (1.0, 0.0, None)]
)
def test_loss_is_read_against_chance_where_chance_is_known(
    value: float, chance: float | None, expected: float | None
) -> None:
    assert readings.loss_over_chance(measurement(loss=losing(value, chance))) == expected


# ------------------------------------------------------------------ the trunk


def stepping(*ratios: float | None, beside: int | None = None) -> Measurement:
    """Layers with these update ratios, one of them perhaps beside the trunk."""
    layers = tuple(replace(layer(place), on_trunk=place != beside) for place in range(1, len(ratios) + 1))
    return measurement(
        layers=layers, stats=tuple(stats(place, update_ratio=ratio) for place, ratio in enumerate(ratios, 1))
    )


def test_update_ratios_are_those_of_the_trunk_that_are_numbers_and_not_zero() -> None:
    patient = stepping(1e-4, 1e-9, 1e-1, None, 0.0, math.inf, math.nan, beside=2)
    assert readings.trunk_ratios(patient) == {"layer-01": 1e-4, "layer-03": 1e-1}
    assert readings.ratio_spread(patient) == pytest.approx(3.0)


def test_ratios_that_nobody_measured_are_not_spread() -> None:
    assert readings.ratio_spread(stepping(None, None)) == 0.0
    assert readings.ratio_spread(stepping(1e-3)) == 0.0


def test_layers_are_told_with_what_was_measured_of_them() -> None:
    patient = measurement()
    assert [(one.id, other.id) for one, other in readings.layers_with_stats(patient)] == [
        (f"layer-0{number}", f"layer-0{number}") for number in (1, 2, 3)
    ]
    with pytest.raises(ValueError, match="zip"):
        list(readings.layers_with_stats(replace(patient, stats=patient.stats[:2])))


@pytest.mark.parametrize(
    ("rms", "normalized", "expected"),
    [
        (1.0, False, 4.0),
        (100.0, False, 2.0),
        (0.01, False, 6.0),
        (100.0, True, 2.0),
        (0.01, True, 4.0),  # behind a normalisation a small input lends no reach
        (0.0, False, None),
        (None, False, None),
    ],
)
def test_reach_is_leverage_over_the_scale_of_the_input(
    rms: float | None, normalized: bool, expected: float | None
) -> None:
    seen = flow(leverage_log10=Range(least=0.0, largest=4.0), input_rms=rms)
    reach = readings.reach_log10(measurement(flow=seen, normalized=normalized))
    assert reach == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("rms", "normalized", "expected"),
    [(5.1, False, True), (5.0, False, False), (148.0, True, False), (None, False, False), (0.1, False, False)],
)
def test_an_input_is_large_over_five_where_nothing_normalises_it(
    rms: float | None, normalized: bool, expected: bool
) -> None:
    assert readings.has_large_input(measurement(flow=flow(input_rms=rms), normalized=normalized)) is expected


# ------------------------------------------------------------------ what both cotangents see


def test_of_two_cotangents_the_more_cautious_is_believed() -> None:
    """The weakness that both see, and the reach and nonlinearity that both see."""
    seen = flow(
        leverage_log10=Range(least=-9.0, largest=9.0),
        leverage_by_seed=(Range(least=-3.0, largest=5.0), Range(least=-1.0, largest=4.0)),
        nonlinearity_coefficient=1e6, nonlinearity_by_seed=(900.0, 20.0),
    )  # fmt: skip
    assert readings.least_leverage(seen) == -1.0
    assert readings.reach_log10(measurement(flow=seen)) == 4.0
    assert readings.nonlinearity(seen) == 20.0


def test_without_single_cotangents_there_is_the_one_value_or_none() -> None:
    seen = flow(leverage_log10=Range(least=-3.0, largest=5.0), nonlinearity_coefficient=7.0)
    assert (readings.least_leverage(seen), readings.nonlinearity(seen)) == (-3.0, 7.0)
    assert readings.reach_log10(measurement(flow=seen)) == 5.0
    assert (readings.least_leverage(Flow()), readings.nonlinearity(Flow())) == (None, None)
    assert readings.reach_log10(measurement(flow=Flow(input_rms=1.0))) is None
