import re

import numpy as np
import pytest
import torch
from torch import nn

from analysis.graph.activations import find_activation
from analysis.graph.families import ACTIVATIONS
from analysis.model import check_model
from tests.analysis.graph.graphs import exported, floats, layers_of, model, proto

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
        "z = Flatten(h)",
        "z = Unsqueeze(h, axis)",
        "u = Unsqueeze(h, axis) z = Squeeze(u, axis)",
        "z = AveragePool<kernel_shape: ints = [2, 2]>(h)",
        "z = GlobalAveragePool(h)",
        "z = GlobalMaxPool(h)",
        "a = BatchNormalization(h, s, b, m, v) c = Dropout(a) z = Add(x, c)",
    ],
)
def test_an_activation_is_found_through_what_leaves_values_alone(between: str) -> None:
    weights = {"s": floats(4), "b": floats(4), "m": floats(4), "v": np.ones(4, np.float32)}
    found = layers_of(
        model(
            f"h = Conv<pads: ints = [1, 1, 1, 1]>(x, w) {between} y = Relu(z)", "float[N,4,4,4] x",
            w=floats(4, 4, 3, 3), shape=np.array([0, -1]), axis=np.array([4]), **weights,
        )
    )  # fmt: skip
    assert (found[0].activation, found[0].pre_activation, found[0].activated) == ("Relu", "z", "y")


@pytest.mark.parametrize("between", ["z = MatMul(h, w)", "z = Mul(h, h)", "z = Softmax(h)"])
def test_an_activation_behind_another_operation_is_not_the_layers(between: str) -> None:
    assert layers_of(model(f"h = MatMul(x, w) {between} y = Relu(z)", w=floats(4, 4)))[0].activation is None


@pytest.mark.parametrize(
    ("between", "found"),
    [
        ("z = MatMul(a, h)", "Relu"),
        ("d = ReduceSum<keepdims: int = 1>(a) n = Div(a, d) z = MatMul(n, h)", "Relu"),
        ("z = MatMul(h, a)", None),
        ("t = Transpose(h) s = MatMul(h, t) p = Softmax(s) z = MatMul(p, h)", None),
        ("q = MatMul(a, v) z = MatMul(q, h)", None),
    ],
)
def test_an_activation_is_found_behind_an_adjacency_that_comes_with_the_data(between: str, found: str | None) -> None:
    checked = model(
        f"h = MatMul(x, w) {between} y = Relu(z)", "float[4,4] x, float[4,4] a",
        w=floats(4, 4), v=floats(4, 4),
    )  # fmt: skip
    assert layers_of(checked)[0].activation == found


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


def found(nodes: str, value: str = "h", **numbers: float) -> tuple[str, str, str] | None:
    weights = {name: np.asarray(number, np.float32) for name, number in numbers.items()}
    return find_activation(model(f"h = MatMul(x, w) {nodes}", w=floats(4, 4), **weights), value)


@pytest.mark.parametrize(
    ("nodes", "activation"),
    [
        ("a = Add(h, x) b = Tanh(a) c = Relu(h) y = Add(b, c)", ("Relu", "h", "c")),
        ("a = MatMul(h, w) b = Tanh(h) y = Add(a, b)", ("Tanh", "h", "b")),
        ("a = Add(h, x) b = Tanh(a) c = Identity(h) d = Relu(c) y = Add(b, d)", ("Tanh", "a", "b")),
        ("a = MatMul(h, w) b = Add(h, x) c = Tanh(b) y = Add(a, c)", ("Tanh", "b", "c")),
        ("m, i = MaxPool<kernel_shape: ints = [2]>(h) y = Relu(m)", ("Relu", "m", "y")),
        ("a = Sigmoid(h) y = Mul(a, a)", ("Sigmoid", "h", "a")),
        ("a = Sigmoid(h) b = Mul(x, a) c = Mul(h, a) y = Add(b, c)", ("Swish", "h", "c")),
        ("a = Tanh(h) y = Mul(h, a)", ("Tanh", "h", "a")),
        ("a = Sigmoid(h) y = Add(h, a)", ("Sigmoid", "h", "a")),
    ],
    ids=["nearest first", "beside another reader", "first of two ways", "through the transparent one", "first output",
         "squared gate", "the right product", "gated by tanh", "added gate"],
)  # fmt: skip
def test_the_nearest_activation_counts_and_a_gate_is_a_product_with_its_own_input(
    nodes: str, activation: tuple[str, str, str]
) -> None:
    assert found(nodes) == activation


