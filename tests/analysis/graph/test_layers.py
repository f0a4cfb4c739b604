import io
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper, parser
from torch import nn

from analysis.convert.translate import read_graph
from analysis.facts import Layer
from analysis.graph.activations import find_activation
from analysis.graph.biases import cancelling_operator, find_biases
from analysis.graph.families import ACTIVATIONS
from analysis.graph.layers import find_layers
from analysis.graph.sources import find_sources
from analysis.model import CheckedModel, check_model

RANDOM = np.random.default_rng(20261123)
HEAD = '<ir_version: 10, opset_import: ["": 20]>'


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def proto(nodes: str, inputs: str = "float[N,4] x", outputs: str = "float[] y", **weights) -> ModelProto:
    made = parser.parse_model(f"{HEAD} net ({inputs}) => ({outputs}) {{ {nodes} }}")
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items())
    return made


def model(nodes: str, *interface: str, **weights) -> CheckedModel:
    """ONNX text with these initialisers."""
    return check_model(proto(nodes, *interface, **weights).SerializeToString())


def layers_of(checked: CheckedModel) -> tuple[Layer, ...]:
    return read_graph(checked).layers


def owned(layer: Layer) -> dict[str, str]:
    return {role: info.initializer for role, info in layer.parameters.items()}


def exported(module: nn.Module, *inputs: torch.Tensor) -> CheckedModel:
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own: this exporter is on its way out
        torch.onnx.export(module.eval(), inputs, content, dynamo=False, opset_version=17)
    return check_model(content.getvalue())


# ------------------------------------------------------------------ what is a layer


def test_the_layers_of_a_plain_network_are_its_products_in_order() -> None:
    first, second = layers_of(
        model("h = Gemm(x, w, b) r = Relu(h) y = MatMul(r, v)", w=floats(4, 8), b=floats(8), v=floats(8, 3))
    )
    assert (first.id, first.name, first.op, first.depth) == ("layer-01", "h", "Gemm", 1)
    assert owned(first) == {"weight": "w", "bias": "b"}
    assert first.parameters["weight"].shape == (4, 8)
    assert (first.output, first.activation, first.pre_activation, first.activated) == ("h", "Relu", "h", "r")
    assert (second.id, second.depth, owned(second)) == ("layer-02", 2, {"weight": "v"})
    assert (second.activation, second.pre_activation, second.activated) == (None, None, None)
    assert not first.on_trunk


def test_a_layer_has_the_name_of_its_node_where_it_has_one() -> None:
    made = proto("h = MatMul(x, w) y = Relu(h)", w=floats(4, 4))
    made.graph.node[0].name = "/encoder/MatMul"
    (layer,) = layers_of(check_model(made.SerializeToString()))
    assert layer.name == "/encoder/MatMul"


@pytest.mark.parametrize("addition", ["Add(h, b)", "Add(b, h)"])
@pytest.mark.parametrize("product", ["h = MatMul(x, w)", "h = Gemm(x, w)", "h = Gemm(x, w, c)"])
def test_a_bias_added_behind_a_product_belongs_to_the_layer(product: str, addition: str) -> None:
    (layer,) = layers_of(model(f"{product} p = {addition} y = Relu(p)", w=floats(4, 4), b=floats(4), c=floats(4)))
    roles = {"weight": "w", "bias": "c", "bias.2": "b"} if "c" in product else {"weight": "w", "bias": "b"}
    assert owned(layer) == roles
    assert (layer.op, layer.output, layer.pre_activation, layer.activated) == (product.split()[2][:-3], "p", "p", "y")


@pytest.mark.parametrize("shape", [(1, 6, 1, 1), (6, 1, 1)])
def test_a_bias_added_behind_a_convolution_belongs_to_the_layer(shape: tuple[int, ...]) -> None:
    (layer,) = layers_of(
        model("h = Conv(x, w) y = Add(h, b)", "float[N,3,8,8] x", w=floats(6, 3, 3, 3), b=floats(*shape))
    )
    assert (owned(layer), layer.output) == ({"weight": "w", "bias": "b"}, "y")


