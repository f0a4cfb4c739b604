"""Which treatments are trained, with which seeds, and when somebody stops looking."""

import pytest
import torch

from analysis.clock import BUDGET_REACHED
from tests.analysis.experiment.experiments import experiment, out_of_time_after
from tests.gallery import mlp, vectors, xavier


def test_weights_are_their_own_again_after_the_factorial_and_the_proofs() -> None:
    cells = experiment(mlp(4, "Tanh", xavier()))
    before = {
        name: weight.detach().clone() for name, weight in cells.structures.unchanged.converted.initializers.items()
    }
    cells.run_plan(cures=False)
    cells.proving.prove(["he", "relu+batch_norm+xavier"])
    for name, weight in cells.structures.unchanged.converted.initializers.items():
        assert torch.equal(weight, before[name])


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
