"""Convolutions that were exported with and without their BatchNormalization, whose real training tells them apart."""

import io

import numpy as np
import torch
from torch import nn

from analysis.experiment.experiment import Experiment
from analysis.options import AnalysisOptions, Effort
from tests.analysis.experiment.experiments import experiment
from tests.gallery import export, npz, seeded


def convolutions(depth: int, *, normalized: bool) -> nn.Module:
    """As they stand in a network with normalisation: without biases."""
    layers: list[nn.Module] = []
    for place in range(depth):
        layers.append(nn.Conv2d(8 if place else 2, 8, 3, padding=1, bias=False))
        layers += [nn.BatchNorm2d(8)] if normalized else []
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3))


def batch() -> bytes:
    random = np.random.default_rng(0)
    target = random.integers(0, 3, 48)
    x = random.standard_normal((3, 2, 6, 6))[target] + 0.5 * random.standard_normal((48, 2, 6, 6))
    return npz(x=x.astype(np.float32), target=target)


def probed(depth: int, **options: object) -> Experiment:
    model = export(seeded(lambda: convolutions(depth, normalized=False)), torch.zeros(2, 2, 6, 6))
    cells = experiment(model, batch(), AnalysisOptions(**options))  # type: ignore[arg-type]
    cells.probe_baseline()
    return cells


def learns_in_torch(module: nn.Module) -> bool:
    """Twenty steps on the whole batch come under 0.92 of chance."""
    arrays = np.load(io.BytesIO(batch()))
    x, target = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["target"])
    descent = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    for _ in range(20):
        descent.zero_grad()
        loss = nn.functional.cross_entropy(module.train()(x), target)
        loss.backward()
        descent.step()
    return float(loss.detach()) < 0.92 * np.log(3)


def test_what_learns_with_its_normalisation_alone_is_found_out() -> None:
    assert learns_in_torch(seeded(lambda: convolutions(10, normalized=True)))
    assert not learns_in_torch(seeded(lambda: convolutions(10, normalized=False)))
    baseline = probed(10).baseline
    assert baseline.looks_folded
    assert baseline.trains_unfolded


def test_nothing_is_put_back_where_the_graph_learns_or_nothing_was_trained() -> None:
    assert learns_in_torch(seeded(lambda: convolutions(3, normalized=False)))
    assert probed(3).baseline.unfolded is None
    assert probed(10, effort=Effort.QUICK).baseline.unfolded is None
