import gc
import io
import math
import warnings
import weakref

import numpy as np
import onnx.parser
import pytest
import torch
from torch import nn

from analysis.facts import Confidence, Measurement, Parity, ParityStatus
from analysis.measure.examine import examine
from analysis.measure.passes import measure
from analysis.measure.reading import IDLE, RUNNING
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from tests.gallery import ResidualNetwork, export, he, images, mlp, npz, vectors, xavier

EQUAL = Parity(reference="onnxruntime", status=ParityStatus.EQUAL)


def subject_of(model: bytes, batch: bytes | None, **options: object) -> Subject:
    return prepare(check_model(model), batch, AnalysisOptions(**options))  # type: ignore[arg-type]


def measured(model: bytes, batch: bytes | None, cotangents: tuple[int, ...] = (0, 1)) -> Measurement:
    return measure(subject_of(model, batch), cotangents=cotangents)


class Original(nn.Module):
    """The network of `export` below, with its own gradients as the truth."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(32, 16), nn.Linear(16, 16), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.third(torch.tanh(self.second(torch.relu(self.first(x)))))


def chain(weights: list[float]) -> bytes:
    """A linear network of width one: everything about it is a product."""
    draws = iter(weights)
    return mlp(0, "Identity", lambda _, o, i: np.full((o, i), next(draws)), sizes=[1] * (len(weights) + 1))


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


def test_flow_of_a_linear_chain_is_the_product_of_its_weights() -> None:
    weights = [3.0, 0.1, 0.5, 0.2, 0.7]
    result = measured(chain(weights), npz(x=np.ones((4, 1), np.float32), target=np.arange(4, dtype=np.float32)))
    expected = math.log10(math.prod(weights[1:]) / np.arange(4).std())  # outputs count in deviations of the targets
    assert result.flow.decades_rms == pytest.approx(expected, rel=1e-5)
    assert result.flow.decades_norm == pytest.approx(expected, rel=1e-5)
    assert result.flow.transport_decades == pytest.approx(expected, rel=1e-5)
    assert result.flow.decades_per_layer == pytest.approx(expected / 5, rel=1e-5)


def test_leverage_of_a_linear_chain_is_its_output_for_every_layer() -> None:
    # Euler: the output is homogeneous of degree one in each weight, so |w df/dw| = |f|.
    result = measured(chain([3.0, 0.1, 0.5]), npz(x=np.full((1, 1), 2.0, np.float32), target=np.zeros(1, np.float32)))
    for stats in result.stats:
        assert stats.leverage_log10 == pytest.approx(math.log10(2.0 * 3.0 * 0.1 * 0.5), rel=1e-5)


def test_function_preserving_rescaling_moves_flow_but_not_leverage() -> None:
    plain = check_model(mlp(6, "Relu", he()))
    arrays = {name: np.array(plain.weights[name]) for name in plain.weights}
    arrays["w0"] *= 1000.0
    arrays["b0"] *= 1000.0
    arrays["w1"] /= 1000.0
    scaled = plain.edited(plain.proto, plain.weights.updated(arrays))
    options = AnalysisOptions()
    before = measure(prepare(plain, vectors(), options), cotangents=(0, 1))
    after = measure(prepare(scaled, vectors(), options), cotangents=(0, 1))
    for first, second in zip(before.stats, after.stats, strict=True):
        assert first.leverage_log10 == pytest.approx(second.leverage_log10, abs=1e-3)
    assert before.flow.decades_rms is not None
    assert after.flow.decades_rms == pytest.approx(before.flow.decades_rms - 3.0, abs=1e-3)


def test_a_linear_network_has_nonlinearity_coefficient_one() -> None:
    isotropic = np.random.default_rng(0).standard_normal((2048, 32)).astype(np.float32)
    batch = npz(x=isotropic, target=np.arange(2048) % 10)
    linear = measured(mlp(4, "Identity", xavier(), width=32), batch)
    assert linear.flow.nonlinearity_coefficient == pytest.approx(1.0, abs=0.1)


def test_flow_of_a_converged_loss_is_that_of_a_random_cotangent() -> None:
    model = chain([2.0, 0.5])
    x = np.linspace(1, 2, 8, dtype=np.float32)[:, None]
    result = measured(model, npz(x=x, target=x))
    assert "converged" in result.flow.absent["decades_rms"]
    expected = math.log10(0.5 / x.std())
    assert result.flow.decades_rms == result.flow.transport_decades == pytest.approx(expected, rel=1e-5)


def test_gradients_that_underflow_in_float32_are_measured_in_float64() -> None:
    subject = subject_of(mlp(60, "Sigmoid", xavier(), width=16), vectors())
    assert subject.precision is torch.float32
    wide, result = examine(subject, EQUAL, AnalysisOptions())
    assert wide.precision is torch.float64
    assert result.flow.decades_rms is not None
    assert -60 < result.flow.decades_rms < -35
    assert all(stats.weight_gradient is not None and stats.weight_gradient.norm > 0 for stats in result.stats)


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


def test_a_bias_in_front_of_batch_norm_is_named_as_cancelled() -> None:
    torch.manual_seed(0)
    model = export(ResidualNetwork(), torch.zeros(2, 3, 16, 16), keep_batch_norm=True)
    result = measured(model, images(16))
    convolutions = [stats for layer, stats in zip(result.layers, result.stats, strict=True) if layer.op == "Conv"]
    assert {stats.cancelled_by for stats in convolutions} == {"BatchNormalization"}


def test_weights_and_their_gradients_are_untouched_afterwards() -> None:
    subject = subject_of(mlp(4, "Relu", he()), vectors())
    before = {name: weight.detach().clone() for name, weight in subject.converted.initializers.items()}
    measure(subject, cotangents=(0, 1))
    assert not subject.converted.training
    for name, weight in subject.converted.initializers.items():
        assert torch.equal(weight, before[name])
        assert weight.grad is None


def test_synthetic_inputs_targets_and_few_samples_cap_confidence() -> None:
    model = mlp(4, "Relu", he())
    assert measured(model, vectors()).confidence_cap is Confidence.HIGH
    assert measured(model, None).confidence_cap is Confidence.MEDIUM
    assert measured(model, vectors(4)).cap_reasons == ("only 4 samples",)
    _, unchecked = examine(
        subject_of(model, vectors()), Parity(reference="", status=ParityStatus.UNAVAILABLE), AnalysisOptions()
    )
    assert unchecked.confidence_cap is Confidence.MEDIUM


def test_the_first_non_finite_value_is_located() -> None:
    broken = """<ir_version: 8, opset_import: ["" : 17]>
    broken (float[N,3] x) => (float[N,2] y) <float[3,2] W = {1,1,1,1,1,1}> {
        [first] h = MatMul(x, W)
        [logarithm] l = Log(h)
        y = Add(l, l)
    }"""
    model = onnx.parser.parse_model(broken).SerializeToString()
    x = -np.ones((4, 3), np.float32)
    found = measured(model, npz(x=x, target=np.array([0, 1, 0, 1]))).non_finite
    assert found is not None
    assert (found.stage, found.node, found.value) == ("forward", "logarithm", "l")


def test_a_gradient_that_is_not_finite_is_located_though_the_forward_is() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    broken (float[N,3] x) => (float[N,2] y) <float[3,2] W = {0,0,0,0,0,0}> {
        [first] h = MatMul(x, W)
        [root] y = Sqrt(h)
    }"""
    model = onnx.parser.parse_model(text).SerializeToString()
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    found = measured(model, npz(x=x, target=np.array([0, 1, 0, 1]))).non_finite
    assert found is not None
    assert (found.stage, found.node) == ("backward", "first")


def test_nothing_of_a_measurement_stays_in_memory() -> None:
    """Hooks and the tensors they hang on are cycles that Python's collector cannot see."""
    subject = subject_of(mlp(6, "Relu", he()), vectors())
    measure(subject, cotangents=(0, 1))
    gone = weakref.ref(subject)
    del subject
    gc.collect()
    assert gone() is None