def test_a_bias_may_be_a_weight_expression() -> None:
    (layer,) = layers_of(
        model("c = Unsqueeze(b, i) h = MatMul(x, w) y = Add(h, c)", w=floats(4, 4), b=floats(4), i=np.array([0]))
    )
    assert owned(layer) == {"weight": "w", "bias": "b"}


def test_a_positional_embedding_is_a_layer_of_its_own() -> None:
    product, position = layers_of(
        model("h = MatMul(x, w) p = Add(h, e) y = Relu(p)", "float[N,7,4] x", w=floats(4, 4), e=floats(1, 7, 4))
    )
    assert (product.op, owned(product), product.output) == ("MatMul", {"weight": "w"}, "h")
    assert (position.op, owned(position), position.output) == ("Add", {"offset": "e"}, "p")
    assert (product.depth, position.depth) == (1, 2)


def test_an_addition_to_a_product_that_others_read_is_a_layer_of_its_own() -> None:
    product, addition = layers_of(
        model("h = MatMul(x, w) p = Add(h, b) r = Relu(h) y = Add(p, r)", w=floats(4, 4), b=floats(4))
    )
    assert (owned(product), owned(addition)) == ({"weight": "w"}, {"offset": "b"})


def test_an_addition_behind_something_else_is_a_layer_of_its_own() -> None:
    product, addition = layers_of(
        model("h = MatMul(x, w) r = Relu(h) y = Add(r, b)", w=floats(4, 4), b=floats(4))
    )  # fmt: skip
    assert (owned(product), owned(addition)) == ({"weight": "w"}, {"offset": "b"})
    (attention,) = layers_of(model("h = MatMul(x, z) y = Add(h, b)", "float[N,4] x, float[4,4] z", b=floats(4)))
    assert owned(attention) == {"offset": "b"}


def test_biases_are_told_by_the_addition() -> None:
    checked = model("h = MatMul(x, w) y = Add(h, b)", w=floats(4, 4), b=floats(4))
    product, addition = checked.nodes
    assert find_biases(checked, find_sources(checked)) == {id(addition): product}


def test_normalizations_embeddings_scales_and_slopes_are_layers() -> None:
    found = layers_of(
        model(
            "e = Gather(t, i) l = LayerNormalization(e, s, b) m = Mul(l, g) y = PRelu(m, a)",
            "int64[N,7] i", "float[] y",
            t=floats(9, 4), s=floats(4), b=floats(4), g=floats(4), a=floats(1),
        )
    )  # fmt: skip
    assert [(layer.op, owned(layer)) for layer in found] == [
        ("Gather", {"embedding": "t"}),
        ("LayerNormalization", {"scale": "s", "bias": "b"}),
        ("Mul", {"scale": "g"}),
        ("PRelu", {"slope": "a"}),
    ]


def test_a_tied_weight_is_in_every_layer_that_uses_it() -> None:
    first, second = layers_of(model("h = MatMul(x, w) t = Transpose(w) y = MatMul(h, t)", w=floats(4, 8)))
    assert owned(first) == owned(second) == {"weight": "w"}


def test_the_parts_of_a_fused_projection_are_numbered() -> None:
    parts = {name: floats(4, 2) for name in ("q", "k", "v")}
    (layer,) = layers_of(model("w = Concat<axis: int = 1>(q, k, v) y = MatMul(x, w)", **parts))
    assert owned(layer) == {"weight": "q", "weight.2": "k", "weight.3": "v"}


def test_frozen_weights_make_no_layer() -> None:
    checked = model("h = MatMul(x, w) y = MatMul(h, v)", w=floats(4, 4), v=floats(4, 4))
    (layer,) = find_layers(checked, find_sources(checked), find_biases(checked, find_sources(checked)), {"v"})
    assert (layer.id, layer.depth, owned(layer)) == ("layer-01", 1, {"weight": "v"})


