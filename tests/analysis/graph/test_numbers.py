"""Single numbers that train, and those that look alike and do not."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from analysis.convert import convert
from tests.analysis.graph.graphs import floats, model

NUMBER = {"scale": np.float32(1.5)}
WEIGHTS = {
    "w": floats(4, 6), "v": floats(6, 5), "q": floats(4, 4), "k": floats(4, 4), "b": floats(6), "one": np.float32(1),
    "E": floats(9, 4), "axes": np.array([1]),
}  # fmt: skip


def trains(nodes: str, name: str = "scale", inputs: str = "float[N,4] x") -> bool:
    read = set(re.findall(r"\w+", nodes))
    used = {each: array for each, array in WEIGHTS.items() if each in read}
    checked = model(nodes.replace("scale", name), inputs, "float[] y", **used, **{name: NUMBER["scale"]})
    return name in convert(checked).initializers


@pytest.mark.parametrize(
    "nodes",
    [
        "h = MatMul(x, w) y = Mul(h, scale)",
        "h = MatMul(x, w) y = Div(h, scale)",
        "h = MatMul(x, w) y = Add(h, scale)",
        "h = MatMul(x, w) s = Mul(scale, h) y = Softmax(s)",
        "h = MatMul(x, w) e = Exp(scale) s = Mul(h, e) y = Sigmoid(s)",
        "h = MatMul(x, w) e = Exp(scale) s = Mul(h, e) t = Add(s, b) y = LogSoftmax(t)",
        "h = MatMul(x, w) n = ReduceL2(h) u = Div(h, n) y = Mul(u, scale)",
        "h = MatMul(x, q) p = Mul(h, x) r = ReduceSum(p, axes) y = Add(r, scale)",
        "h = MatMul(x, q) s = Mul(h, scale) r = Add(x, s) y = MatMul(r, w)",
    ],
)
def test_a_number_trains_where_it_scales_or_shifts_what_the_loss_reads_or_opens_a_branch(nodes: str) -> None:
    assert trains(nodes)


@pytest.mark.parametrize(
    "nodes",
    [
        "h = MatMul(x, q) s = Mul(h, scale) t = Transpose(s) a = MatMul(x, t) p = Softmax(a) y = MatMul(p, w)",
        "h = MatMul(x, q) s = Div(h, scale) e = Erf(s) f = Add(e, one) y = Mul(h, f)",
        "h = MatMul(x, q) f = Erf(h) g = Add(f, one) s = Mul(h, scale) y = Mul(s, g)",
        "h = MatMul(x, q) s = Mul(h, scale) g = Sigmoid(s) y = Mul(h, g)",
        "h = MatMul(x, q) t = Tanh(h) y = Mul(t, scale)",
        "h = MatMul(x, q) s = Add(h, scale) r = Sqrt(s) y = Mul(h, r)",
        "h = MatMul(x, q) s = Mul(h, scale) y = MatMul(s, w)",
        "h = MatMul(x, q) m = ReduceMean<keepdims: int = 0>(h) y = Mul(m, scale)",
        "s = Div(x, scale) y = MatMul(s, w)",
        "h = MatMul(x, q) a = Mul(h, h) c = Mul(a, h) s = Mul(c, scale) r = Add(h, s) y = MatMul(r, w)",
    ],
)
def test_a_number_of_an_attention_an_activation_or_the_input_does_not(nodes: str) -> None:
    assert not trains(nodes)


@pytest.mark.parametrize("name", ["eps", "layer_eps", "two", "const_3", "k", "mul_y", "sqrt_d", "c2"])
def test_what_is_called_like_a_literal_is_one(name: str) -> None:
    assert not trains("h = MatMul(x, w) y = Mul(h, scale)", name)


@pytest.mark.parametrize("name", ["logit_scale", "temperature", "global_bias", "tau"])
def test_a_number_that_is_a_constant_of_the_graph_is_a_literal(name: str) -> None:
    nodes = f"{name} = Constant<value_float: float = 2.0>() h = MatMul(x, w) y = Mul(h, {name})"
    checked = model(nodes, "float[N,4] x", "float[] y", w=WEIGHTS["w"])
    assert name in convert(checked).frozen
    assert trains("h = MatMul(x, w) y = Mul(h, scale)", name)


def test_the_gradient_of_a_temperature_is_that_of_the_module() -> None:
    checked = model(
        "h = MatMul(x, w) e = Exp(logit_scale) y = Mul(h, e)", "float[N,4] x", "float[] y",
        w=WEIGHTS["w"], logit_scale=np.float32(0.3),
    )  # fmt: skip
    x = torch.from_numpy(floats(3, 4))
    converted = convert(checked)
    scale = nn.Parameter(torch.tensor(0.3))
    weight = torch.from_numpy(WEIGHTS["w"].copy())
    (expected,) = torch.autograd.grad(((x @ weight) * scale.exp()).square().sum(), [scale])
    (found,) = torch.autograd.grad(converted(x)[0].square().sum(), [converted.initializers["logit_scale"]])
    torch.testing.assert_close(found, expected)
