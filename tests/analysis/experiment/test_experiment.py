from dataclasses import replace

import numpy as np
import pytest
import torch

from analysis.clock import BUDGET_REACHED, Clock
from analysis.experiment.replay import batch_statistics, draw, drawn
from analysis.facts import Status
from analysis.options import AnalysisOptions
from tests.analysis.experiment.experiments import experiment, out_of_time_after
from tests.gallery import Recurrent, export, he, mlp, seeded, sequences, vectors, xavier


def test_the_plan_is_the_full_factorial_and_decay_with_one_id_per_cell() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    cells.run_plan(cures=False)
    assert len(cells.cells) == 25
    assert cells.cells["decay"].info.status is Status.DERIVED
    assert next(iter(cells.cells)) == "baseline"
    assert {"relu+batch_norm+he+clip", "xavier", "batch_norm+clip", "relu+he"} <= cells.cells.keys()
    assert all(each.measurement is not None for each in cells.cells.values())


def test_a_treatment_that_changes_nothing_is_not_applicable_and_says_why() -> None:
    cells = experiment(mlp(4, "Relu", he()))
    cells.run_plan(cures=False)
    info = cells.cells["relu+he"].info
    assert info.status is Status.NOT_APPLICABLE
    assert info.reason == "every hidden activation is ReLU already"
    assert sum(each.info.status is Status.NOT_APPLICABLE for each in cells.cells.values()) == 12


def test_clipping_is_derived_and_linked_where_it_does_nothing() -> None:
    loose = experiment(mlp(4, "Tanh", xavier()), options=AnalysisOptions(clip_norm=1e6))
    loose.run_plan(cures=False)
    assert loose.cells["clip"].info.same_as == "baseline"
    tight = experiment(mlp(4, "Tanh", xavier()), options=AnalysisOptions(clip_norm=1e-3))
    tight.run_plan(cures=False)
    clipped = tight.cells["he+clip"]
    assert clipped.info.status is Status.DERIVED
    assert clipped.info.same_as is None
    assert clipped.measurement is not None
    assert clipped.measurement.total_gradient_norm == pytest.approx(1e-3)


def test_a_gradient_step_beside_a_redraw_costs_nothing_more() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    cells.run_plan(cures=False)
    assert cells.cells["he+clip"].info.cost == cells.cells["he"].info.cost
    assert cells.cells["clip"].info.cost == "no change to the model"


def test_weights_are_their_own_again_after_the_factorial_and_the_proofs() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    before = {
        name: weight.detach().clone() for name, weight in cells.structures.unchanged.converted.initializers.items()
    }
    cells.run_plan(cures=False)
    cells.proving.prove(["he", "relu+batch_norm+xavier"])
    for name, weight in cells.structures.unchanged.converted.initializers.items():
        assert torch.equal(weight, before[name])


def test_he_and_xavier_share_their_noise() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    cells.run_plan(cures=False)
    recipes = [cells.cells[name].recipe for name in ("he", "xavier")]
    values = []
    for recipe in recipes:
        assert recipe is not None
        with drawn(cells.structures.unchanged, recipe, 0):
            values.append(cells.structures.unchanged.converted.initializers["w1"].detach().clone())
    ratio = values[0] / values[1]
    assert torch.allclose(ratio, ratio.mean(), rtol=1e-4)


def test_another_seed_draws_other_weights() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    cells.run_plan(cures=False)
    recipe = cells.cells["he"].recipe
    assert recipe is not None
    drawn_weights = []
    for seed in (0, 1):
        draw(cells.structures.unchanged, recipe, seed)
        drawn_weights.append(cells.structures.unchanged.converted.initializers["w1"].detach().clone())
    assert not torch.allclose(drawn_weights[0], drawn_weights[1])


