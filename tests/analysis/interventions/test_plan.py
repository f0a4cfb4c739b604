import math
from dataclasses import replace

import pytest

from analysis.facts import Layer, Measurement, NonFinite, OutputFacts, TargetFacts
from analysis.interventions.plan import is_factorial, make_plan
from analysis.interventions.variants import BASELINE, cell_of, variant_id
from analysis.options import AnalysisOptions
from tests.analysis.diagnosis.builders import flow, layer, measurement, stats

OPTIONS = AnalysisOptions()


def ids(patient: Measurement, options: AnalysisOptions = OPTIONS) -> list[str]:
    return [variant_id(cell) for cell in make_plan(patient, options)]


def beside(linear: int) -> tuple[Layer, ...]:
    """A recurrent layer, and others."""
    return (replace(layer(1), op="GRU"), *(layer(number) for number in range(2, 2 + linear)))


def test_the_factorial_is_always_planned_first_and_decay_beside_it() -> None:
    plan = ids(measurement())
    assert plan[:23] == [name for name in plan if is_factorial(cell_of(name)) and name != "decay"]
    assert {"relu", "batch_norm", "he", "xavier", "clip", "relu+batch_norm+xavier+clip", "decay"} <= set(plan)
    assert BASELINE not in plan


@pytest.mark.parametrize(
    ("patient", "there", "not_there"),
    [
        (measurement(), {"relu+lsuv", "batch_norm+residual"}, {"orthogonal_memory", "pre_ln", "no_batch_norm+he"}),
        (measurement(recurrent=True), {"orthogonal+clip", "identity_rnn"}, {"relu+lsuv", "pre_ln"}),
        (measurement(recurrent=True, layers=beside(3)), {"orthogonal"}, {"lsuv"}),
        (measurement(recurrent=True, layers=beside(4)), {"orthogonal", "lsuv", "residual+lsuv"}, {"group_norm"}),
        (measurement(recurrent=True, attentive=True, layers=beside(4)), {"pre_ln"}, {"lsuv"}),
        (measurement(attentive=True), {"pre_ln+xavier", "xavier+zero_ends"}, {"relu+lsuv"}),
        (measurement(convolutional=True), {"group_norm"}, {"orthogonal_memory"}),
        (measurement(normalized=True), {"no_batch_norm+lsuv"}, {"pre_ln"}),
        (measurement(trained=True), {"relu+rescaled"}, set()),
    ],
)  # fmt: skip
def test_cures_follow_the_kind_of_network(patient: Measurement, there: set[str], not_there: set[str]) -> None:
    plan = set(ids(patient))
    assert there <= plan
    assert not not_there & plan


@pytest.mark.parametrize(("rms", "expected"), [(1.0, False), (255.0, True), (0.001, True)])
def test_an_unscaled_input_is_standardised_with_every_cure(rms: float, expected: bool) -> None:
    patient = measurement(flow=replace(flow(0.0, 0.0), input_rms=rms))
    plan = ids(patient)
    assert "standardized" in plan
    assert ("standardized+he" in plan) is expected


@pytest.mark.parametrize(("rms", "expected"), [(1.0, False), (255.0, True)])
def test_inputs_and_targets_that_are_both_far_off_are_standardised_together(rms: float, *, expected: bool) -> None:
    targets = replace(ASKED, mean=5e4, std=1e4, rms=5.1e4)
    plan = ids(measurement(flow=replace(flow(0.0, 0.0), input_rms=rms), outputs=READ, targets=targets))
    assert "scaled_output" in plan
    assert ("standardized+scaled_output" in plan) is expected


def test_operators_are_guarded_where_numbers_are_not_finite_and_nowhere_else() -> None:
    broken = NonFinite(stage="forward", node="l", value="l", operator="Log")
    guards = {"guarded", "guarded+he", "guarded+lsuv", "guarded+batch_norm"}
    assert guards <= set(ids(measurement(non_finite=broken)))
    assert not guards & set(ids(measurement()))


def test_idle_normalisations_are_taken_out_where_the_outputs_do_not_differ_at_all() -> None:
    blind = flow(blindness_log10=-math.inf)
    assert {"no_idle_norm", "no_idle_norm+he"} <= set(ids(measurement(flow=blind, normalized=True)))
    assert "no_idle_norm" not in ids(measurement(flow=blind))
    assert "no_idle_norm" not in ids(measurement(flow=flow(blindness_log10=-9.0), normalized=True))


def test_steps_are_smoothed_where_they_keep_the_gradient_from_a_weight_and_nowhere_else() -> None:
    nothing = replace(stats(0), weight_gradient=None)
    silent, sloping, aside = (
        replace(nothing, has_slope=slope, leads_to_loss=leads)
        for slope, leads in ((False, True), (True, True), (False, False))
    )
    smoothed = {"smoothed", "smoothed+he", "smoothed+batch_norm"}
    assert smoothed <= set(ids(measurement(stats=(sloping, silent))))
    assert not smoothed & set(ids(measurement(stats=(sloping, aside))))


READ = OutputFacts(reading="", rms=0.5)
ASKED = TargetFacts(kind="numbers", least=-1.0, most=1.0, mean=0.0, std=1.0, rms=1.0)


