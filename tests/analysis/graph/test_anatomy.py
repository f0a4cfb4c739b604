"""What is read off graph and weights, against torch's gradients, closed forms and the modules the graphs come from."""

import re
from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from analysis.facts import Anatomy
from analysis.graph.anatomy import find_anatomy
from analysis.graph.attention import find_attention
from analysis.graph.sources import find_sources
from analysis.graph.trunk import find_trunk, mark_trunk
from analysis.model import check_model
from analysis.model.signature import SIGNATURE
from tests.analysis.graph.graphs import head_of, layers_of, model, proto
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


# ------------------------------------------------------------------ layers of zeros


def scaled(*sizes: float) -> nn.Module:
    """Normalised layers whose scales start at these sizes, and a head."""
    layers: list[nn.Module] = []
    for size in sizes:
        layers += [nn.Linear(INPUTS, INPUTS), nn.BatchNorm1d(INPUTS), nn.ReLU()]
        nn.init.constant_(layers[-2].weight, size)
    return nn.Sequential(*layers, nn.Linear(INPUTS, 4))


def test_a_scale_of_zero_on_the_trunk_is_a_layer_of_zeros() -> None:
    anatomy = anatomy_of(export(seeded(lambda: scaled(1.0, 0.0, 0.5)), VECTOR))
    assert anatomy.zero_layers == ("layer-04",)
    assert anatomy.zero_branches == ()


def test_matrices_of_zeros_on_the_trunk_are_layers_of_zeros_and_a_last_one_is_the_head() -> None:
    module = seeded(lambda: nn.Sequential(nn.Linear(INPUTS, 8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4)))
    for layer in (module[1], module[-1]):
        nn.init.zeros_(layer.weight)
    anatomy = anatomy_of(export(module, VECTOR))
    assert anatomy.zero_layers == ("layer-02",)
    assert anatomy.zero_head == "layer-03"


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


def test_beside_the_normalisation_of_attention_only_names_tell_what_was_folded() -> None:
    """A bias may be missing for any normalisation behind it."""
    norm = nn.LayerNorm(4)
    folded = seeded(
        lambda: nn.Sequential(*(m for _ in range(4) for m in (nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))), norm)
    )
    unbiased = seeded(lambda: nn.Sequential(*(nn.Conv2d(3, 3, 1, bias=False) for _ in range(4)), norm))
    image = torch.randn(2, 3, 4, 4)
    assert anatomy_of(export(folded, image)).folded_share == 1.0
    assert anatomy_of(export(unbiased, image)).folded_share == 0.0


@pytest.mark.parametrize("normalized", [True, False])
def test_a_file_that_names_the_tensors_of_the_module_says_whether_something_could_be_folded(
    *, normalized: bool
) -> None:
    """Biases of zero are dropped by the exporter, as those are that a normalisation takes over."""
    proto = onnx.load_from_string(convolutions(*[np.ones(3)] * 3, bias=None))
    assert anatomy_of(proto.SerializeToString()).kept_statistics is None
    statistics = "b_1_running_mean: BUFFER target='1.running_mean' persistent=True"
    proto.graph.metadata_props.add(
        key=SIGNATURE, value=f"p_0_weight: PARAMETER target='0.weight'\n{statistics if normalized else ''}"
    )
    anatomy = anatomy_of(proto.SerializeToString())
    assert anatomy.kept_statistics is normalized
    assert anatomy.folded_share == 1.0


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


# ------------------------------------------------------------------ read off the graph alone


def read(nodes: str, inputs: str = "float[N,4] x", **weights: np.ndarray) -> Anatomy:
    """The anatomy of a graph whose layers are marked, without a batch."""
    words = set(re.findall(r"\w+", nodes))
    known = {"w": drawn(4, 4), "v": drawn(4, 4, seed=1), "tiny": np.full(4, -1e-3, np.float32), **weights}
    checked = model(nodes, inputs, **{name: array for name, array in known.items() if name in words})
    sources, head = find_sources(checked), head_of(checked)
    layers = mark_trunk(layers_of(checked), find_trunk(checked, sources, layers_of(checked), head.value))
    return find_anatomy(checked.weights, checked, sources, layers, head, find_attention(checked, sources))


