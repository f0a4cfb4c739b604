import math

import numpy as np
import pytest
import torch

from analysis.interventions.draws import Constant
from tests.analysis.experiment.experiments import experiment
from tests.analysis.interventions.builders import applied, deviation, drawn
from tests.gallery import mlp, vectors, xavier

SIZES = [32, 48, 10]


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("he", math.sqrt(2 / 32)),
        ("he_uniform", math.sqrt(2 / 32)),
        ("he_fan_out", math.sqrt(2 / 48)),
        ("xavier", math.sqrt(2 / (32 + 48))),
        ("xavier_uniform", math.sqrt(2 / (32 + 48))),
        ("xavier_gain", math.sqrt(2) * math.sqrt(2 / (32 + 48))),
    ],
)
def test_deviations_are_those_of_the_papers(token: str, expected: float) -> None:
    draws = applied(token, mlp(0, "Relu", xavier(), sizes=SIZES)).draws
    assert deviation(draws["w0"]) == pytest.approx(expected)
    assert draws["b0"] == Constant(0.0)


@pytest.mark.parametrize("token", ["he_uniform", "xavier_uniform"])
def test_uniform_laws_are_torchs(token: str) -> None:
    weight = torch.empty(48, 32)
    ours = drawn(token, mlp(0, "Relu", xavier(), sizes=SIZES))["w0"]
    init = torch.nn.init
    init.kaiming_uniform_(weight, nonlinearity="relu") if token == "he_uniform" else init.xavier_uniform_(weight)
    assert np.abs(ours).max() == pytest.approx(weight.abs().max().item(), rel=0.02)
    assert ours.std() == pytest.approx(weight.std().item(), rel=0.05)


def test_the_head_has_gain_1_and_a_swap_changes_the_gain() -> None:
    draws = applied("he", mlp(0, "Relu", xavier(), sizes=SIZES)).draws
    assert deviation(draws["w1"]) == pytest.approx(1 / math.sqrt(48))
    tanh = mlp(3, "Tanh", xavier())
    assert deviation(applied("he", tanh).draws["w0"]) == pytest.approx(5 / 3 / math.sqrt(32))
    assert deviation(applied("relu+he", tanh).draws["w0"]) == pytest.approx(math.sqrt(2 / 32))


def test_the_signal_keeps_its_size_through_a_deep_relu_network() -> None:
    # He et al. 2015: with N(0, 2 / fan_in) the second moment in front of the activations stays 2 E[x^2].
    model = mlp(12, "Relu", xavier(), width=512)
    cells = experiment(model, vectors(512))
    weights = {name: torch.from_numpy(values) for name, values in drawn("he", model, vectors(512)).items()}
    x = cells.structures.unchanged.tensors()[0][0]
    first = x.square().mean()
    for layer in range(11):
        z = x @ weights[f"w{layer}"].T
        x = torch.relu(z)
    assert z.square().mean().item() == pytest.approx(2 * first.item(), rel=0.25)
