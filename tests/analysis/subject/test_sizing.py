"""How many samples are measured, by costs that are told in advance, and what a pass really keeps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from analysis.batch import Batch
from analysis.clock import OutOfTime
from analysis.convert import convert
from analysis.errors import BadOptions
from analysis.facts import Provenance
from analysis.model import CheckedModel, check_model
from analysis.options import AnalysisOptions
from analysis.subject import sizing
from analysis.subject.sizing import (
    FEWEST_PASSES,
    PASSES,
    PASSES_FOR_FEW,
    TOO_LARGE,
    TOO_MANY,
    TOO_SLOW,
    Cost,
    fitting,
    forward_cost,
    part_of,
    within_budget,
)
from tests.analysis.text_models import drawn, written

BUDGET = 120.0
OPTIONS = AnalysisOptions(budget_seconds=BUDGET, effort="quick")
OPEN = "(float[N,4] x) => (float[N,3] y)"


def model(signature: str = OPEN) -> CheckedModel:
    return check_model(
        written(signature, "h = MatMul(x, A) r = Tanh(h) y = MatMul(r, B)", A=drawn(4, 8), B=drawn(8, 3))
    )


def batch(samples: int) -> Batch:
    """Every target is the first feature of its sample."""
    x = np.arange(4 * samples, dtype=np.float32).reshape(samples, 4)
    return Batch({"x": x}, {"": x[:, 0]}, samples, {"x": 0}, "", Provenance.UPLOADED, ("a note",))


Costs = Callable[[float, float, int], list[int]]


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> Costs:
    """Tell what a pass takes (seconds), what each sample takes, and what it keeps (bytes); what was run is listed."""

    def tell(fixed: float, each: float, kept: int = 0) -> list[int]:
        run: list[int] = []

        def cost(_: Any, inputs: list[torch.Tensor]) -> Cost:
            run.append(len(inputs[0]))
            return Cost(fixed + each * len(inputs[0]), kept * len(inputs[0]))

        monkeypatch.setattr(sizing, "forward_cost", cost)
        return run

    monkeypatch.setattr(sizing, "allowed_bytes", lambda: 1 << 30)
    return tell


def fitted(samples: int, options: AnalysisOptions = OPTIONS, **choices: int) -> Batch:
    checked = model()
    return fitting(batch(samples), checked, convert(checked), options, **choices)


def test_an_ordinary_batch_is_measured_whole_after_one_sample(costs: Costs) -> None:
    run = costs(0.001, 0.001, 0)
    whole = batch(100)
    checked = model()
    assert fitting(whole, checked, convert(checked), OPTIONS) is whole
    assert run == [1]


def test_only_what_is_far_over_the_budget_is_cut(costs: Costs) -> None:
    each = BUDGET / PASSES / 100  # a hundred samples are the budget
    costs(0.0, each, 0)
    assert fitted(199).size == 199
    assert fitted(201).size == 64  # the power of two below a hundred


def test_a_note_says_how_many_of_how_many_and_why(costs: Costs) -> None:
    costs(0.0, BUDGET / PASSES / 100, 0)
    assert fitted(1000).notes == ("a note", f"of 1000 samples 64 were measured, drawn at random: {TOO_SLOW}")


def test_a_pass_whose_cost_is_mostly_its_own_is_run_with_more_samples_until_that_is_known(costs: Costs) -> None:
    """One sample alone says: three samples fit. In truth a pass over 256 costs hardly more."""
    run = costs(1.0, 1e-4, 0)
    assert fitted(256).size == 256
    assert run == [1, 6, 19, 63]


def test_on_a_large_machine_a_pass_keeps_no_more_than_a_measurement_is_worth(
    costs: Costs, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs(0.0, 0.0, 200 << 20)
    for memory in (None, 1 << 40):
        monkeypatch.setattr(sizing, "allowed_bytes", lambda memory=memory: memory)
        assert fitted(32).size == 8  # ten times 200 MiB
        assert fitted(32).notes[-1].endswith(TOO_LARGE)


def test_a_loop_that_costs_too_much_at_any_size_ends(costs: Costs) -> None:
    run = costs(1.4, 0.05, 0)
    fits = fitted(100_000).size
    assert fits == 32
    assert PASSES * (1.4 + 0.05 * fits) <= BUDGET
    assert len(run) == 6


def test_for_a_few_samples_other_passes_are_given_up(costs: Costs) -> None:
    costs(0.0, BUDGET / PASSES_FOR_FEW / 4.5, 0)
    assert fitted(32).size == 4
    costs(0.0, BUDGET / PASSES_FOR_FEW / 40, 0)  # twenty fit with all passes
    assert fitted(1000).size == 16


def test_one_sample_is_measured_whatever_it_costs(costs: Costs) -> None:
    costs(0.0, BUDGET, 0)
    assert fitted(32).size == 1


def test_what_does_not_fit_into_memory_is_cut_whatever_its_time(costs: Costs) -> None:
    costs(0.0, 1e-9, 1 << 20)  # a quarter of the memory holds 256
    small = fitted(300)
    assert small.size == 256
    assert small.notes[-1].endswith(TOO_LARGE)
    assert fitted(256).size == 256


def test_more_samples_than_are_of_use_are_not_measured_however_cheap(costs: Costs) -> None:
    costs(0.0, 1e-9, 0)
    few = fitted(300, most=256)
    assert few.size == 256
    assert few.notes[-1] == f"of 300 samples 256 were measured, drawn at random: {TOO_MANY}"


def test_a_model_that_fixes_the_number_of_samples_gets_them_all(costs: Costs) -> None:
    run = costs(0.0, BUDGET, 0)
    checked, whole = model("(float[32,4] x) => (float[32,3] y)"), batch(32)
    assert fitting(whole, checked, convert(checked), OPTIONS) is whole
    assert run == []


def test_a_graph_that_does_not_run_with_one_sample_gets_them_all() -> None:
    checked = check_model(
        written(OPEN, "p = Reshape(x, pairs) h = MatMul(p, A) y = Reshape(h, back)",
                A=drawn(8, 6), pairs=np.array([2, 8]), back=np.array([4, 3]))
    )  # fmt: skip
    whole = batch(4)
    assert fitting(whole, checked, convert(checked), OPTIONS) is whole


def test_a_sample_that_takes_all_of_the_budget_is_refused_with_the_option_to_raise() -> None:
    def interrupt() -> bool:
        raise OutOfTime

    checked = model()
    converted = convert(checked)
    converted.interrupt = interrupt
    with pytest.raises(BadOptions) as caught:
        fitting(batch(4), checked, converted, OPTIONS)
    assert caught.value.where == "options.budget_seconds"
    assert '{"budget_seconds": 2880}' in caught.value.hint


# ------------------------------------------------------------------ the part


def test_the_part_is_the_same_for_a_seed_in_order_and_each_sample_keeps_its_target() -> None:
    one, same, other = (part_of(batch(1000), 64, seed) for seed in (0, 0, 1))
    assert (one.size, len(one.inputs["x"])) == (64, 64)
    assert np.array_equal(one.inputs["x"], same.inputs["x"])
    assert not np.array_equal(one.inputs["x"], other.inputs["x"])
    assert np.array_equal(one.inputs["x"][:, 0], one.targets[""])
    assert bool((np.diff(one.targets[""]) > 0).all())


# ------------------------------------------------------------------ what a pass costs


@pytest.mark.parametrize("samples", [1, 7])
def test_a_pass_keeps_its_inputs_and_activations_once_and_no_weights(samples: int) -> None:
    """x [N, 4] and tanh [N, 8], each for a product with a weight; the slope of tanh is taken from its output."""
    cost = forward_cost(convert(model()), [torch.from_numpy(drawn(samples, 4))])
    assert cost.kept_bytes == samples * (4 + 8) * 4
    assert cost.seconds >= 0


# ------------------------------------------------------------------ a pass in the budget


def test_a_slow_first_pass_is_forgiven_and_a_slow_model_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(sizing.time, "process_time", lambda: now[0])
    options = AnalysisOptions(budget_seconds=6.0)
    slow = 2 * 6.0 / FEWEST_PASSES + 0.46875

    def passes(*seconds: float) -> Callable[[], str]:
        left = list(seconds)

        def forward() -> str:
            now[0] += left.pop(0)
            return "values"

        return forward

    assert within_budget(passes(0.1), options) == "values"
    assert within_budget(passes(slow, 0.1), options) == "values"
    for seconds, enough in (((slow, slow), 36), ((32.0,), 768)):
        with pytest.raises(BadOptions, match="take longer than 6 s") as caught:
            within_budget(passes(*seconds), options)
        assert caught.value.hint.endswith(f'{{"budget_seconds": {enough}}}')