def test_a_recurrent_layer_has_all_its_parameters() -> None:
    (layer,) = layers_of(
        model(
            "y, h, c = LSTM<hidden_size: int = 3>(x, w, r, b, , h0, c0, p)", "float[5,1,4] x",
            w=floats(1, 12, 4), r=floats(1, 12, 3), b=floats(1, 24), p=floats(1, 9), h0=floats(1, 1, 3),
            c0=floats(1, 1, 3),
        )
    )  # fmt: skip
    assert owned(layer) == {
        "weight": "w",
        "recurrent_weight": "r",
        "bias": "b",
        "initial_state": "h0",
        "initial_cell": "c0",
        "peephole": "p",
    }


# ------------------------------------------------------------------ ids and depth


def chain(names: list[str], order: list[int], count: int) -> CheckedModel:
    nodes, before = [], "x"
    for n in range(count):
        after = "y" if n == count - 1 else f"h{n}"
        nodes.append(f"{after} = MatMul({before}, {names[n]})")
        before = after
    made = proto(" ".join(nodes))
    made.graph.initializer.extend(numpy_helper.from_array(floats(4, 4), names[n]) for n in order)
    return check_model(made.SerializeToString())


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(5)), st.permutations(range(5)))
def test_ids_depend_neither_on_names_nor_on_the_order_of_the_file(order: list[int], naming: list[int]) -> None:
    names = [f"w{number}" for number in naming]
    found = layers_of(chain(names, order, 5))
    assert [layer.id for layer in found] == [f"layer-0{n}" for n in range(1, 6)]
    assert [owned(layer)["weight"] for layer in found] == names
    assert [layer.depth for layer in found] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("count", "first"), [(9, "layer-01"), (99, "layer-01"), (100, "layer-001")])
def test_ids_sort_as_text(count: int, first: str) -> None:
    ids = [layer.id for layer in layers_of(chain([f"w{n}" for n in range(count)], list(range(count)), count))]
    assert ids[0] == first
    assert ids == sorted(ids)


def test_depth_is_the_longest_path() -> None:
    weights = {name: floats(4, 4) for name in "abcde"}
    long, short = "p = MatMul(x, a) q = MatMul(p, b) r = MatMul(q, c)", "s = MatMul(x, d)"
    found = layers_of(model(f"{long} {short} t = Add(r, s) u = Relu(t) y = MatMul(u, e)", **weights))
    assert {owned(layer)["weight"]: layer.depth for layer in found} == {"a": 1, "b": 2, "c": 3, "d": 1, "e": 4}


def body(nodes: list[NodeProto], output: str) -> GraphProto:
    return helper.make_graph(nodes, "body", [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)])


def test_a_control_flow_node_with_weights_inside_is_one_layer_as_deep_as_what_it_captures() -> None:
    made = proto(
        "h = MatMul(x, a) y = MatMul(h, c)", **{name: floats(4, 4) for name in ("a", "b", "c")}, on=np.array(True)
    )
    then = body([helper.make_node("MatMul", ["h", "b"], ["t"])], "t")
    otherwise = body([helper.make_node("Neg", ["h"], ["e"])], "e")
    made.graph.node.insert(1, helper.make_node("If", ["on"], ["i"], then_branch=then, else_branch=otherwise))
    made.graph.node[2].input[0] = "i"
    found = layers_of(check_model(made.SerializeToString()))
    assert [(layer.op, owned(layer), layer.depth) for layer in found] == [
        ("MatMul", {"weight": "a"}, 1),
        ("If", {"weight": "b"}, 2),
        ("MatMul", {"weight": "c"}, 3),
    ]


# ------------------------------------------------------------------ activations


PAIRS = sorted(ACTIVATIONS - {"FastGelu", "BiasGelu", "QuickGelu", "PRelu", "Clip", "Swish", "Erf"})


@pytest.mark.parametrize("op", PAIRS)
def test_every_activation_is_found_right_behind_its_layer(op: str) -> None:
    (layer,) = layers_of(model(f"h = MatMul(x, w) y = {op}(h)", w=floats(4, 4)))
    assert (layer.activation, layer.pre_activation, layer.activated) == (op, "h", "y")


