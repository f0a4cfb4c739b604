"""BatchNormalization as it will train, on networks whose fate was seen in a real training in torch."""

from typing import Any

import pytest
import torch
from torch import nn

from analysis.experiment.experiment import Experiment
from analysis.options import AnalysisOptions, Effort
from tests.analysis.experiment.experiments import experiment
from tests.gallery import CLASSES, INPUTS, export, export_for_training, seeded, vectors


class Frozen(nn.BatchNorm1d):
    """Keeps to its running statistics in training, as fine-tuning does."""

    def train(self, mode: bool = True) -> "Frozen":
        return super().train(mode and False)


def normalized(depth: int = 3, norm: type[nn.BatchNorm1d] = nn.BatchNorm1d, dropout: float = 0.0) -> nn.Module:
    layers: list[nn.Module] = []
    for before in (INPUTS, *[24] * (depth - 1)):
        layers += [nn.Linear(before, 24), norm(24), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers, nn.Linear(24, CLASSES))


def ready(module: nn.Module, *, training: bool = False, **options: Any) -> Experiment:
    how = {} if training else {"keep_batch_norm": True}
    model = (export_for_training if training else export)(module, torch.zeros(2, INPUTS), **how)
    return experiment(model, vectors(256), AnalysisOptions(**options))


def test_a_network_that_learns_from_minibatches_and_not_from_single_samples() -> None:
    """torch refuses to train on one value of a channel at all."""
    cells = ready(seeded(normalized), minibatch_size=1)
    trial = cells.probe_baseline().normalization
    assert trial is not None
    assert (trial.frozen, trial.minibatch, trial.usual_minibatch, trial.values) == (False, 1, 32, 1)
    assert not trial.learns
    assert trial.run.end > 0.9
    assert trial.without.end < 0.7
    assert cells.proving.trainer.minibatch == 1  # treatments are put to what the user does


@pytest.mark.parametrize(
    ("module", "options"),
    [
        (normalized, {"minibatch_size": 16}),  # learns
        (normalized, {}),
        (normalized, {"minibatch_size": 1, "effort": Effort.QUICK}),
        (lambda: nn.Linear(INPUTS, CLASSES), {"minibatch_size": 1}),
    ],
)
def test_nothing_is_tried_where_it_learns_or_nothing_normalises(module: Any, options: dict[str, Any]) -> None:
    assert ready(seeded(module), **options).probe_baseline().normalization is None


def deep(norm: type[nn.BatchNorm1d] = Frozen) -> nn.Module:
    return normalized(24, norm, dropout=0.01)


def test_statistics_that_an_export_for_training_keeps_frozen_are_tried() -> None:
    cells = ready(seeded(deep), training=True)
    trial = cells.probe_baseline().normalization
    assert trial is not None
    assert trial.frozen
    assert not trial.learns
    assert trial.run.end > 0.9
    assert cells.proving.trainer.frozen
    moving = ready(seeded(lambda: deep(nn.BatchNorm1d)), training=True)
    assert moving.probe_baseline().normalization is None
    assert not moving.proving.trainer.frozen


def test_statistics_that_the_user_freezes_are_tried_and_nothing_is_said_where_it_learns() -> None:
    names = ("*running_mean", "*running_var")
    trial = ready(seeded(normalized), freeze=names).probe_baseline().normalization
    assert trial is not None
    assert trial.frozen
    assert trial.learns
