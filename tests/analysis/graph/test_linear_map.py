"""Graphs that are one linear map, and the nearest ones that are not."""

import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper

from analysis.convert.translate import read_graph
from analysis.graph.linear_map import linear_layers
from analysis.model import check_model

WIDTH = 4


def layers_of(nodes: str) -> list[str]:
    """Names of the layers of the map from x [N, 4] to y [N, 4]."""
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> net (float[N,{WIDTH}] x) => (float[N,{WIDTH}] y) {{ {nodes} }}'
    )
    draw = np.random.default_rng(0)
    model.graph.initializer.extend(
        numpy_helper.from_array(draw.standard_normal(shape).astype(np.float32), name)
        for name, shape in (*((name, (WIDTH, WIDTH)) for name in "ABC"), ("b", (WIDTH,)), ("c", (WIDTH,)))
    )
    checked = check_model(model.SerializeToString())
    layers = read_graph(checked).layers
    names = {each.id: each.name for each in layers}
    return [names[each] for each in linear_layers(checked, layers, "y")]


@pytest.mark.parametrize(
    "between",
    [
        "h = Add(g, b)", "h = Mul(g, c)", "h = Div(g, c)", "h = Identity(g)", "h = Sub(b, g)", "h = Add(g, x)",
        "t = Transpose(g) h = Transpose(t)", "h = Dropout(g)", "s = Shape(x) h = Reshape(g, s)",
    ],
)  # fmt: skip
def test_sums_constant_factors_and_shapes_do_not_bend(between: str) -> None:
    assert layers_of(f"[one] g = MatMul(x, A) {between} [two] y = MatMul(h, B)") == ["one", "two"]


@pytest.mark.parametrize(
    "between",
    [
        "h = Relu(g)", "h = Tanh(g)", "h = Mul(g, x)", "h = Div(b, g)", "h = Softmax(g)", "h = Abs(g)", "h = Mul(g, g)",
        "r = Relu(x) h = Add(g, r)",
    ],
)  # fmt: skip
def test_activations_and_products_of_signals_bend(between: str) -> None:
    assert layers_of(f"[one] g = MatMul(x, A) {between} [two] y = MatMul(h, B)") == []


def test_what_bends_beside_the_way_to_the_logits_does_not_count() -> None:
    assert layers_of("[one] g = MatMul(x, A) r = Relu(g) [two] y = MatMul(g, B)") == ["one", "two"]


@pytest.mark.parametrize(
    ("nodes", "layers"),
    [
        ("[one] g = MatMul(x, A) [two] h = MatMul(x, B) y = Add(g, h)", []),
        ("[one] g = MatMul(x, A) [two] h = MatMul(g, B) [three] i = MatMul(x, C) y = Add(h, i)", ["one", "two"]),
        ("[one] g = MatMul(x, A) k = Add(g, b) [two] h = MatMul(x, B) y = Sub(k, h)", []),
    ],
)
def test_layers_side_by_side_are_no_map_of_several(nodes: str, layers: list[str]) -> None:
    assert layers_of(nodes) == layers