@pytest.mark.parametrize(
    ("nodes", "scales"),
    [
        ("h = MatMul(x, w) b = Mul(h, tiny) y = Add(x, b)", {"tiny": 1e-3}),
        ("h = MatMul(x, w) b = Mul(tiny, h) y = Add(x, b)", {"tiny": 1e-3}),
        ("h = MatMul(x, w) s = Mul(h, tiny) y = Relu(s)", {}),
        ("h = MatMul(x, w) b = LayerNormalization(h, tiny) y = Add(x, b)", {}),
        ("h = MatMul(x, w) b = Mul(h, mixed) y = Add(x, b)", {}),
        ("h = MatMul(x, w) b = Mul(h, edge) y = Add(x, b)", {"edge": 0.1}),
        ("h = MatMul(x, w) b = Mul(h, half) y = Add(x, b)", {"half": pytest.approx(1e-3, rel=1e-3)}),
        ("h = MatMul(x, w) b = Mul(h, nothing) y = Add(x, b)", {}),
        ("h = MatMul(x, w) b = Add(h, tiny) y = Add(x, b)", {}),
    ],
    ids=["branch", "on the left", "trunk", "normalisation", "one is large", "edge", "half precision", "zero", "bias"],
)  # fmt: skip
def test_a_layer_scale_is_a_product_off_the_trunk_whose_largest_number_is_small(
    nodes: str, scales: dict[str, float]
) -> None:
    mixed = np.array([1e-3, 1e-3, -0.2, 1e-3], np.float32)
    found = read(nodes, mixed=mixed, edge=np.array([0.1, -0.1, 0.05, 0], np.float32),
                 half=np.full(4, 1e-3, np.float16), nothing=np.zeros(4, np.float32))  # fmt: skip
    assert found.layer_scales == scales


@pytest.mark.parametrize(
    ("nodes", "cancelled"),
    [
        ("h = Conv(x, k, b) y = BatchNormalization(h, s, o, m, n)", {"b": "BatchNormalization"}),
        ("h = Conv(x, k, b) a = Add(h, c) y = BatchNormalization(a, s, o, m, n)",
         {"b": "BatchNormalization", "c": "BatchNormalization"}),
        ("h = InstanceNormalization(x, s, o) y = BatchNormalization(h, s, c3, m, n)", {}),
        ("h = Conv(x, k, b) y = Relu(h)", {}),
    ],
    ids=["convolution", "two biases", "normalisation", "activation"],
)  # fmt: skip
def test_every_bias_of_a_linear_layer_in_front_of_a_normalisation_comes_to_nothing(
    nodes: str, cancelled: dict[str, str]
) -> None:
    vectors = {name: drawn(4, seed=place) for place, name in enumerate(("b", "s", "o", "m", "c3"))}
    found = read(nodes, "float[N,4,5] x", k=drawn(4, 4, 1), c=drawn(4, 1, seed=9), n=np.ones(4, np.float32), **vectors)
    assert found.cancelled == cancelled


@pytest.mark.parametrize(
    ("nodes", "rounding"),
    [
        ("i, s, z = DynamicQuantizeLinear(x) d = DequantizeLinear(i, s, z) y = MatMul(d, w)", ("i",)),
        ("i = QuantizeLinear(x, step) d = DequantizeLinear(i, step) y = MatMul(d, w)", ("i",)),
        ("h = MatMul(x, w) r = Round(h) y = Relu(h)", ()),
        ("""i = QuantizeLinear(x, step, o) j = QLinearMatMul(i, step, o, q, step, o, step, o)
            d = DequantizeLinear(j, step, o) y = MatMul(d, w)""", ("i", "j")),
    ],
    ids=["dynamic", "static", "rounded", "quantised product"],
)  # fmt: skip
def test_rounding_to_integers_is_told_by_node(nodes: str, rounding: tuple[str, ...]) -> None:
    found = read(nodes, step=np.float32(0.1), o=np.uint8(0), q=np.ones((4, 4), np.uint8))
    assert found.straight_through == rounding


@pytest.mark.parametrize(
    ("behind", "activation", "links"),
    [
        ("y = Relu(h)", "Relu", ()),
        ("y = Tanh(h)", None, ()),
        ("y = LeakyRelu(h)", "LeakyRelu", ()),
        ("y = Sigmoid(h)", None, ()),
        ("s = Sigmoid(h) y = Identity(s)", None, ()),
        ("s = Sigmoid(h) y = Softmax(s)", None, ("s",)),
        ("s = Sigmoid(h) d = Dropout(s) f = Flatten(d) y = Softmax(f)", None, ("s",)),
        ("s = Sigmoid(h) r = Relu(s) y = Softmax(r)", "Relu", ()),
        ("s = Softmax(h) t = Sigmoid(s) y = LogSoftmax(t)", None, ("t", "s")),
        ("r = Relu(h) y = Identity(r)", "Relu", ()),
    ],
)
def test_what_stands_in_front_of_the_logits_is_told(
    behind: str, activation: str | None, links: tuple[str, ...]
) -> None:
    found = read(f"h = MatMul(x, w) {behind}")
    assert (found.head_activation, found.stacked_links) == (activation, links)


