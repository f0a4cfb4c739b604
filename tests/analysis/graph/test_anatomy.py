"""What is read off graph and weights, against torch's gradients, closed forms and the modules the graphs come from."""

from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from onnx import helper
from torch import nn

from tests.analysis.graph.subjects import IMAGE, VECTOR, LayerScale, Residual, anatomy_of, drawn, written
from tests.gallery import INPUTS, export, he, mlp, seeded

# ------------------------------------------------------------------ layer scales


@pytest.mark.parametrize(("size", "seen"), [(1e-6, True), (0.1, True), (0.5, False), (1.0, False)])
def test_a_small_learnt_factor_that_ends_a_branch_is_a_layer_scale(size: float, seen: bool) -> None:
    sizes = iter([size, 0.8 * size, 0.9 * size])  # the exporter would share equal ones
    anatomy = anatomy_of(export(seeded(lambda: Residual(lambda: LayerScale(next(sizes)))), VECTOR))
    names = [f"ends.{block}.gamma" for block in range(3)]
    expected = dict(zip(names, [size, 0.8 * size, 0.9 * size], strict=True)) if seen else {}
    assert anatomy.layer_scales == pytest.approx(expected)


# ------------------------------------------------------------------ biases that come to nothing


class Normed(nn.Module):
    """A biased layer, what stands behind it, and a head."""

    def __init__(self, layer: nn.Module, *behind: nn.Module) -> None:
        super().__init__()
        self.layer, self.behind, self.head = layer, nn.Sequential(*behind), nn.LazyLinear(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.behind(self.layer(x)).flatten(1))


@pytest.mark.parametrize(
    ("build", "example"),
    [
        (lambda: Normed(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Tanh()), IMAGE),
        (lambda: Normed(nn.ConvTranspose2d(3, 6, 3), nn.BatchNorm2d(6), nn.Tanh()), IMAGE),
        (lambda: Normed(nn.Conv2d(3, 6, 3), nn.InstanceNorm2d(6, affine=True), nn.Tanh()), IMAGE),
        (lambda: Normed(nn.Linear(INPUTS, 16), nn.BatchNorm1d(16), nn.Tanh()), VECTOR),
        (lambda: Normed(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.BatchNorm2d(6)), IMAGE),
        (lambda: Normed(nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.Tanh()), IMAGE),
        (lambda: Normed(nn.Linear(INPUTS, 16), nn.LayerNorm(16), nn.Tanh()), VECTOR),
        (lambda: Normed(nn.Linear(INPUTS, 16), nn.Tanh()), VECTOR),
    ],
    ids=["conv bn", "deconv bn", "conv in", "linear bn", "activation first", "group norm", "layer norm", "none"],
)  # fmt: skip
def test_a_bias_is_cancelled_where_torch_gives_it_no_gradient(
    build: Callable[[], nn.Module], example: torch.Tensor
) -> None:
    module = seeded(build).train()
    x = torch.randn(64, *example.shape[1:], generator=torch.Generator().manual_seed(0))
    module(x).square().mean().backward()
    nothing = float(module.layer.bias.grad.norm()) < 1e-5 * float(module.layer.weight.grad.norm())
    cancelled = anatomy_of(export(module, example, keep_batch_norm=True)).cancelled
    assert ("layer.bias" in cancelled) == nothing
    assert set(cancelled) <= {"layer.bias"}


def test_a_bias_that_is_read_beside_the_normalisation_counts() -> None:
    nodes = "c = Conv(x, K, b) n = BatchNormalization(c, g, s, m, v) y = Add(n, c)"
    ones = np.ones(4, np.float32)
    model = written(
        "(float[N,2,5] x) => (float[N,4,3] y)", nodes, K=drawn(4, 2, 3), b=ones, g=ones, s=ones, m=ones, v=ones
    )
    assert anatomy_of(model).cancelled == {}