@pytest.mark.parametrize(
    "between",
    [
        "z = BatchNormalization(h, s, b, m, v)",
        "z = LayerNormalization(h, s)",
        "z = Add(h, x)",
        "z = Sum(x, h)",
        "z = Reshape(h, shape)",
        "z = Transpose<perm: ints = [1, 0, 2, 3]>(h)",
        "z = MaxPool<kernel_shape: ints = [2, 2]>(h)",
        "z = Dropout(h)",
        "z = Identity(h)",
        "a = BatchNormalization(h, s, b, m, v) c = Dropout(a) z = Add(x, c)",
    ],
)
def test_an_activation_is_found_through_what_leaves_values_alone(between: str) -> None:
    weights = {"s": floats(4), "b": floats(4), "m": floats(4), "v": np.ones(4, np.float32)}
    found = layers_of(
        model(
            f"h = Conv<pads: ints = [1, 1, 1, 1]>(x, w) {between} y = Relu(z)", "float[N,4,4,4] x",
            w=floats(4, 4, 3, 3), shape=np.array([0, -1]), **weights,
        )
    )  # fmt: skip
    assert (found[0].activation, found[0].pre_activation, found[0].activated) == ("Relu", "z", "y")


@pytest.mark.parametrize("between", ["z = MatMul(h, w)", "z = Mul(h, h)", "z = Softmax(h)"])
def test_an_activation_behind_another_operation_is_not_the_layers(between: str) -> None:
    assert layers_of(model(f"h = MatMul(x, w) {between} y = Relu(z)", w=floats(4, 4)))[0].activation is None


def test_an_activation_too_far_away_is_not_the_layers() -> None:
    near = " ".join(f"h{n + 1} = Identity(h{n})" for n in range(7))
    far = " ".join(f"h{n + 1} = Identity(h{n})" for n in range(8))
    assert layers_of(model(f"h0 = MatMul(x, w) {near} y = Relu(h7)", w=floats(4, 4)))[0].activation == "Relu"
    assert layers_of(model(f"h0 = MatMul(x, w) {far} y = Relu(h8)", w=floats(4, 4)))[0].activation is None


@pytest.mark.parametrize("product", ["Mul(h, s)", "Mul(s, h)"])
@pytest.mark.parametrize(("gate", "name"), [("Sigmoid", "Swish"), ("HardSigmoid", "HardSwish")])
def test_a_gate_on_itself_is_a_swish(gate: str, name: str, product: str) -> None:
    (layer,) = layers_of(model(f"h = MatMul(x, w) s = {gate}(h) y = {product}", w=floats(4, 4)))
    assert (layer.activation, layer.pre_activation, layer.activated) == (name, "h", "y")


def test_a_gate_on_something_else_is_a_sigmoid() -> None:
    (layer,) = layers_of(model("h = MatMul(x, w) s = Sigmoid(h) y = Mul(s, x)", w=floats(4, 4)))
    assert (layer.activation, layer.activated) == ("Sigmoid", "s")


WRITTEN_OUT = [
    "d = Div(h, r) e = Erf(d) a = Add(e, one) p = Mul(h, a) y = Mul(p, half)",
    "d = Mul(h, r) e = Erf(d) a = Add(one, e) p = Mul(h, a) y = Mul(half, p)",
    "q = Mul(h, half) d = Div(h, r) e = Erf(d) a = Add(e, one) y = Mul(q, a)",
    "d = Div(h, r) e = Erf(d) a = Add(e, one) b = Mul(a, half) y = Mul(h, b)",
]


@pytest.mark.parametrize("text", WRITTEN_OUT)
@pytest.mark.parametrize("scaled", [False, True])
def test_a_written_out_gelu_is_a_gelu(text: str, scaled: bool) -> None:
    numbers = {"r": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5), "g": floats(4)}
    behind = " z = Mul(y, g)" if scaled else ""
    found = layers_of(
        model(
            f"h = MatMul(x, w) {text}{behind}",
            "float[N,4] x",
            f"float[] {'z' if scaled else 'y'}",
            w=floats(4, 4),
            **numbers,
        )
    )
    assert (found[0].activation, found[0].pre_activation, found[0].activated) == ("Gelu", "h", "y")