def test_inserted_batch_norm_carries_the_statistics_of_the_sample_batch() -> None:
    cells = experiment(mlp(3, "Tanh", xavier()))
    cells.run_plan(cures=False)
    recipe = cells.cells["batch_norm"].recipe
    assert recipe is not None
    subject = cells.structures.subject_of(recipe)
    found = batch_statistics(subject, recipe.sites)
    inputs, _ = subject.tensors()
    weight, bias = (np.array(subject.model.weights[name]) for name in ("w0", "b0"))
    z = inputs[0].numpy() @ weight.T + bias
    first = recipe.sites[0]
    np.testing.assert_allclose(found[first.mean].numpy(), z.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[first.variance].numpy(), z.var(0), rtol=1e-4)


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


def test_a_proof_draws_anew_for_every_seed() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    cells.run_plan(cures=False)
    (proven,) = cells.proving.prove(["he"])
    assert proven.info.replicates == 3
    assert proven.measurement is not None
    assert proven.measurement.probe is not None
    starts = {run.seed: run.weight_norm.start for run in proven.measurement.probe.runs}
    assert len(set(starts.values())) == 3
    assert cells.unchanged is not None
    assert cells.unchanged.kind is proven.measurement.probe.kind


def test_recurrent_networks_get_initialisations_and_no_swaps() -> None:
    cells = experiment(export(seeded(Recurrent), torch.zeros(2, 20, 8)), sequences())
    cells.run_plan(cures=False)
    status = {name: each.info.status for name, each in cells.cells.items()}
    assert status["he"] is Status.MEASURED
    assert status["relu"] is Status.NOT_APPLICABLE
    assert status["batch_norm"] is Status.NOT_APPLICABLE


def test_trained_weights_make_a_redraw_destructive() -> None:
    untrained = experiment(mlp(3, "Tanh", xavier()))
    trained = experiment(mlp(3, "Tanh", xavier()))
    trained.structures.unchanged = replace(trained.structures.unchanged, trained=True)
    for cells, expected in ((untrained, False), (trained, True)):
        cells.run_plan(cures=False)
        assert cells.cells["he"].info.destructive is expected
        assert not cells.cells["relu"].info.destructive


def test_a_proven_treatment_has_to_learn_from_minibatches_too() -> None:
    cells = experiment(mlp(20, "Sigmoid", xavier()), vectors(256))
    cells.probe_baseline()
    cells.run_plan(cures=False)
    cells.proving.prove(["xavier", "relu+batch_norm+he"])
    assert cells.proving.confirm(["xavier", "relu+batch_norm+he"])
    assert cells.cells["xavier"].info.learns is False
    assert cells.cells["relu+batch_norm+he"].info.learns is True
    assert not cells.proving.confirm(["xavier"])


def test_with_few_samples_nobody_asks_whether_a_treatment_learns() -> None:
    cells = experiment(mlp(20, "Sigmoid", xavier()), vectors(64))
    cells.probe_baseline()
    cells.run_plan(cures=False)
    cells.proving.prove(["relu+batch_norm+he"])
    assert cells.proving.confirm(["relu+batch_norm+he"])
    assert cells.cells["relu+batch_norm+he"].info.learns is None


def test_a_budget_that_ends_in_the_middle_of_the_proofs_keeps_what_was_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = experiment(mlp(20, "Sigmoid", xavier()), vectors(256))
    cells.run_plan(cures=False)
    before = [weight.detach().clone() for weight in cells.structures.unchanged.converted.initializers.values()]
    out_of_time_after(cells, 9 * 20 + 3 * 20 + 5, monkeypatch)  # the unchanged model, one treatment, and a little
    tried = cells.proving.prove(["relu+batch_norm+he", "xavier"])
    assert [each.info.id for each in tried] == ["relu+batch_norm+he"]
    assert ("training of xavier", BUDGET_REACHED) in cells.clock.left_out
    for weight, own in zip(cells.structures.unchanged.converted.initializers.values(), before, strict=True):
        torch.testing.assert_close(weight.detach(), own, rtol=0, atol=0)
