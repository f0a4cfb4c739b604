"""Gradients of single samples, against torch.func on the original module."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from analysis.facts import SampleGradients
from analysis.measure.per_sample import BATCH_STATISTICS, measure_sample_gradients
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from tests.gallery import export, npz

SAMPLES = 96


def vectors(samples: int = SAMPLES) -> bytes:
    random = np.random.default_rng(0)
    x = random.standard_normal((samples, 6)).astype(np.float32)
    return npz(x=x, target=(x[:, :3].argmax(1)))


def subject_of(module: nn.Module, example: torch.Tensor, content: bytes) -> Subject:
    return prepare(check_model(export(module, example)), content, AnalysisOptions())


def truth(module: nn.Module, content: bytes, count: int) -> tuple[np.ndarray, float]:
    """Norms of each sample's gradient and of their mean, one sample after the other."""
    arrays = np.load(io.BytesIO(content))
    x, target = torch.from_numpy(arrays["x"][:count]), torch.from_numpy(arrays["target"][:count])
    rows = []
    for place in range(count):
        loss = nn.functional.cross_entropy(module(x[place : place + 1]), target[place : place + 1])
        rows.append(torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(module.parameters()))]).double())
    stacked = torch.stack(rows)
    return stacked.norm(dim=1).numpy(), float(stacked.mean(0).norm())


def seeded(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for layer in layers:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("method", "count", "layers"),
    [
        (
            "ghost",
            SAMPLES,
            lambda: (nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8, bias=False), nn.ReLU(), nn.Linear(8, 3)),
        ),
        ("loop", 32, lambda: (nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3))),
    ],
)
def test_norms_coherence_and_noise_are_those_of_single_backward_passes(method: str, count: int, layers: object) -> None:
    module = seeded(*layers())
    found = measure_sample_gradients(subject_of(module, torch.zeros(2, 6), vectors()), batch_statistics=False)
    norms, mean = truth(module, vectors(), count)
    assert isinstance(found, SampleGradients)
    assert (found.method, found.samples) == (method, count)
    assert found.least_norm == pytest.approx(norms.min(), rel=1e-4)
    assert found.largest_norm == pytest.approx(norms.max(), rel=1e-4)
    squares = np.square(norms).mean()
    assert found.coherence == pytest.approx(count * mean**2 / squares, rel=1e-4)
    signal, noise = (count * mean**2 - squares) / (count - 1), (squares - mean**2) / (1 - 1 / count)
    assert found.noise_scale == pytest.approx(noise / signal, rel=1e-3)


def test_equal_samples_agree_completely() -> None:
    content = npz(x=np.ones((8, 6), np.float32), target=np.zeros(8, np.int64))
    module = seeded(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    found = measure_sample_gradients(subject_of(module, torch.zeros(2, 6), content), batch_statistics=False)
    assert isinstance(found, SampleGradients)
    assert found.coherence == pytest.approx(8, rel=1e-4)


def test_batch_statistics_have_no_gradient_of_a_single_sample() -> None:
    subject = subject_of(seeded(nn.Linear(6, 3)), torch.zeros(2, 6), vectors())
    assert measure_sample_gradients(subject, batch_statistics=True) == BATCH_STATISTICS
