"""What the passes left behind, as facts: statistics of normalisations, confidence, what cancels what."""

import io
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from analysis.facts import Confidence, Parity, ParityStatus
from analysis.measure.examine import examine
from analysis.measure.reading import IDLE, RUNNING
from analysis.options import AnalysisOptions
from tests.analysis.measure.builders import measured, subject_of
from tests.gallery import ResidualNetwork, export, he, images, mlp, npz, vectors


def test_batch_norm_uses_the_batch_where_it_sees_enough_values_and_says_so() -> None:
    torch.manual_seed(0)
    network = export(ResidualNetwork(), torch.zeros(2, 3, 16, 16), keep_batch_norm=True)
    assert measured(network, images(16)).batch_statistics
    torch.manual_seed(0)
    flat = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    model = export(flat, torch.zeros(2, 8), keep_batch_norm=True)
    random = np.random.default_rng(0)
    for samples, expected in ((31, False), (32, True)):
        batch = npz(x=random.standard_normal((samples, 8)).astype(np.float32), target=np.arange(samples) % 4)
        found = measured(model, batch)
        assert found.batch_statistics is expected
        assert found.idle_normalization is not expected  # they are still 0 and 1
        assert (RUNNING in found.batch.notes, IDLE in found.cap_reasons) == (not expected, not expected)


def test_an_export_for_training_asks_for_the_statistics_of_any_batch() -> None:
    torch.manual_seed(0)
    network, file = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (torch.zeros(16, 8),), file, dynamo=False, training=torch.onnx.TrainingMode.TRAINING,
            do_constant_folding=False,
        )  # fmt: skip
    found = measured(file.getvalue(), None)
    assert RUNNING not in found.batch.notes
    assert not found.idle_normalization


def test_running_statistics_that_training_has_collected_normalise() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    network(torch.randn(64, 8))
    random = np.random.default_rng(0)
    batch = npz(x=random.standard_normal((16, 8)).astype(np.float32), target=np.arange(16) % 4)
    found = measured(export(network, torch.zeros(2, 8), keep_batch_norm=True), batch)
    assert RUNNING in found.batch.notes
    assert not found.idle_normalization
    assert IDLE not in found.cap_reasons


@pytest.mark.parametrize("opset", [13, 17])
def test_a_normalisation_counts_however_it_is_written(opset: int) -> None:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4))
        torch.onnx.export(network, (torch.zeros(16, 8),), file, dynamo=False, opset_version=opset)
    assert measured(file.getvalue(), None).normalized
    assert not measured(mlp(3, "Relu", he()), vectors()).normalized


def test_a_bias_in_front_of_batch_norm_is_named_as_cancelled() -> None:
    torch.manual_seed(0)
    model = export(ResidualNetwork(), torch.zeros(2, 3, 16, 16), keep_batch_norm=True)
    result = measured(model, images(16))
    convolutions = [stats for layer, stats in zip(result.layers, result.stats, strict=True) if layer.op == "Conv"]
    assert {stats.cancelled_by for stats in convolutions} == {"BatchNormalization"}


def test_synthetic_inputs_targets_and_few_samples_cap_confidence() -> None:
    model = mlp(4, "Relu", he())
    assert measured(model, vectors()).confidence_cap is Confidence.HIGH
    assert measured(model, None).confidence_cap is Confidence.MEDIUM
    assert measured(model, vectors(4)).cap_reasons == ("only 4 samples",)
    _, unchecked = examine(
        subject_of(model, vectors()), Parity(reference="", status=ParityStatus.UNAVAILABLE), AnalysisOptions()
    )
    assert unchecked.confidence_cap is Confidence.MEDIUM


def test_the_last_layer_of_a_block_is_told_the_gradient_at_its_output() -> None:
    """z = W0 x, s = z + W2 relu(W1 z), y = W3 s: dL/ds is W3' dL/dy, by hand."""
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 4)
            self.branch = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = self.first(x)
            stream: torch.Tensor = z + self.branch(z)
            return self.last(stream)  # type: ignore[no-any-return]

    net, x, target = Net(), torch.randn(32, 8), torch.arange(32) % 4
    found = measured(export(net, x), npz(x=x.numpy(), target=target.numpy()))
    softmax = net(x).softmax(1) - nn.functional.one_hot(target, 4)
    expected = ((softmax / 32) @ net.last.weight).detach()
    ends = [each.block_gradient for each in found.stats]
    assert [each is None for each in ends] == [True, True, False, True]
    assert ends[2] is not None
    assert ends[2].norm == pytest.approx(float(expected.norm()), rel=1e-4)
    assert ends[2].rms == pytest.approx(float(expected.square().mean().sqrt()), rel=1e-4)
