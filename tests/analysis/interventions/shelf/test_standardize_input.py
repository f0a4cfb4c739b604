from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from tests.analysis.interventions.builders import composed, refused
from tests.gallery import Transformer, export, mlp, npz, seeded, tokens, xavier


def test_features_have_mean_0_and_deviation_1_behind_it() -> None:
    random = np.random.default_rng(0)
    x = (random.standard_normal((64, 32)) * np.logspace(-2, 3, 32) + 100).astype(np.float32)
    x[:, 3] = 7.0  # a feature that does not vary is only centred
    recipe, subject = composed("standardized", mlp(3, "Tanh", xavier()), npz(x=x))
    seen = list[torch.Tensor]()
    inputs, _ = subject.tensors()
    value = next(node for node in recipe.model.nodes if node.op_type == "Gemm").input[0]
    with torch.no_grad():
        subject.converted.observe(inputs, {value: [seen.append]})
    assert seen[0].mean(0).abs().max() < 1e-2
    deviation = seen[0].std(0, correction=0)
    assert deviation[3] == 0
    others = torch.cat([deviation[:3], deviation[4:]])
    torch.testing.assert_close(others, torch.ones(31), rtol=1e-2, atol=0)


def test_values_far_from_all_others_are_moved_near_and_decide_nothing() -> None:
    x = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    x[:16, 5] = -9999.0
    recipe, subject = composed("standardized", mlp(3, "Tanh", xavier()), npz(x=x))
    seen = list[torch.Tensor]()
    inputs, _ = subject.tensors()
    value = next(node for node in recipe.model.nodes if node.op_type == "Gemm").input[0]
    with torch.no_grad():
        subject.converted.observe(inputs, {value: [seen.append]})
    others = (seen[0][16:, 5].std() > 0.1) & (seen[0].abs().max() < 5)
    assert others
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(32), rtol=0, atol=1e-2)
    assert recipe.words.startswith("bring values 8e+03 deviations from all others within 10, standardise the input")
    assert recipe.cost == "4 nodes inserted"


def test_it_says_why_it_does_not_apply() -> None:
    x = np.random.default_rng(0).standard_normal((256, 32))
    x = (x - x.mean(0)) / x.std(0)
    assert "already" in refused("standardized", mlp(3, "Tanh", xavier()), npz(x=x.astype(np.float32)))
    ids = export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64))
    assert "floating-point" in refused("standardized", ids, tokens())


@pytest.mark.parametrize("channels_differ", [True, False])
def test_images_are_standardised_per_channel(channels_differ: bool) -> None:
    model = export(seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())), torch.zeros(2, 3, 8, 8))
    x = np.random.default_rng(0).uniform(0, 255, (16, 3, 8, 8))
    if channels_differ:
        x[:, 1] *= 0.01
    recipe, _ = composed("standardized", model, npz(x=x.astype(np.float32)))
    shapes = {recipe.model.weights[name].shape for name in recipe.model.weights if "mean" in name}
    assert shapes == {(1, 3, 1, 1)}


@pytest.mark.parametrize(
    ("network", "x"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), torch.zeros(2, 4)),
        (lambda: nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 2)), torch.zeros(2, 1)),
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2)), torch.zeros(2, 1, 8, 8)),
    ],
)
def test_what_is_taken_off_is_no_parameter_and_no_layer(network: Callable[[], nn.Module], x: torch.Tensor) -> None:
    """A division by twenty thousand in front of the first layer would look like a gradient that vanishes."""
    model = export(seeded(network), x)
    samples = np.random.default_rng(0).uniform(20_000, 80_000, (16, *x.shape[1:])).astype(np.float32)
    _, subject = composed("standardized", model, npz(x=samples))
    assert sorted(subject.converted.initializers) == sorted(name for name, _ in seeded(network).named_parameters())
    assert next(layer.op for layer in subject.layers if layer.on_trunk) in {"Gemm", "Conv"}