class Projected(nn.Module):
    """Attention with projections of its own, written out."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.head = nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.query(x) @ self.key(x).transpose(1, 2) / 2.0
        return self.head((scores.softmax(-1) @ self.value(x)).mean(1))


def test_the_bias_of_keys_is_cancelled_by_the_softmax_as_torch_confirms() -> None:
    module = seeded(Projected)
    module(torch.randn(16, 6, 8, generator=torch.Generator().manual_seed(0))).square().mean().backward()
    gradients = {name: float(each.grad.norm()) for name, each in module.named_parameters()}
    cancelled = anatomy_of(export(module, torch.zeros(2, 6, 8))).cancelled
    assert cancelled == {"key.bias": "Softmax"}
    assert gradients["key.bias"] < 1e-6 < min(gradients["query.bias"], gradients["value.bias"], gradients["key.weight"])


# ------------------------------------------------------------------ quantisers, and the end of the graph


def test_quantising_nodes_are_those_that_pass_gradients_straight_through() -> None:
    nodes = (
        "a = MatMul(x, A) [first] i = QuantizeLinear(a, step, zero) b = DequantizeLinear(i, step, zero) "
        "r = Relu(b) j = QuantizeLinear(r, step, zero) c = DequantizeLinear(j, step, zero) y = MatMul(c, B)"
    )
    weights = {"A": drawn(4, 8), "B": drawn(8, 3), "step": np.float32(0.1), "zero": np.int8(0)}
    model = written(
        "(float[N,4] x) => (float[N,3] y)", nodes, **{name: np.asarray(each) for name, each in weights.items()}
    )
    assert anatomy_of(model).straight_through == ("first", "j")
    assert anatomy_of(mlp(3, "Relu", he())).straight_through == ()


def ended(*operators: str) -> bytes:
    """A perceptron with these operators behind its last layer."""
    model = onnx.load_from_string(mlp(3, "Relu", he()))
    value = model.graph.output[0].name
    for place, operator in enumerate(operators):
        attributes = {"axis": 1} if operator in {"Softmax", "LogSoftmax", "ArgMax", "Flatten"} else {}
        node = helper.make_node(operator, [value], [f"end{place}"], name=f"{operator}-{place}", **attributes)
        model.graph.node.append(node)
        value = f"end{place}"
    kind = onnx.TensorProto.INT64 if operators[-1:] == ("ArgMax",) else onnx.TensorProto.FLOAT
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(value, kind, None))
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("operators", "read", "links", "activation"),
    [
        ((), (), (), None),
        (("Softmax",), ("Softmax",), (), None),
        (("Softmax", "ArgMax"), ("Softmax", "ArgMax"), (), None),
        (("Softmax", "Softmax"), ("Softmax",), ("Softmax-0",), None),
        (("Sigmoid", "Softmax"), ("Softmax",), ("Sigmoid-0",), None),
        (("Softmax", "Softmax", "LogSoftmax"), ("LogSoftmax",), ("Softmax-1", "Softmax-0"), None),
        (("Softmax", "Flatten", "Softmax"), ("Softmax",), ("Softmax-0",), None),
        (("Relu",), (), (), "Relu"),
        (("Relu", "Softmax"), ("Softmax",), (), "Relu"),
        (("Tanh",), (), (), None),
    ],
)
def test_the_end_of_the_graph_is_read_in_the_order_of_the_data(
    operators: tuple[str, ...], read: tuple[str, ...], links: tuple[str, ...], activation: str | None
) -> None:
    anatomy = anatomy_of(ended(*operators))
    assert (anatomy.head_operators, anatomy.stacked_links) == (read, links)
    assert anatomy.head_activation == activation


# ------------------------------------------------------------------ folded normalisation


def convolutions(*norms: np.ndarray, bias: float | None = 0.0) -> bytes:
    """Convolutions in a row whose channels have these norms."""
    nodes, weights, value, channels = [], {}, "x", 2
    for place, wanted in enumerate(norms):
        kernel = drawn(len(wanted), channels, 3, seed=place)
        kernel *= (wanted / np.linalg.norm(kernel.reshape(len(wanted), -1), axis=1)).reshape(-1, 1, 1)
        weights[f"k{place}"] = kernel.astype(np.float32)
        if bias is not None:
            weights[f"b{place}"] = np.full(len(wanted), bias, np.float32)
        nodes.append(f"c{place} = Conv<pads = [1, 1]>({value}, k{place}{f', b{place}' if bias is not None else ''})")
        value, channels = f"c{place}", len(wanted)
    return written("(float[N,2,5] x) => (float[N,C,L] y)", f"{' '.join(nodes)} y = Identity({value})", **weights)


def test_the_spread_of_channel_norms_is_the_median_over_convolutions_in_decades() -> None:
    norms = [np.array([1.0, 10.0, 3.0]), np.array([0.1, 100.0, 1.0, 1.0]), np.array([2.0, 2.0])]
    assert anatomy_of(convolutions(*norms)).channel_norm_spread == pytest.approx(1.0, abs=1e-5)
    assert anatomy_of(convolutions(*norms, bias=None)).channel_norm_spread is None
    assert anatomy_of(mlp(3, "Relu", he())).channel_norm_spread is None


def test_a_channel_of_zeros_gives_no_spread() -> None:
    anatomy = anatomy_of(convolutions(np.array([1.0, 0.0]), np.array([1.0, 100.0])))
    assert anatomy.channel_norm_spread == pytest.approx(2.0, abs=1e-5)


@pytest.mark.parametrize(("bias", "fresh"), [(0.0, True), (0.3, False)])
def test_biases_of_convolutions_are_fresh_where_all_are_zero(bias: float, fresh: bool) -> None:
    assert anatomy_of(convolutions(np.ones(3), np.ones(2), bias=bias)).fresh_biases is fresh


def test_what_folding_leaves_behind_shows_in_the_convolutions() -> None:
    """No biases, or weights that the exporter named itself."""
    three = [np.ones(3), np.ones(2), np.ones(4)]
    assert anatomy_of(convolutions(*three, bias=None)).folded_share == 1.0
    assert anatomy_of(convolutions(*three)).folded_share == 0.0
    assert anatomy_of(convolutions(*three[:2], bias=None)).folded_share is None
    plain = seeded(lambda: nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(4)), nn.Flatten()))
    normalized = seeded(
        lambda: nn.Sequential(*(m for _ in range(4) for m in (nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))))
    )
    assert anatomy_of(export(plain, IMAGE)).folded_share == 0.0
    assert anatomy_of(export(normalized, IMAGE)).folded_share == 1.0
    assert anatomy_of(export(normalized, IMAGE, keep_batch_norm=True)).folded_share == 0.0


def test_folding_shows_as_a_spread_that_follows_from_the_running_variance() -> None:
    """Folding divides each channel by its deviation; the exporter does it here."""

    def build() -> nn.Module:
        module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
        module[1].running_var.copy_(10.0 ** torch.linspace(-2, 2, 8))
        return module

    module = seeded(build)
    norms = (
        (module[0].weight / torch.sqrt(module[1].running_var + module[1].eps).view(-1, 1, 1, 1)).flatten(1).norm(dim=1)
    )
    expected = float(torch.log10(norms.max() / norms.min()).detach())
    assert anatomy_of(export(module, IMAGE)).channel_norm_spread == pytest.approx(expected, abs=1e-4)