def test_a_layer_of_zeros_on_the_trunk_is_no_branch_and_one_off_it_is() -> None:
    zero = np.zeros((4, 4), np.float32)
    assert read("h = MatMul(x, zero) r = Relu(h) y = MatMul(r, w)", zero=zero).zero_branches == ()
    found = read("h = MatMul(x, w) r = Relu(h) b = MatMul(r, zero) s = Add(r, b) y = MatMul(s, v)", zero=zero)
    assert found.zero_branches == ("layer-02",)
    head = read("h = MatMul(x, w) r = Relu(h) y = MatMul(r, zero)", zero=zero)
    assert (head.zero_head, head.zero_branches) == ("layer-02", ())


def test_a_closed_head_is_no_branch_where_the_trunk_ends_in_front_of_it() -> None:
    checked = model("h = MatMul(x, w) r = Relu(h) y = MatMul(r, z)", w=drawn(4, 4), z=np.zeros((4, 4), np.float32))
    layers = layers_of(checked)  # none of them marked
    found = find_anatomy(checked.weights, checked, find_sources(checked), layers, head_of(checked), ())
    assert (found.zero_head, found.zero_branches) == ("layer-02", ())


def test_biases_are_fresh_where_all_those_of_convolutions_are_zero() -> None:
    nothing, some, kernel = np.zeros(4, np.float32), np.array([0, 0, 1, 0], np.float32), drawn(4, 4, 1)

    def fresh(nodes: str, **biases: np.ndarray) -> bool:
        return read(nodes, "float[N,4,5] x", k=kernel, q=drawn(4, 4, 1, seed=1), **biases).fresh_biases

    assert fresh("h = Conv(x, k, b) y = Conv(h, q, c)", b=nothing, c=nothing)
    assert not fresh("h = Conv(x, k, b) y = Conv(h, q, c)", b=nothing, c=some)
    assert not fresh("h = Conv(x, k, b) y = Conv(h, q, c)", b=some, c=nothing)
    assert fresh("h = Conv(x, k) y = LayerNormalization(h, s, c)", s=np.ones(5, np.float32), c=drawn(5))


@pytest.mark.parametrize(
    ("names", "share"),
    [
        (("m.a", "m.b", "m.c"), 0.0),
        (("onnx::Conv_12", "m.b", "m.c"), 1 / 3),
        (("onnx::Conv_12", "onnx::Conv_5", "onnx::Conv_7"), 1.0),
        (("onnx::Conv_12x", "m.onnx::Conv_5", "onnx::Conv_"), 0.0),
    ],
)
def test_the_names_of_computed_kernels_tell_what_share_was_folded(names: tuple[str, ...], share: float) -> None:
    nodes, value, made = [], "x", proto("y = Relu(x)", "float[N,4,5] x")
    del made.graph.node[:]
    for place, name in enumerate(names):
        output = f"h{place}" if place < 2 else "y"
        nodes.append(helper.make_node("Conv", [value, name, f"b{place}"], [output]))
        made.graph.initializer.extend(
            [numpy_helper.from_array(drawn(4, 4, 1, seed=place), name), numpy_helper.from_array(drawn(4), f"b{place}")]
        )
        value = output
    made.graph.node.extend(nodes)
    checked = check_model(made.SerializeToString())
    found = find_anatomy(checked.weights, checked, find_sources(checked), layers_of(checked), head_of(checked), ())
    assert found.folded_share == pytest.approx(share)


def test_one_channel_has_no_spread_and_other_layers_do_not_count() -> None:
    kernel = np.array([1.0, 10.0], np.float32).reshape(2, 1, 1)
    one, two = np.ones((1, 2, 1), np.float32), np.zeros(2, np.float32)
    alone = read("h = Conv(x, k, b) y = Conv(h, o, c)", "float[N,1,5] x", k=kernel, b=two, o=one, c=two[:1])
    assert alone.channel_norm_spread == pytest.approx(1.0)
    only = read("y = Conv(x, o, c)", "float[N,2,5] x", o=one, c=two[:1])
    assert only.channel_norm_spread is None
    dense = read("y = Gemm(x, g, c)", "float[N,1] x", g=kernel.reshape(1, 2), c=two)
    assert dense.channel_norm_spread is None
    computed = read("m = Mul(k, f) y = Conv(x, m, b)", "float[N,1,5] x", k=kernel, f=kernel, b=two)
    assert computed.channel_norm_spread is None