@pytest.mark.parametrize(
    ("outputs", "targets", "tried"),
    [
        (replace(READ, floor=0.2), ASKED, {"linear_output", "scaled_output"}),
        (replace(READ, floor=0.2), replace(ASKED, kind="labels"), {"linear_output", "scaled_output"}),  # cosines
        (replace(READ, doubled=True), None, {"linear_output"}),
        (replace(READ, doubled=True, floor=0.2), replace(ASKED, kind="labels"), {"linear_output"}),  # the link goes
        (replace(READ, link="Softmax", link_units=1), None, {"sigmoid_output"}),
        (replace(READ, link="Softmax", link_units=3, floor=0.2), replace(ASKED, kind="bits"), {"sigmoid_output"}),
        (READ, replace(ASKED, rms=3000.0), {"scaled_output"}),
        (READ, replace(ASKED, rms=0.01), {"scaled_output"}),
        (replace(READ, rms=2000.0), replace(ASKED, rms=3000.0), set()),
        (READ, replace(ASKED, rms=3000.0, kind="labels"), set()),
        (replace(READ, floor=0.05), ASKED, set()),
        (None, None, set()),
    ],
)
def test_what_is_wrong_with_the_output_is_tried_alone_and_with_what_usually_helps(
    outputs: OutputFacts | None, targets: TargetFacts | None, tried: set[str]
) -> None:
    plan = ids(measurement(outputs=outputs, targets=targets))
    tokens = {"linear_output", "sigmoid_output", "scaled_output"}
    assert tokens & set(plan) == tried
    assert {token for name in plan for token in name.split("+")} & tokens == tried


def test_layers_out_of_balance_are_balanced() -> None:
    balanced = measurement(stats=(replace(stats(0), update_ratio=1e-3), replace(stats(1), update_ratio=2e-3)))
    lopsided = measurement(stats=(replace(stats(0), update_ratio=1e-7), replace(stats(1), update_ratio=2e-3)))
    assert "rebalanced" not in ids(balanced)
    assert "rebalanced" in ids(lopsided)


def test_options_extend_narrow_and_replace_the_plan() -> None:
    extended = ids(measurement(), AnalysisOptions(variants=("selu+lsuv", "he")))
    assert extended == [*ids(measurement()), "selu+lsuv"]
    only = AnalysisOptions(variants=("only", "lsuv+selu", "he+clip"))
    assert ids(measurement(), only) == ["selu+lsuv", "he+clip"]
    without = ids(measurement(), AnalysisOptions(without=("batch_norm", "clip")))
    assert without
    assert not any(token in name.split("+") for name in without for token in ("batch_norm", "clip"))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"input_rms": 0.5}, False),
        ({"input_rms": 0.49}, True),
        ({"input_rms": 2.0}, False),
        ({"input_rms": 2.01}, True),
        ({"input_rms": None}, False),
        ({"input_mean_over_std": 1.0}, False),
        ({"input_mean_over_std": 1.01}, True),
        ({"input_rms": None, "input_mean_over_std": 1.01}, True),
        ({"input_rms": 3.0, "input_mean_over_std": None}, True),
    ],
)
def test_an_input_is_unscaled_off_a_half_to_two_or_off_centre_by_more_than_its_deviation(
    facts: dict[str, float | None], expected: bool
) -> None:
    plan = ids(measurement(flow=flow(0.0, 0.0, **facts)))
    assert ("standardized+he" in plan) is expected


def test_an_unscaled_input_is_standardised_with_three_of_the_factorial_and_the_six_best_cures() -> None:
    plan = ids(measurement(flow=flow(0.0, 0.0, input_rms=100.0)))
    both = [name for name in plan if name.startswith("standardized+")]
    with_factorial, with_cures = both[:3], both[3:]
    assert with_factorial == ["standardized+he", "standardized+xavier", "standardized+relu+batch_norm+he"]
    cures = [name for name in plan[24:] if not name.startswith("standardized")]
    assert with_cures == [f"standardized+{name}" for name in cures[:6]]


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ((1e-3, 0.1), False),  # a hundredfold, and no more
        ((1e-3, 0.101), True),
        ((0.101, 1e-3), True),
        ((1e-3, None, 0.0), False),
        ((None, None), False),
        ((0.0, 1e-3, 0.101), True),
    ],
)
def test_steps_a_hundred_times_as_long_as_others_are_out_of_balance(
    ratios: tuple[float | None, ...], expected: bool
) -> None:
    patient = measurement(stats=tuple(stats(place, update_ratio=ratio) for place, ratio in enumerate(ratios)))
    assert ("rebalanced" in ids(patient)) is expected


def test_the_factorial_is_every_combination_and_decay() -> None:
    plan = [name for name in ids(measurement()) if is_factorial(cell_of(name))]
    tokens = [{*name.split("+")} for name in plan]
    assert len(plan) == 2 * 2 * 3 * 2 - 1 + 1
    assert len({frozenset(each) for each in tokens}) == len(plan)
    assert set().union(*tokens) == {"relu", "batch_norm", "he", "xavier", "clip", "decay"}
    assert not is_factorial(())
    assert not is_factorial(cell_of("relu+lsuv"))
    assert not is_factorial(cell_of("he+decay"))


def test_a_recurrent_network_that_attends_gets_the_cures_of_both_and_those_of_no_other() -> None:
    plan = ids(measurement(recurrent=True, attentive=True))
    assert {"orthogonal", "pre_ln", "temperature"} <= {*plan}
    assert not {"batch_norm+residual", "relu+lsuv", "group_norm", "no_batch_norm+he", "rebalanced"} & {*plan}