@pytest.mark.parametrize(("low", "name"), [([0.0], "Relu6"), ([[0.0]], "Relu6"), ([0.5], "Clip"), ([-1.0], "Clip")])
def test_the_bound_of_a_clip_may_have_any_shape(low: list, name: str) -> None:
    assert found("y = Clip(h, low)", low=low) == (name, "h", "y")


def test_a_clip_whose_bound_is_computed_is_a_clip() -> None:
    assert found("m = ReduceMin<keepdims: int = 0>(x) y = Clip(h, m)") == ("Clip", "h", "y")


@pytest.mark.parametrize(
    ("nodes", "activation"),
    [
        ("d = Div(h, r) e = Erf(d) a = Add(e, one) p = Mul(h, a) y = Mul(p, half)", ("Gelu", "h", "y")),
        ("d = Div(h, r) e = Erf(d) a = Add(e, one) y = Mul(h, a)", ("Gelu", "h", "y")),
        ("d = Div(h, r) e = Erf(d) a = Add(e, one) p = Mul(h, a) q = Mul(p, half) y = Relu(q)", ("Gelu", "h", "q")),
        ("d = Div(h, r) e = Erf(d) a = Add(e, one) p = Mul(h, a) q = Mul(p, half) y = Mul(q, x)", ("Gelu", "h", "q")),
        ("d = Div(h, r) e = Erf(d) a = Add(e, one) p = Mul(h, a) b = Relu(p) c = Mul(p, half) y = Add(b, c)",
         ("Gelu", "h", "p")),
        ("d = Div(h, r) e = Erf(d) a = Add(e, one) p = Mul(h, a) c = Mul(p, half) b = Relu(p) y = Add(b, c)",
         ("Gelu", "h", "p")),
        ("d = Div(h, r) e = Erf(d) a = Add(e, one) b = Mul(a, half) c = Mul(b, one) y = Mul(h, c)", ("Gelu", "h", "y")),
        ("d = Div(h, r) e = Erf(d) a = Add(e, one) b = Mul(a, half) c = Mul(b, one) k = Mul(c, one) y = Mul(h, k)",
         None),
        ("k = Div(h, one) d = Mul(h, r) e = Erf(d) a = Add(e, one) p = Mul(h, a) q = Mul(p, half) y = Add(q, k)",
         ("Gelu", "h", "q")),
        ("d = Sub(h, r) e = Erf(d) a = Add(e, one) y = Mul(h, a)", None),
        ("d = Div(h, r) e = Tanh(d) a = Add(e, one) y = Mul(h, a)", None),
        ("d = Div(h, r) e = Erf(d) a = Add(e, one) y = Mul(a, half)", None),
        ("d = Div(h, r) e = Erf(d) a = Sub(e, one) y = Mul(h, a)", None),
        ("d = Div(h, r) e = Erf(d) a = Add(e, one) b = Add(e, half) c = Mul(h, a) y = Add(b, c)", None),
        ("d = Div(h, r) e = Erf(d) y = Mul(e, one)", None),
        ("y = Div(h, r)", None),
    ],
    ids=["whole", "without its half", "in front of another", "scaled by data", "read elsewhere", "read elsewhere later",
         "four steps", "five steps", "divided elsewhere",
         "shifted", "of a tanh", "never gated", "subtracted", "used twice", "unfinished", "only scaled"],
)  # fmt: skip
def test_a_gelu_written_out_ends_at_the_product_with_its_input_and_a_half(
    nodes: str, activation: tuple[str, str, str] | None
) -> None:
    numbers = {"r": 2**0.5, "one": 1.0, "half": 0.5}
    read = {name: number for name, number in numbers.items() if name in re.findall(r"\w+", nodes)}
    assert found(nodes, **read) == activation


def test_an_activation_is_found_from_any_value() -> None:
    checked = model("h = MatMul(x, w) n = Identity(h) y = Tanh(n)", w=floats(4, 4))
    assert find_activation(checked, "h") == ("Tanh", "n", "y")
    assert find_activation(checked, "y") is None
    assert find_activation(checked, "nowhere") is None
