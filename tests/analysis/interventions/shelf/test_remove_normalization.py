import numpy as np
import pytest
import torch
from torch import nn

from tests.analysis.interventions.builders import applied, operators, outputs, refused
from tests.gallery import ResidualNetwork, export, images, mlp, npz, seeded, xavier

X = np.random.default_rng(0).standard_normal((8, 6, 5)).astype(np.float32)


def test_every_batch_norm_goes_and_the_rest_stays() -> None:
    model = export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16), keep_batch_norm=True)
    edited = operators(applied("no_batch_norm", model, images()).model)
    assert "BatchNormalization" not in edited
    assert edited.count("Conv") == 7
    assert edited.count("Add") == 3


def test_it_says_why_it_does_not_apply() -> None:
    assert "no BatchNormalization" in refused("no_batch_norm", mlp(3, "Tanh", xavier()))


def pooled(norm: nn.Module) -> nn.Module:
    """A convolution, the mean over places, a normalisation of [N, 4, 1], a head."""
    return nn.Sequential(nn.Conv1d(6, 4, 3), nn.AdaptiveAvgPool1d(1), norm, nn.Flatten(), nn.Linear(4, 3))


@pytest.mark.parametrize("norm", [nn.LayerNorm(1), nn.GroupNorm(4, 4)], ids=["layer", "group"])
def test_a_normalisation_of_one_number_goes(norm: nn.Module) -> None:
    module = seeded(lambda: pooled(norm)).eval()
    model = export(module, torch.from_numpy(X[:4]))
    module[2] = nn.Identity()
    expected = module(torch.from_numpy(X)).detach()
    torch.testing.assert_close(outputs("no_idle_norm", model, npz(x=X)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", [nn.LayerNorm((4, 1)), nn.GroupNorm(2, 4)], ids=["layer", "group"])
def test_a_normalisation_of_several_stays(norm: nn.Module) -> None:
    model = export(seeded(lambda: pooled(norm)), torch.from_numpy(X[:4]))
    assert "no normalisation has but one number" in refused("no_idle_norm", model, npz(x=X))


def test_a_normalisation_of_the_only_output_goes_too() -> None:
    body = seeded(lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 1)))
    model = export(nn.Sequential(body, nn.LayerNorm(1)), torch.from_numpy(X[:4, 0]))
    expected = body(torch.from_numpy(X[:, 0])).detach()
    torch.testing.assert_close(outputs("no_idle_norm", model, npz(x=X[:, 0])), expected, rtol=1e-4, atol=1e-5)