def test_an_erf_that_is_no_gelu_keeps_its_name() -> None:
    (layer,) = layers_of(model("h = MatMul(x, w) y = Erf(h)", w=floats(4, 4)))
    assert (layer.activation, layer.activated) == ("Erf", "y")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (nn.GELU(), "Gelu"),
        (nn.SiLU(), "Swish"),
        (nn.Hardswish(), "HardSwish"),
        (nn.ReLU6(), "Relu6"),
        (nn.Hardtanh(), "Clip"),
        (nn.ReLU(), "Relu"),
        (nn.LeakyReLU(), "LeakyRelu"),
        (nn.ELU(), "Elu"),
        (nn.Tanh(), "Tanh"),
    ],
    ids=lambda part: str(part).split("(")[0],
)
def test_activations_are_recognized_as_torch_writes_them(module: nn.Module, name: str) -> None:
    torch.manual_seed(0)
    first, second = layers_of(exported(nn.Sequential(nn.Linear(4, 4), module, nn.Linear(4, 2)), torch.randn(2, 4)))
    assert (first.activation, second.activation) == (name, None)


@pytest.mark.parametrize(
    ("clip", "name"),
    [
        ("Clip(h, zero, six)", "Relu6"),
        ("Clip(h, zero)", "Relu6"),
        ("Clip(h, one, six)", "Clip"),
        ("Clip(h, , six)", "Clip"),
        ("Clip(h)", "Clip"),
    ],
)
def test_a_clip_from_zero_is_a_relu6(clip: str, name: str) -> None:
    numbers = {"zero": np.float32(0), "one": np.float32(1), "six": np.float32(6)}
    assert layers_of(model(f"h = MatMul(x, w) y = {clip}", w=floats(4, 4), **numbers))[0].activation == name


@pytest.mark.parametrize(("low", "name"), [("0.0", "Relu6"), ("-1.0", "Clip")])
def test_a_clip_of_old_opsets_has_its_bounds_as_attributes(low: str, name: str) -> None:
    made = proto(f"h = MatMul(x, w) y = Clip<min: float = {low}, max: float = 6.0>(h)", w=floats(4, 4))
    made.opset_import[0].version = 6
    made.ir_version = 4
    assert layers_of(check_model(made.SerializeToString()))[0].activation == name


def test_an_activation_is_found_from_any_value() -> None:
    checked = model("h = MatMul(x, w) n = Identity(h) y = Tanh(n)", w=floats(4, 4))
    assert find_activation(checked, "h") == ("Tanh", "n", "y")
    assert find_activation(checked, "y") is None
    assert find_activation(checked, "nowhere") is None


# ------------------------------------------------------------------ biases that do not matter


@pytest.mark.parametrize(
    ("text", "cancelled"),
    [
        ("h = Conv(x, w, b) y = BatchNormalization(h, s, o, m, v)", "BatchNormalization"),
        ("h = Conv(x, w, b) y = InstanceNormalization(h, s, o)", "InstanceNormalization"),
        ("h = Conv(x, w) y = BatchNormalization(h, s, o, m, v)", None),
        ("h = Conv(x, w, b) y = LayerNormalization(h, l)", None),
        ("h = Conv(x, w, b) y = Relu(h)", None),
        ("h = Conv(x, w, b) n = BatchNormalization(h, s, o, m, v) y = Add(n, h)", None),
        ("h = Conv(x, w) k = Add(h, c) y = BatchNormalization(k, s, o, m, v)", "BatchNormalization"),
    ],
)
def test_a_bias_right_in_front_of_a_normalization_is_cancelled(text: str, cancelled: str | None) -> None:
    checked = model(
        text, "float[N,3,4,4] x",
        w=floats(3, 3, 1, 1), b=floats(3), c=floats(3, 1, 1), s=floats(3), o=floats(3), m=floats(3), l=floats(4),
        v=np.ones(3, np.float32),
    )  # fmt: skip
    assert cancelling_operator(checked, layers_of(checked)[0]) == cancelled
