"""What one pass leaves behind, against torch on the original module."""

import io
import math

import numpy as np
import onnx.parser
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from analysis.facts import Clip, ClipKind, Layer
from analysis.measure.taps import Backward, Taps, _rows_read, sample_axis, unit_axis
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from tests.gallery import CLASSES, INPUTS, export, mlp, normal, npz, seeded, vectors, xavier

VECTOR = torch.zeros(2, INPUTS)


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(INPUTS, 24), nn.Linear(24, CLASSES, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


def subject_of(model: bytes, batch: bytes) -> Subject:
    return prepare(check_model(model), batch, AnalysisOptions())


def listened(subject: Subject, **how: object) -> Taps:
    taps = Taps(subject, **how)
    with taps.listening():
        taps.run(*subject.tensors()).backward()
    return taps


def truth(module: nn.Module) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weight gradients, the hidden value, its gradient and that of the input."""
    batch = np.load(io.BytesIO(vectors()))
    x, target = torch.from_numpy(batch["x"]).requires_grad_(), torch.from_numpy(batch["target"])
    hidden = module.first(x)
    loss = nn.functional.cross_entropy(module.second(torch.relu(hidden)), target)
    at_hidden, at_input = torch.autograd.grad(loss, (hidden, x), retain_graph=True)
    loss.backward()
    return {name: each.grad for name, each in module.named_parameters()}, hidden.detach(), at_hidden, at_input


def test_gradients_of_weights_and_values_are_torch_s() -> None:
    module = seeded(Perceptron)
    gradients, hidden, at_hidden, at_input = truth(module)
    subject = subject_of(export(module, VECTOR), vectors())
    taps = listened(subject, detailed=True)
    names = {name: each.initializer for layer in subject.layers for name, each in layer.parameters.items()}
    assert names["bias"] == "first.bias"
    first, second = subject.layers
    for layer, name in ((first, "first.weight"), (second, "second.weight")):
        found = taps.backward.gradients[layer.parameters["weight"].initializer]
        assert found.norm == pytest.approx(float(gradients[name].norm()), rel=1e-5)
        assert found.max_abs == pytest.approx(float(gradients[name].abs().max()), rel=1e-5)
    assert taps.backward.activations[first.output].norm == pytest.approx(float(at_hidden.norm()), rel=1e-5)
    torch.testing.assert_close(taps.backward.entry[0], at_input, rtol=1e-4, atol=1e-8)
    assert taps.forward.outputs[first.output].norm == pytest.approx(float(hidden.norm()), rel=1e-5)
    assert taps.forward.observations[first.output] == 256
    assert taps.forward.dead[first.output] == pytest.approx(float((hidden.amax(0) <= 0).float().mean()))
    centred = hidden.double() - hidden.double().mean(0)
    expected = math.log10(float(centred.square().sum() / hidden.double().square().sum()))
    assert taps.forward.collapse[first.output] == pytest.approx(expected, abs=1e-5)


def test_gradient_times_weight_is_the_same_for_every_layer_of_a_homogeneous_network() -> None:
    """Euler: the logits are homogeneous of degree one in each weight matrix, so <dL/dW, W> = <dL/dy, y>."""
    subject = subject_of(mlp(5, "Relu", xavier()), vectors())
    taps = listened(subject)
    logits = taps.forward.logits[0].detach().requires_grad_()
    (gradient,) = torch.autograd.grad(subject.objective.loss(logits, subject.tensors()[1]), logits)
    expected = float((gradient * logits).sum().detach())
    products = [taps.backward.products[f"w{layer}"] for layer in range(5)]
    assert products == pytest.approx([expected] * 5, rel=1e-4, abs=1e-7)


def test_the_logits_and_the_entry_are_kept_and_weights_hold_no_gradient() -> None:
    module = seeded(Perceptron)
    subject = subject_of(export(module, VECTOR), vectors())
    taps = listened(subject)
    x = torch.from_numpy(np.load(io.BytesIO(vectors()))["x"])
    torch.testing.assert_close(taps.forward.logits[0].detach(), module(x).detach())
    torch.testing.assert_close(taps.forward.entry[0].detach(), x)
    assert all(weight.grad is None for weight in subject.converted.parameters())
    taps.backward = Backward()
    subject.loss(*subject.tensors()).backward()
    assert taps.backward.gradients == {}  # nobody listens any more


def test_what_takes_passes_of_its_own_is_looked_at_only_when_asked_for() -> None:
    subject = subject_of(mlp(3, "Relu", xavier()), vectors())
    plain, detailed, ranked = listened(subject), listened(subject, detailed=True), listened(subject, ranked=True)
    assert plain.backward.underflow == plain.forward.near_dead == plain.forward.ranks == {}
    assert plain.backward.entry == []
    assert len(detailed.backward.entry) == 1
    assert detailed.backward.underflow.keys() == {"w0", "w1", "w2", "b0", "b1", "b2"}
    assert detailed.forward.near_dead.keys() == {"z0", "z1"}
    assert ranked.forward.ranks.keys() == {"z0", "z1", "z2"}


def test_a_trunk_that_ends_at_the_input_has_the_gradient_there_in_every_pass() -> None:
    """As that of a single layer that is nearly zero: that is a closed head, and the trunk ends in front of it."""
    subject = subject_of(mlp(1, "Relu", normal(0.001)), vectors())
    assert subject.trunk.end == subject.trunk.entry == "x"
    plain, detailed = listened(subject), listened(subject, detailed=True)
    assert plain.backward.activations["x"] == detailed.backward.activations["x"]


def test_gradients_are_clipped_before_they_are_noted() -> None:
    module = seeded(Perceptron)
    gradients, *_ = truth(module)
    subject = subject_of(export(module, VECTOR), vectors())
    taps = listened(subject, clip=Clip(kind=ClipKind.VALUE, max_norm=1e-3))
    name = subject.layers[0].parameters["weight"].initializer
    expected = gradients["first.weight"].clamp(-1e-3, 1e-3)
    assert taps.backward.gradients[name].norm == pytest.approx(float(expected.norm()), rel=1e-5)
    assert taps.backward.gradients[name].max_abs == pytest.approx(1e-3)


def test_rows_of_a_table_that_the_batch_reads_are_told() -> None:
    nodes = "e = Gather(E, i) y = MatMul(e, A)"
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> net (int64[N] i) => (float[N,3] y) {{ {nodes} }}'
    )
    random = np.random.default_rng(0)
    tensors = {"E": random.standard_normal((9, 4)), "A": random.standard_normal((4, 3))}
    model.graph.initializer.extend(
        numpy_helper.from_array(each.astype(np.float32), name) for name, each in tensors.items()
    )
    ids = np.array([1, 7, 7, 3])
    subject = subject_of(model.SerializeToString(), npz(i=ids, target=np.array([0, 1, 2, 0])))
    taps = listened(subject)
    assert taps.backward.rows.keys() == {"E"}
    assert taps.backward.rows["E"].nonzero().flatten().tolist() == [1, 3, 7]
    table = subject.converted.initializers["E"]
    (gradient,) = torch.autograd.grad(subject.loss(*subject.tensors()), table)
    found = taps.backward.gradients["E"]
    assert (found.count, found.zeros, found.non_finite) == (36, int((gradient == 0).sum()), 0)
    assert found.norm == pytest.approx(float(gradient.norm()), rel=1e-5)
    assert taps.backward.products["E"] == pytest.approx(float((gradient * table).sum().detach()), rel=1e-4, abs=1e-7)


def test_a_table_whose_gradient_is_no_number_says_so_of_all_that_are_none() -> None:
    gradient = torch.zeros(5, 2)
    gradient[1], gradient[3, 0] = torch.tensor([1.0, -2.0]), math.nan
    read, present = _rows_read(gradient)
    assert read.tolist() == [False, True, False, False, False]
    assert present.tolist() == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("shape", "samples", "axis"), [((8, 3), 8, 0), ((3, 8), 8, 1), ((8, 8), 8, 0), ((3,), 8, None), ((), 8, None)]
)
def test_the_sample_axis_is_the_first_that_counts_samples(
    shape: tuple[int, ...], samples: int, axis: int | None
) -> None:
    assert sample_axis(torch.zeros(shape), samples) == axis


@pytest.mark.parametrize(
    ("op", "shape", "axis"),
    [
        ("Conv", (2, 5, 4, 4), 1),
        ("ConvTranspose", (2, 5, 4), 1),
        ("GroupNormalization", (2, 5, 4, 4), 1),
        ("Gemm", (2, 5), 1),
        ("MatMul", (2, 3, 5), 2),
        ("LayerNormalization", (2, 3, 5), 2),
        ("BatchNormalization", (5,), 0),
    ],
)
def test_units_lie_where_the_operator_puts_them(op: str, shape: tuple[int, ...], axis: int) -> None:
    layer = Layer(id="layer-01", name="", op=op, depth=1, on_trunk=True, parameters={}, output="y")
    assert unit_axis(layer, torch.zeros(shape)) == axis


@pytest.mark.parametrize(("loss", "judged"), [("automatic", False), ("mse", True)])
def test_the_activation_that_the_loss_is_read_in_front_of_is_not_judged(loss: str, *, judged: bool) -> None:
    """A sigmoid at the end is a reading of the logits, and saturates in whoever is sure; squared error is behind it."""
    module = seeded(lambda: nn.Sequential(nn.Linear(INPUTS, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid()))
    x = np.load(io.BytesIO(vectors()))["x"]
    batch = npz(x=x, target=(x[:, :1] > 0).astype(np.float32))
    subject = prepare(check_model(export(module, VECTOR)), batch, AnalysisOptions(loss=loss))
    first, last = subject.layers
    assert last.activation == "Sigmoid"
    saturated = listened(subject).forward.saturated
    assert first.pre_activation in saturated
    assert (last.pre_activation in saturated) is judged
