"""A rate that raw pixels make too large, on a network whose fate was seen in a training in torch."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from analysis.facts import Measurement, Outcome
from analysis.options import AnalysisOptions, Effort, OptimizerName
from tests.analysis.experiment.experiments import experiment
from tests.gallery import export, npz, seeded

RATE = 0.1
PIXELS = np.random.default_rng(0).integers(0, 256, (64, 3, 8, 8)).astype(np.float32)
STANDARD = ((PIXELS - PIXELS.mean((0, 2, 3), keepdims=True)) / PIXELS.std((0, 2, 3), keepdims=True)).astype(np.float32)
CLASSES = (PIXELS[:, 0].mean((1, 2)) > np.median(PIXELS[:, 0].mean((1, 2)))).astype(np.int64)


def network() -> nn.Module:
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 32), nn.ReLU(), nn.Linear(32, 2)
        )
    )


def end_of(x: np.ndarray, steps: int = 200) -> float:
    """By torch's own SGD, over chance."""
    module, inputs, classes = network(), torch.from_numpy(x), torch.from_numpy(CLASSES)
    optimizer = torch.optim.SGD(module.parameters(), RATE)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(inputs), classes).backward()
        optimizer.step()
    return float(nn.functional.cross_entropy(module(inputs), classes).detach()) / np.log(2)


def probed(x: np.ndarray, **options: Any) -> Measurement:
    model = export(network(), torch.zeros(2, *x.shape[1:]))
    how = {"learning_rate": RATE, "optimizer": OptimizerName.SGD} | options
    return experiment(model, npz(x=x, target=CLASSES), AnalysisOptions(**how)).probe_baseline()


def test_a_rate_that_fails_on_raw_pixels_and_learns_on_standardised_ones() -> None:
    assert not end_of(PIXELS) < 0.9
    assert end_of(STANDARD) < 0.6
    probe = probed(PIXELS).probe
    assert probe is not None
    assert not probe.own_learns
    assert probe.standardized is not None
    assert (probe.standardized.outcome, probe.standardized.learning_rate, probe.standardized.own) == (
        Outcome.LEARNT, RATE, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("x", "options"),
    [
        (STANDARD, {}),  # it learns
        (STANDARD, {"learning_rate": 100.0}),  # it fails, and there is nothing to standardise
        (PIXELS, {"learning_rate": 100.0}),  # it fails behind standardised inputs, too
        (PIXELS, {"learning_rate": None}),  # nobody trains so
    ],
)
def test_nothing_is_said_where_the_inputs_are_not_what_fails(x: np.ndarray, options: dict[str, Any]) -> None:
    probe = probed(x, **options).probe
    assert probe is not None
    assert probe.standardized is None


def test_nothing_is_trained_at_effort_quick() -> None:
    assert probed(PIXELS, effort=Effort.QUICK).probe is None
