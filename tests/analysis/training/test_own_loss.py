"""Graphs that end in their own loss, against the same training in torch."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from analysis.facts import OwnLoss
from analysis.options import AnalysisOptions, Effort
from tests.analysis.experiment.experiments import experiment, out_of_time_after
from tests.gallery import export, npz, seeded, vectors


class Reconstruction(nn.Module):
    """Its output is the mean squared error of an autoencoder, times a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.body, self.factor = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 6)), factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * (self.body(x) - x).square().mean()


X = np.random.default_rng(0).standard_normal((48, 6)).astype(np.float32)


def own_loss(module: nn.Module, **options: Any) -> OwnLoss | None:
    model = export(module, torch.from_numpy(X))
    return experiment(model, npz(x=X), AnalysisOptions(**options)).probe_baseline().own_loss


def test_the_curve_is_that_of_torch_s_optimiser_of_the_loss_as_it_is_read_over_its_start() -> None:
    found = own_loss(seeded(Reconstruction))
    assert found is not None
    assert (found.steps, found.samples) == (200, 48)
    run = next(run for run in found.runs if (run.optimizer, run.learning_rate) == ("sgd", 0.1))
    module, x = seeded(Reconstruction), torch.from_numpy(X)
    descent, curve = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9), []
    for _ in range(200):
        descent.zero_grad()
        loss = module(x)
        curve.append(float(loss.detach()))
        loss.backward()
        descent.step()
    assert run.curve[:200] == pytest.approx([each / curve[0] for each in curve], rel=1e-3)
    assert found.start == pytest.approx(curve[0], rel=1e-5)
    assert found.fall("sgd") == pytest.approx(1 - float(module(x).detach()) / curve[0], abs=1e-3)


def test_a_factor_before_the_loss_changes_nothing_and_one_under_zero_is_taken_as_it_stands() -> None:
    plain, large, negative = (own_loss(seeded(partial(Reconstruction, factor))) for factor in (1.0, 1e6, -1e-3))
    assert plain is not None
    assert large is not None
    assert negative is not None
    assert large.start == pytest.approx(1e6 * plain.start, rel=1e-4)
    assert large.fall("sgd") == pytest.approx(plain.fall("sgd"), rel=1e-2)
    assert negative.unit == 1


def test_nothing_is_trained_at_effort_quick_or_by_a_loss_with_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_loss(seeded(Reconstruction), effort=Effort.QUICK) is None
    plain = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 10))
    assert experiment(export(plain, torch.zeros(2, 32)), vectors()).probe_baseline().own_loss is None
    cells = experiment(export(seeded(Reconstruction), torch.from_numpy(X)), npz(x=X))
    out_of_time_after(cells, 30, monkeypatch)
    assert cells.probe_baseline().own_loss is None
