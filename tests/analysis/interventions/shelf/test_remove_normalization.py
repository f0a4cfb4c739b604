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


class Pooled(nn.Module):
    """A convolution, the mean over places, a normalisation of what is left, a head."""

    def __init__(self, norm: nn.Module, *, narrow: bool = False) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Conv1d(6, 4, 3), norm, nn.Linear(1 if narrow else 4, 3)
        self.narrow = nn.Linear(4, 1) if narrow else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = self.body(x).mean(2, keepdim=True)
        return self.head(self.norm(self.narrow(pooled.flatten(1)) if self.head.in_features == 1 else pooled).flatten(1))


@pytest.mark.parametrize(
    ("norm", "narrow"),
    [(nn.LayerNorm(1), True), (nn.LayerNorm((4, 1)), False), (nn.GroupNorm(4, 4), False),
     (nn.GroupNorm(2, 4), False)],
)  # fmt: skip
def test_a_normalisation_of_one_number_goes_and_one_of_several_stays(norm: nn.Module, *, narrow: bool) -> None:
    module = seeded(lambda: Pooled(norm, narrow=narrow)).eval()
    model = export(module, torch.from_numpy(X[:4]))
    if (isinstance(norm, nn.LayerNorm) and not narrow) or (isinstance(norm, nn.GroupNorm) and norm.num_groups == 2):
        assert "no normalisation has but one number" in refused("no_idle_norm", model, npz(x=X))
        return
    module.norm = nn.Identity()
    expected = module(torch.from_numpy(X)).detach()
    torch.testing.assert_close(outputs("no_idle_norm", model, npz(x=X)), expected, rtol=1e-4, atol=1e-5)


def test_a_normalisation_of_the_only_output_goes_too() -> None:
    body = seeded(lambda: nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 1)))
    model = export(nn.Sequential(body, nn.LayerNorm(1)), torch.from_numpy(X[:4, 0]))
    expected = body(torch.from_numpy(X[:, 0])).detach()
    torch.testing.assert_close(outputs("no_idle_norm", model, npz(x=X[:, 0])), expected, rtol=1e-4, atol=1e-5)
