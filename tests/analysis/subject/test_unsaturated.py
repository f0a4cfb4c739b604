"""Sums that onnxruntime's kernels may lose: the same network with unsigned weights gives them all."""

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper, parser

from analysis.model import CheckedModel, check_model
from analysis.model.onnx_tools import assemble_proto
from analysis.subject.unsaturated import unsaturated

RANDOM = np.random.default_rng(20261128)
PRODUCTS = {
    "MatMulInteger": "i = MatMulInteger(x, w, xz, wz) y = Cast <to = 1> (i)",
    "MatMulInteger without zero points": "i = MatMulInteger(x, w) y = Cast <to = 1> (i)",
    "QLinearMatMul": "i = QLinearMatMul(x, xs, xz, w, ws, wz, ys, xz) y = Cast <to = 1> (i)",
    "QGemm": "y = com.microsoft.QGemm(x, xs, xz, w, ws, wz)",
}


def model(nodes: str, data: type = np.uint8) -> CheckedModel:
    kind = np.dtype(data).name
    proto = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]> net ({kind}[N,64] x) => (float[] y) {{ {nodes} }}'
    )
    weights = {
        "w": RANDOM.choice([-128, 127], (64, 8)).astype(np.int8), "wz": np.array(1, np.int8),
        "xz": np.array(0, data), "xs": np.array(0.5, np.float32), "ws": np.array(0.25, np.float32),
        "ys": np.array(64, np.float32),
    }  # fmt: skip
    read = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(numpy_helper.from_array(weights[name], name) for name in weights if name in read)
    return check_model(proto.SerializeToString())


@pytest.mark.parametrize("nodes", PRODUCTS.values(), ids=PRODUCTS)
def test_no_sum_is_lost(nodes: str) -> None:
    read = model(nodes)
    shifted, x = unsaturated(read), np.full((3, 64), 255, np.uint8)
    content = assemble_proto(shifted.proto, shifted.weights).SerializeToString()
    (found,) = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    zero_point = 0 if "x, w)" in nodes else 1
    wanted = x.astype(np.int64) @ (read.weights["w"].astype(np.int64) - zero_point)
    if "QGemm" in nodes:
        wanted = wanted * 0.125
    if "QLinear" in nodes:
        wanted = np.clip(np.round(wanted * 0.125 / 64), 0, 255)
    np.testing.assert_array_equal(found, wanted)


def test_no_sum_is_lost_where_the_operator_quantises_floats_itself() -> None:
    proto = parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]> net (float[N,64] x) => (float[] y)
        { y = com.microsoft.DynamicQuantizeMatMul(x, w, ws, wz) }"""
    )
    w = RANDOM.choice([-128, 127], (64, 8)).astype(np.int8)
    parts = {"w": w, "ws": np.array(0.25, np.float32), "wz": np.array(1, np.int8)}
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in parts.items())
    shifted = unsaturated(check_model(proto.SerializeToString()))
    content = assemble_proto(shifted.proto, shifted.weights).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.ones((3, 64), np.float32)})  # the byte of 1 is 255
    wanted = np.ones((3, 64)) @ (w.astype(np.int64) - 1) * 0.25
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


def test_no_sum_is_lost_in_a_quantised_lstm() -> None:
    attributes = "<hidden_size = 4>"
    proto = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]> net (float[S,N,64] x) => (float[] y)
        {{ y = com.microsoft.DynamicQuantizeLSTM{attributes}(x, w, r, , , , , , ws, wz, rs, rz) }}"""
    )
    w, r = (RANDOM.choice([-127, 127], (1, inputs, 16)).astype(np.int8) for inputs in (64, 4))
    scale, zero = np.full(1, 0.0004, np.float32), np.zeros(1, np.int8)
    parts = {"w": w, "r": r, "ws": scale, "rs": scale, "wz": zero, "rz": zero}
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in parts.items())
    shifted = unsaturated(check_model(proto.SerializeToString()))
    content = assemble_proto(shifted.proto, shifted.weights).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.ones((1, 3, 64), np.float32)})
    i, o, _, c = np.split((np.ones(64) @ w[0]) * 0.0004, 4)
    hidden = np.tanh(np.tanh(c) / (1 + np.exp(-i))) / (1 + np.exp(-o))
    np.testing.assert_allclose(found[0, 0], np.tile(hidden, (3, 1)), atol=1e-5)


def test_signed_data_and_models_without_integers_are_left_as_they_are() -> None:
    signed, plain = model(PRODUCTS["MatMulInteger"], np.int8), model("y = Cast <to = 1> (x)")
    assert unsaturated(signed) is signed
    assert unsaturated(plain) is plain
