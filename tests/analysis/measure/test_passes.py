import gc
import io
import math
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from analysis.facts import Parity, ParityStatus
from analysis.measure.passes import measure
from tests.analysis.measure.builders import measured, subject_of
from tests.gallery import ResidualNetwork, export, he, images, mlp, vectors

EQUAL = Parity(reference="onnxruntime", status=ParityStatus.EQUAL)


class Original(nn.Module):
    """The network of `export` below, with its own gradients as the truth."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(32, 16), nn.Linear(16, 16), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.third(torch.tanh(self.second(torch.relu(self.first(x)))))


def test_gradients_and_activations_are_those_of_the_original_module() -> None:
    torch.manual_seed(3)
    module = Original()
    arrays = np.load(io.BytesIO(vectors()))
    x, target = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["target"])
    result = measured(export(module, x[:2]), vectors())
    loss = nn.functional.cross_entropy(module(x), target)
    loss.backward()
    assert result.loss.value == pytest.approx(loss.item(), rel=1e-6)
    assert result.loss.chance == pytest.approx(-sum(p * math.log(p) for p in np.bincount(target) / len(target)))
    for layer, stats in zip((module.first, module.second, module.third), result.stats, strict=True):
        weight, gradient = layer.weight, layer.weight.grad
        assert gradient is not None
        assert stats.weight_gradient is not None
        assert stats.weight_gradient.norm == pytest.approx(gradient.norm().item(), rel=1e-5)
        assert stats.weight_gradient.max_abs == pytest.approx(gradient.abs().max().item(), rel=1e-5)
        assert stats.vector_gradient is not None
        assert layer.bias.grad is not None
        assert stats.vector_gradient.norm == pytest.approx(layer.bias.grad.norm().item(), rel=1e-5)
        assert stats.weight is not None
        assert stats.weight.norm == pytest.approx(weight.norm().item(), rel=1e-6)
        assert stats.update_ratio == pytest.approx((gradient.norm() / weight.norm()).item(), rel=1e-5)
    hidden = module.first(x)
    first = result.stats[0].activation
    assert first is not None
    assert first.mean == pytest.approx(hidden.mean().item(), rel=1e-4, abs=1e-6)
    assert first.std == pytest.approx(hidden.std(correction=0).item(), rel=1e-4)
    assert first.observations == len(x)
    assert first.dead_fraction == pytest.approx((hidden.amax(0) <= 0).float().mean().item())
    total = torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])
    assert result.total_gradient_norm == pytest.approx(total.item(), rel=1e-5)


def test_train_mode_gradients_are_those_of_the_original_module() -> None:
    torch.manual_seed(1)
    module = ResidualNetwork(channels=8, blocks=2)
    model = export(module, torch.zeros(2, 3, 16, 16), keep_batch_norm=True)
    arrays = np.load(io.BytesIO(images(16)))
    result = measured(model, images(16))
    module.train()
    nn.functional.cross_entropy(module(torch.from_numpy(arrays["x"])), torch.from_numpy(arrays["target"])).backward()
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    for layer, stats in zip(result.layers, result.stats, strict=True):
        if "weight" in layer.parameters and stats.weight_gradient is not None:
            truth = gradients[layer.parameters["weight"].initializer]
            assert truth is not None
            assert stats.weight_gradient.norm == pytest.approx(truth.norm().item(), rel=1e-3)


def test_weights_and_their_gradients_are_untouched_afterwards() -> None:
    subject = subject_of(mlp(4, "Relu", he()), vectors())
    before = {name: weight.detach().clone() for name, weight in subject.converted.initializers.items()}
    measure(subject, cotangents=(0, 1))
    assert not subject.converted.training
    for name, weight in subject.converted.initializers.items():
        assert torch.equal(weight, before[name])
        assert weight.grad is None


def test_nothing_of_a_measurement_stays_in_memory() -> None:
    """Hooks and the tensors they hang on are cycles that Python's collector cannot see."""
    subject = subject_of(mlp(6, "Relu", he()), vectors())
    measure(subject, cotangents=(0, 1))
    gone = weakref.ref(subject)
    del subject
    gc.collect()
    assert gone() is None
