"""Grid, seeds, patience and budget of the short trainings."""

import numpy as np
import pytest
import torch
from torch import nn

from analysis.clock import BUDGET_REACHED
from analysis.facts import Outcome, Probe
from analysis.options import AnalysisOptions
from tests.analysis.experiment.experiments import experiment, out_of_time_after
from tests.gallery import export, he, mlp, npz, seeded, vectors, xavier
from tests.gallery.tasks import sequences


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


class Recall(nn.Module):
    """A GRU that is asked at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.GRU(8, 32, batch_first=True)
        self.head = nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cells(x)[0][:, -1])


def recall(steps: int, at: int, *, labels_follow: bool = True) -> Probe:
    """What training says of a network that has to tell what it saw at one of so many steps."""
    random = np.random.default_rng(1)
    x, target = sequences(steps, at)(0)(random, 256)
    target = target if labels_follow else random.permutation(target)
    model = export(seeded(Recall), torch.zeros(2, steps, 8))
    proof = experiment(model, npz(x=x, target=target)).probe_baseline().probe
    assert proof is not None
    return proof


def test_a_recurrent_network_learns_when_it_tells_samples_it_has_not_seen() -> None:
    proof = recall(10, -1)
    assert (proof.samples, proof.held_out, proof.steps) == (256, 64, 50)
    assert proof.learns("sgd")
    assert proof.learns("adam")
    assert all(min(run.held_out) < 0.7 for run in proof.runs)


def test_a_recurrent_network_that_learns_its_samples_by_heart_does_not_learn() -> None:
    proof = recall(60, 0)
    assert (proof.held_out, proof.steps) == (64, 200)
    assert min(run.curve[-1] for run in proof.runs) < 0.2
    assert not proof.learns("sgd")
    assert not proof.learns("adam")
    assert proof.best_loss_over_chance > 0.9


def test_labels_that_do_not_follow_from_the_input_are_no_fault_of_a_recurrent_network() -> None:
    proof = recall(60, 0, labels_follow=False)
    assert (proof.held_out, proof.late, proof.steps) == (0, False, 50)


@pytest.mark.parametrize(
    ("ticks", "what", "steps"),
    [(0, "training probe of the unchanged model", None), (149, "training probe of the unchanged model", None),
     (150, "training for more than 50 steps", 50), (400, "training for more than 50 steps", 50)],
)  # fmt: skip
def test_a_budget_that_ends_in_the_middle_of_the_probe_ends_it_and_is_said(
    ticks: int, what: str, steps: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = experiment(mlp(20, "Sigmoid", xavier()), vectors(256))
    before = [weight.detach().clone() for weight in cells.structures.unchanged.converted.initializers.values()]
    out_of_time_after(cells, ticks, monkeypatch)
    proof = cells.probe_baseline().probe
    assert (None if proof is None else (proof.steps, proof.unfinished)) == (None if steps is None else (steps, True))
    assert cells.clock.left_out == [(what, BUDGET_REACHED)]
    for weight, own in zip(cells.structures.unchanged.converted.initializers.values(), before, strict=True):
        torch.testing.assert_close(weight.detach(), own, rtol=0, atol=0)
