from collections.abc import Callable

import pytest
import torch

from analysis.clock import BUDGET_REACHED, Clock, OutOfTime
from analysis.experiment.cells import Measured
from analysis.facts import Status
from analysis.interventions.variants import Cell, variant_id
from analysis.options import AnalysisOptions
from tests.analysis.experiment.experiments import experiment
from tests.gallery import mlp, xavier


def test_the_plan_is_the_full_factorial_and_decay_with_one_id_per_cell() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    cells.run_plan(cures=False)
    assert len(cells.cells) == 25
    assert cells.cells["decay"].info.status is Status.DERIVED
    assert next(iter(cells.cells)) == "baseline"
    assert {"relu+batch_norm+he+clip", "xavier", "batch_norm+clip", "relu+he"} <= cells.cells.keys()
    assert all(each.measurement is not None for each in cells.cells.values())


def test_a_spent_budget_leaves_cells_out_and_says_so() -> None:
    cells = experiment(mlp(3, "Tanh", xavier()), clock=Clock(-1.0, None))
    cells.run_plan(cures=False)
    assert list(cells.cells) == ["baseline"]
    assert cells.proving.prove(["he"]) == []
    assert cells.clock.cut
    assert ("variant he", "budget_seconds reached") in cells.clock.left_out


def test_a_budget_that_ends_in_the_middle_of_a_pass_leaves_that_variant_out_and_puts_its_weights_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells = experiment(mlp(3, "Tanh", xavier()))
    module = cells.structures.unchanged.converted
    before = [weight.detach().clone() for weight in module.initializers.values()]
    passes = cells.measuring.run

    def run(cell: Cell) -> Measured:
        if variant_id(cell) != "he":
            return passes(cell)
        with monkeypatch.context() as patch:
            patch.setattr(module, "interrupt", ended_after(4))
            return passes(cell)

    monkeypatch.setattr(type(cells.measuring), "run", lambda _, cell: run(cell))
    cells.run_plan(cures=False)
    assert cells.clock.left_out == [("variant he", BUDGET_REACHED), ("variant he+clip", BUDGET_REACHED)]
    assert cells.cells.keys().isdisjoint({"he", "he+clip"})
    assert {"xavier", "relu+he"} <= cells.cells.keys()
    for weight, own in zip(module.initializers.values(), before, strict=True):
        torch.testing.assert_close(weight.detach(), own, rtol=0, atol=0)


def ended_after(operators: int) -> Callable[[], bool]:
    left = iter(range(operators))

    def interrupt() -> bool:
        if next(left, None) is None:
            raise OutOfTime
        return True

    return interrupt


def test_every_structure_ends_with_the_budget() -> None:
    cells = experiment(mlp(3, "Tanh", xavier()))
    cells.run_plan(cures=False)
    structures = [cells.structures.subject_of(each.recipe) for each in cells.cells.values() if each.recipe is not None]
    assert len({id(each) for each in structures}) > 1
    assert all(each.converted.interrupt == cells.clock.look for each in structures)


def test_quick_effort_trains_nothing() -> None:
    cells = experiment(mlp(3, "Tanh", xavier()), options=AnalysisOptions(effort="quick"))  # type: ignore[arg-type]
    assert cells.probe_baseline().probe is None
    cells.run_plan(cures=False)
    assert cells.proving.prove(["he"]) == []
    assert ("training of treatments", "effort is quick") in cells.clock.left_out


def test_layers_are_told_how_far_they_moved_in_the_best_run() -> None:
    measurement = experiment(mlp(3, "Tanh", xavier())).probe_baseline()
    assert measurement.probe is not None
    best = min(measurement.probe.runs, key=lambda run: run.curve[-1])
    assert [stats.moved for stats in measurement.stats] == [best.moved[layer.id] for layer in measurement.layers]
