"""Grid, seeds, patience and budget of the short trainings."""

import pytest
import torch

from analysis.clock import BUDGET_REACHED
from analysis.facts import Outcome
from analysis.options import AnalysisOptions
from tests.analysis.test_experiment import experiment, out_of_time_after
from tests.gallery import Recurrent, export, he, mlp, seeded, sequences, vectors, xavier


def test_ones_own_optimiser_is_one_more_run() -> None:
    options = AnalysisOptions(optimizer="adam", learning_rate=0.02)  # type: ignore[arg-type]
    proof = experiment(mlp(3, "Tanh", xavier()), options=options).probe_baseline().probe
    assert proof is not None
    assert [(run.optimizer, run.learning_rate) for run in proof.runs][-1] == ("adam", 0.02)


def test_a_network_that_blows_up_at_a_large_rate_gets_it_with_clipping() -> None:
    cells = experiment(mlp(4, "Relu", he(3.0)), vectors(256))
    proof = cells.probe_baseline().probe
    assert proof is not None
    assert proof.runs[0].outcome in {Outcome.DIVERGED, Outcome.OSCILLATING}
    larger = cells.probe_larger_rate()
    assert larger is not None
    assert larger.without == proof.runs[0]
    assert (larger.clipped.optimizer, larger.clipped.learning_rate, larger.clipped.outcome) == ("sgd", 0.1, "learnt")
    assert larger.max_norm in {0.1, 1.0}


@pytest.mark.parametrize("model", [mlp(4, "Relu", he()), mlp(20, "Sigmoid", xavier()), mlp(12, "Relu", he(8.0))])
def test_clipping_is_no_advice_where_steps_are_sound_or_the_start_is_not(model: bytes) -> None:
    cells = experiment(model, vectors(256))
    cells.probe_baseline()
    assert cells.probe_larger_rate() is None


def test_a_slow_network_is_given_time_and_learns() -> None:
    slow = mlp(4, "Sigmoid", xavier(), width=16)
    proof = experiment(slow, vectors(256)).probe_baseline().probe
    assert proof is not None
    assert (proof.late, proof.steps) == (True, 200)
    assert proof.learns("sgd")
    assert max(len(run.curve) for run in proof.runs) > 52


def test_a_network_that_does_not_learn_does_not_in_four_times_as_many_steps() -> None:
    proof = experiment(mlp(20, "Sigmoid", xavier()), vectors(256)).probe_baseline().probe
    assert proof is not None
    assert [(run.optimizer, run.learning_rate) for run in proof.runs] == [("sgd", 0.1), ("sgd", 0.01), ("adam", 0.003)]
    assert {len(run.curve) for run in proof.runs} == {201}
    assert not proof.learns("sgd")
    assert not proof.learns("adam")


def test_where_sgd_blows_up_a_tenth_of_its_rate_is_tried() -> None:
    proof = experiment(mlp(6, "Relu", he(3.0)), vectors(256)).probe_baseline().probe
    assert proof is not None
    runs = {(run.optimizer, run.learning_rate): run.outcome for run in proof.runs}
    assert runs["sgd", 0.1] == runs["sgd", 0.01] == "diverged"
    assert ("sgd", 0.001) in runs


def test_a_network_that_learns_is_not_kept_waiting() -> None:
    proof = experiment(mlp(4, "Relu", he()), vectors(256)).probe_baseline().probe
    assert proof is not None
    assert (proof.late, proof.steps) == (False, 50)


def test_thorough_effort_probes_more_seeds_and_rates() -> None:
    options = AnalysisOptions(effort="thorough")  # type: ignore[arg-type]
    proof = experiment(mlp(3, "Tanh", xavier()), options=options).probe_baseline().probe
    assert proof is not None
    assert len({run.seed for run in proof.runs}) == 3
    assert {run.learning_rate for run in proof.runs} == {0.1, 0.01, 0.001, 3e-3, 3e-4}


def test_recurrent_networks_are_not_given_the_time_to_learn_the_samples_by_heart() -> None:
    module = seeded(Recurrent)
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(1e-3)
    proof = experiment(export(module, torch.zeros(2, 20, 8)), sequences(256)).probe_baseline().probe
    assert proof is not None
    assert not proof.learns("sgd")
    assert (proof.late, proof.steps) == (False, 50)


@pytest.mark.parametrize(
    ("ticks", "what", "steps"),
    [(0, "training probe of the unchanged model", None), (149, "training probe of the unchanged model", None),
     (150, "training for more than 50 steps", 50), (400, "training for more than 50 steps", 50)],
)  # fmt: skip
def test_a_budget_that_ends_in_the_middle_of_the_probe_ends_it_and_is_said(
    ticks: int, what: str, steps: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = experiment(mlp(20, "Sigmoid", xavier()), vectors(256))
    before = [weight.detach().clone() for weight in cells.baseline.converted.initializers.values()]
    out_of_time_after(cells, ticks, monkeypatch)
    proof = cells.probe_baseline().probe
    assert (None if proof is None else proof.steps) == steps
    assert cells.clock.left_out == [(what, BUDGET_REACHED)]
    for weight, own in zip(cells.baseline.converted.initializers.values(), before, strict=True):
        torch.testing.assert_close(weight.detach(), own, rtol=0, atol=0)
