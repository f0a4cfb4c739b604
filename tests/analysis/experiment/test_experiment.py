from analysis.clock import Clock
from analysis.facts import Status
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
