from dataclasses import replace

import pytest

from analysis.facts import Measurement
from analysis.interventions.plan import is_factorial, make_plan
from analysis.interventions.variants import BASELINE, cell_of, variant_id
from analysis.options import AnalysisOptions
from tests.analysis.diagnosis.builders import flow, measurement, stats

OPTIONS = AnalysisOptions()


def ids(patient: Measurement, options: AnalysisOptions = OPTIONS) -> list[str]:
    return [variant_id(cell) for cell in make_plan(patient, options)]


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
