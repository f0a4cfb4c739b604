"""Which integers stand for floats, told by who reads them."""

import numpy as np
import pytest
from onnx import numpy_helper, parser

from analysis.model import CheckedModel, check_model
from analysis.model.quantized import Quantized, output_units, scaled_output

WEIGHTS = {
    "w": np.ones((4, 4), np.int8), "b": np.ones(4, np.int32), "s": np.array(0.1, np.float32),
    "k": np.array(0.2, np.float32), "r": np.full(4, 0.1, np.float32), "z": np.array(1, np.int8),
    "u": np.array(3, np.uint8),
}  # fmt: skip
FRONT = "q = QuantizeLinear(x, s, u)"


def model(nodes: str, weights: dict[str, np.ndarray] = WEIGHTS) -> CheckedModel:
    proto = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]> net (float[N,4] x) => (float[] y) {{ {nodes} }}'
    )
    read = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(numpy_helper.from_array(weights[name], name) for name in weights if name in read)
    return check_model(proto.SerializeToString())


@pytest.mark.parametrize(
    ("nodes", "meaning"),
    [
        ("p = QLinearMatMul(q, s, u, w, k, z, s, u) y = DequantizeLinear(p, s, u)", Quantized(("k",), "z", -1)),
        ("p = QLinearMatMul(q, s, u, w, r, z, s, u) y = DequantizeLinear(p, s, u)", Quantized(("r",), "z", -1)),
        ("i = MatMulInteger(q, w, u, z) c = Cast <to = 1> (i) y = Mul(c, k)", Quantized(("k",), "z", -1)),
        ("i = MatMulInteger(q, w, u) c = Cast <to = 1> (i) y = Neg(c)", Quantized((), "", -1)),
        ("p = com.microsoft.QGemm <transB = 1> (q, s, u, w, k, z) y = Neg(p)", Quantized(("k",), "z", -2)),
        (
            'p = com.microsoft.QAttention <num_heads = 1> (q, w, b, s, k, "", u, z) y = Neg(p)',
            Quantized(("k",), "z", -1),
        ),
        ("p = com.microsoft.QLinearConcat <axis = 0> (s, u, q, s, u, w, k, z) y = Neg(p)", Quantized(("k",), "z", -1)),
        (
            'p = com.microsoft.DynamicQuantizeLSTM (x, r, w, "", "", "", "", "", r, u, k, z) y = Neg(p)',
            Quantized(("k",), "z", 0),
        ),
        (
            """p, m = com.microsoft.QEmbedLayerNormalization (x, "", b, b, "", b, w, "", s, s, "", s, k, u, u, "", u, z)
                y = Neg(p)""",
            Quantized(("k",), "z", -1),
        ),
        ("t = Transpose(w) d = DequantizeLinear(t, k, z) y = MatMul(x, d)", Quantized(("k",), "z", 0)),
    ],
)
def test_a_weight_stands_for_floats_in_the_unit_of_its_reader(nodes: str, meaning: Quantized) -> None:
    assert model(f"{FRONT} {nodes}").quantized["w"] == meaning


@pytest.mark.parametrize(
    "nodes",
    [
        "p = QLinearMatMul(q, s, u, w, k, z, s, u) d = DequantizeLinear(p, s, u) c = Cast <to = 1> (w) y = Add(d, c)",
        """p = QLinearMatMul(q, s, u, w, k, z, s, u) o = QLinearMatMul(p, s, u, w, s, z, s, u)
           y = DequantizeLinear(o, s, u)""",
        "t = Transpose(w) d = DequantizeLinear(t, k, z) e = DequantizeLinear(t, s, z) y = Add(d, e)",
        "t = Transpose(w) d = DequantizeLinear <axis = 1> (t, r, z4) y = MatMul(x, d)",
        "c = Cast <to = 1> (w) y = MatMul(x, c)",
    ],
)
def test_what_is_read_in_two_ways_or_in_no_known_way_stays_an_integer(nodes: str) -> None:
    weights = {**WEIGHTS, "z4": np.zeros(4, np.int8)}
    assert "w" not in model(f"{FRONT} {nodes}", weights).quantized


def test_a_bias_has_the_unit_of_the_product() -> None:
    p = "p = com.microsoft.QGemm(q, s, u, w, k, z, b, s, u) y = DequantizeLinear(p, s, u)"
    assert model(f"{FRONT} {p}").quantized["b"] == Quantized(("s", "k"), "", -1)


def test_values_carry_gradients_from_what_quantises_to_what_makes_floats() -> None:
    read = model(f"{FRONT} m = Max(q, q) t = Transpose(m) a = ArgMax(t) y = DequantizeLinear(t, s, u)")
    assert [read.is_float(name) for name in ("q", "m", "t", "a", "y", "x")] == [True, True, True, False, True, True]


def test_units_go_on_through_what_moves_numbers() -> None:
    read = model(f"{FRONT} t = Transpose(q) p = QLinearMatMul(t, s, u, w, k, z, k, u) y = DequantizeLinear(p, k, u)")
    assert output_units(read) == {"q": ("s", "u"), "t": ("s", "u"), "p": ("k", "u")}


def test_a_product_of_integers_is_floats_behind_its_scales() -> None:
    read = model(f"{FRONT} i = MatMulInteger(q, w, u) c = Cast <to = 1> (i) f = Mul(c, k) y = Relu(f)")
    assert scaled_output(read, read.producers["i"]) == "f"
    bare = model(f"{FRONT} i = MatMulInteger(q, w, u) y = Cast <to = 1> (i)")
    assert scaled_output(bare, bare.producers["i"]) == "i"
