import numpy as np
import torch
from torch import nn

from tests.analysis.interventions.builders import applied, operators, outputs, refused
from tests.gallery import export, he, mlp, npz, seeded, vectors

X = np.random.default_rng(0).standard_normal((32, 6)).astype(np.float32)


def test_the_network_is_that_of_torch_with_relus_between_the_same_weights() -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)))
    model = export(module, torch.zeros(2, 6))
    recipe = applied("inserted_relu", model, npz(x=X))
    assert operators(recipe.model) == ["Gemm", "Relu", "Gemm", "Relu", "Gemm"]
    assert recipe.cost == "2 nodes inserted"
    first, second, third = module
    expected = third(torch.relu(second(torch.relu(first(torch.from_numpy(X))))))
    torch.testing.assert_close(outputs("inserted_relu", model, npz(x=X)), expected.detach())


def test_a_network_that_bends_or_has_one_layer_is_left_alone() -> None:
    assert "already" in refused("inserted_relu", mlp(3, "Relu", he()), vectors())
    assert "already" in refused("inserted_relu", export(seeded(lambda: nn.Linear(6, 3)), torch.zeros(2, 6)), npz(x=X))
