"""Weights stored as integers: the floats that they stand for train, and untrained the numbers are onnxruntime's."""

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, numpy_helper, parser

from analysis.convert import convert
from analysis.model import check_model

RANDOM = np.random.default_rng(20261128)
HEAD = '<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>'


def small(*shape: int, kind: type = np.int8) -> np.ndarray:
    return RANDOM.integers(-60, 61, shape).astype(kind)


def number(value: float, kind: type = np.float32) -> np.ndarray:
    return np.array(value, kind)


UNITS = {
    "xs": number(0.05), "xz": number(128, np.uint8), "ws": number(0.013), "wz": number(0, np.int8),
    "ys": number(0.04), "yz": number(120, np.uint8),
}  # fmt: skip
IN, OUT = "q = QuantizeLinear(x, xs, xz)", "y = DequantizeLinear(p, ys, yz)"
ROWS = np.array([0.01, 0.02, 0.03, 0.015], np.float32)
NETWORKS = {
    "QLinearConv": ("p = QLinearConv(q, xs, xz, w, ws, wz, ys, yz, b)", (4, 2, 3, 3), "N,2,6,6"),
    "QLinearConv by channel": ("p = QLinearConv(q, xs, xz, w, wr, wzr, ys, yz, b)", (4, 2, 3, 3), "N,2,6,6"),
    "QLinearMatMul": ("p = QLinearMatMul(q, xs, xz, w, ws, wz, ys, yz)", (6, 4), "N,6"),
    "QLinearMatMul by column": ("p = QLinearMatMul(q, xs, xz, w, wr, wzr, ys, yz)", (6, 4), "N,6"),
    "QGemm": ("p = com.microsoft.QGemm <transB = 1> (q, xs, xz, w, ws, wz, b, ys, yz)", (4, 6), "N,6"),
    "QLinearAdd": ("p = com.microsoft.QLinearAdd(q, xs, xz, o, ws, xz, ys, yz)", (6,), "N,6"),
}
DYNAMIC = {
    "MatMulInteger": ("i = MatMulInteger(q, w, z, wz)", (6, 4), "N,6"),
    "ConvInteger": ("i = ConvInteger(q, w, z, wz)", (4, 2, 3, 3), "N,2,6,6"),
}

FUSED = {
    "QAttention": ("y = com.microsoft.QAttention <num_heads = 2> (q, w, fb, xs, ws, {}, xz, wz)", "float", "N,3,6"),
    "QAttention by column": (
        "y = com.microsoft.QAttention <num_heads = 2> (q, w, fb, xs, wr, {}, xz, wzr)", "float", "N,3,6",
    ),
    "DynamicQuantizeLSTM": (
        """y, h, c = com.microsoft.DynamicQuantizeLSTM <hidden_size = 6>
            (x, w, r, fb, {}, {}, {}, {}, ws, wz, rs, wz)""", "float", "5,N,4",
    ),
    "DynamicQuantizeLSTM by unit": (
        """y, h, c = com.microsoft.DynamicQuantizeLSTM <hidden_size = 6, direction = "bidirectional">
            (x, w, r, fb, {}, {}, {}, {}, ws, wz, rs, wz)""", "float", "5,N,4",
    ),
    "QEmbedLayerNormalization": (
        """y, m = com.microsoft.QEmbedLayerNormalization <epsilon = 0.1>
            (x, g, t0, t1, t2, t3, t4, {}, s0, s1, s2, s3, s4, z0, z1, z2, z3, z4)""", "int32", "N,3",
    ),
    "QLinearConcat": ("p = com.microsoft.QLinearConcat <axis = 0> (ys, yz, q, xs, xz, w, ws, uz)", "float", "N,6"),
}  # fmt: skip
"""Operators that onnxruntime makes of several; {} is an input that is left out."""


def network(nodes: str, shape: str, weights: dict[str, np.ndarray], kind: str = "float") -> ModelProto:
    proto = parser.parse_model(f"{HEAD} net ({kind}[{shape}] x) => (float[] y) {{ {nodes} }}")
    read = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in weights.items() if name in read
    )
    return proto


def static(name: str) -> tuple[ModelProto, dict[str, np.ndarray], np.ndarray]:
    node, shape, size = NETWORKS[name]
    weights = {
        **UNITS,
        "w": small(*shape),
        "o": small(*shape, kind=np.int16).astype(np.uint8),
        "b": small(4, kind=np.int32) * 10,
        "wr": ROWS,
        "wzr": np.zeros(4, np.int8),
    }
    x = RANDOM.standard_normal([5, *map(int, size.split(",")[1:])]).astype(np.float32)
    return network(f"{IN} {node} {OUT}", size, weights), weights, x


def dynamic(name: str) -> tuple[ModelProto, dict[str, np.ndarray], np.ndarray]:
    node, shape, size = DYNAMIC[name]
    weights = {**UNITS, "w": small(*shape)}
    nodes = f"q, s, z = DynamicQuantizeLinear(x) {node} c = Cast <to = 1> (i) f = Mul(s, ws) y = Mul(c, f)"
    x = RANDOM.standard_normal([5, *map(int, size.split(",")[1:])]).astype(np.float32)
    return network(nodes, size, weights), weights, x


def scales(*shape: int) -> np.ndarray:
    return RANDOM.uniform(0.005, 0.02, shape).astype(np.float32)


def fused(name: str) -> tuple[ModelProto, dict[str, np.ndarray], np.ndarray]:
    """Such an operator with integer weights."""
    node, kind, size = FUSED[name]
    node = node.replace("{}", '""')
    weights = {**UNITS, "w": small(6, 24), "fb": RANDOM.standard_normal(24).astype(np.float32) / 4}
    x = RANDOM.standard_normal([5 if each == "N" else int(each) for each in size.split(",")]).astype(np.float32)
    if "QAttention" in name:
        weights |= {"wr": scales(24), "wzr": np.zeros(24, np.int8), "wz": number(3, np.int8)}
    elif "LSTM" in name:
        ways, by_unit = (2, True) if "by unit" in name else (1, False)
        shape = (ways, 24) if by_unit else (ways,)
        zero = np.zeros(shape, np.int8) if by_unit else np.full(shape, 3, np.int8)
        weights |= {"w": small(ways, 4, 24), "r": small(ways, 6, 24), "wz": zero}
        weights |= {"ws": scales(*shape), "rs": scales(*shape), "fb": np.tile(weights["fb"], (ways, 2))}
    elif "Embed" in name:
        shapes = [(9, 8), (6, 8), (2, 8), (8,), (8,)]
        weights |= {f"t{place}": small(*shape).view(np.uint8) for place, shape in enumerate(shapes)}
        weights |= {f"s{place}": number(0.01 + place / 500) for place in range(5)}
        weights |= {f"z{place}": number(100 + place, np.uint8) for place in range(5)}
        weights["g"] = RANDOM.integers(0, 2, (5, 3)).astype(np.int32)
        x = RANDOM.integers(0, 9, (5, 3)).astype(np.int32)
    else:
        weights |= {"w": small(2, 6).view(np.uint8), "uz": number(99, np.uint8)}
    before = f"{IN} " if "(q" in node or " q," in node else ""
    behind = f" {OUT}" if node.startswith("p ") else ""
    return network(before + node + behind, size, weights, kind), weights, x


def floats(weights: dict[str, np.ndarray], name: str, scale: str, zero_point: str) -> torch.Tensor:
    """What the integers of a weight stand for; numbers [D, 4 H] belong to columns of [D, I, 4 H]."""
    numbers, unit, zero = (weights[each].astype(np.float64) for each in (name, scale, zero_point))
    if numbers.ndim == 3:
        unit, zero = (each.reshape(len(numbers), 1, -1) for each in (unit, zero))
    return torch.from_numpy((numbers - zero) * unit).float().requires_grad_()


def theirs(proto: ModelProto, x: np.ndarray) -> np.ndarray:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = 1  # on several an LSTM quantises each part of the batch by itself
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize(
    "made",
    [*map(static, NETWORKS), *map(dynamic, DYNAMIC), *map(fused, FUSED)],
    ids=[*NETWORKS, *DYNAMIC, *FUSED],
)
def test_untrained_the_numbers_are_onnxruntimes_with_a_gradient_and_without(made: tuple) -> None:
    proto, _, x = made
    module = convert(check_model(proto.SerializeToString()))
    (with_gradient,) = module(torch.from_numpy(x))
    with torch.no_grad():
        (without,) = module(torch.from_numpy(x))
    wanted = theirs(proto, x)
    np.testing.assert_allclose(with_gradient.detach().numpy(), wanted, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(without.numpy(), wanted, rtol=1e-5, atol=2e-6)
    assert {"w", "o", "t0"} & set(module.initializers)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "QLinearAdd"])
def test_the_parameters_are_the_floats_that_the_integers_stand_for(name: str) -> None:
    proto, weights, _ = static(name)
    found = convert(check_model(proto.SerializeToString())).initializers
    scale = weights["ws"]
    if "by" in name:
        scale = ROWS.reshape((-1,) + (1,) * (weights["w"].ndim - 1)) if "Conv" in name else ROWS
    np.testing.assert_allclose(found["w"].detach().numpy(), weights["w"] * scale, rtol=1e-6)
    if "b" in found:
        unit = 0.05 * (ROWS if "by" in name else 0.013)
        np.testing.assert_allclose(found["b"].detach().numpy(), weights["b"] * unit, rtol=1e-5)


def real_inputs(x: np.ndarray) -> np.ndarray:
    return (np.clip(np.round(x / np.float32(0.05)) + 128, 0, 255) - 128) * 0.05


def test_the_gradient_is_that_of_a_float_weight_where_nothing_is_clamped() -> None:
    proto, weights, x = static("QLinearMatMul")
    module = convert(check_model(proto.SerializeToString()))
    (y,) = module(torch.from_numpy(x))
    y.square().sum().backward()
    product = real_inputs(x) @ (weights["w"] * 0.013)
    inside = (product / 0.04 + 120 > 0) & (product / 0.04 + 120 < 255)
    wanted = real_inputs(x).T @ (2 * y.detach().numpy() * inside)
    np.testing.assert_allclose(module.initializers["w"].grad.numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_behind_integers_of_a_dynamic_range_the_gradient_is_the_data() -> None:
    proto, _, x = dynamic("MatMulInteger")
    module = convert(check_model(proto.SerializeToString()))
    (y,) = module(torch.from_numpy(x))
    y.sum().backward()
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = (high - low) / 255
    real = (np.clip(np.round(x / scale) + np.round(-low / scale), 0, 255) - np.round(-low / scale)) * scale
    np.testing.assert_allclose(module.initializers["w"].grad.numpy(), real.sum(0)[:, None].repeat(4, 1), rtol=1e-4)


def test_a_weight_that_training_moved_off_the_integers_counts_without_a_gradient_too() -> None:
    proto, _, x = dynamic("MatMulInteger")
    module = convert(check_model(proto.SerializeToString()))
    with torch.no_grad():
        module.initializers["w"] += 0.003
        (without,) = module(torch.from_numpy(x))
    (with_gradient,) = module(torch.from_numpy(x))
    np.testing.assert_array_equal(without.numpy(), with_gradient.detach().numpy())
    assert np.abs(without.numpy() - theirs(proto, x)).max() > 1e-3


def gradients(proto: ModelProto, x: np.ndarray) -> dict[str, torch.Tensor]:
    """Of a fixed weighting of the first output."""
    module = convert(check_model(proto.SerializeToString()))
    y = module(torch.from_numpy(x))[0]
    (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
    return {name: each.grad for name, each in module.initializers.items() if each.grad is not None}


def agree(found: torch.Tensor, wanted: torch.Tensor, share: float) -> None:
    """Within a share of the largest one: a network of floats takes the gradient at data that nobody rounded."""
    assert (found - wanted).abs().max() <= share * wanted.abs().max()


@pytest.mark.parametrize(("name", "scale", "zero"), [("QAttention", "ws", "wz"), ("QAttention by column", "wr", "wzr")])
def test_projections_of_integers_train_like_those_of_an_attention_of_floats(name: str, scale: str, zero: str) -> None:
    proto, weights, x = fused(name)
    found = gradients(proto, x)
    w, b = floats(weights, "w", scale, zero), torch.from_numpy(weights["fb"]).requires_grad_()
    data = torch.from_numpy(real_inputs(x)).float()
    q, k, v = (each.reshape(5, 3, 2, 4).transpose(1, 2) for each in (data @ w + b).split(8, -1))
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(5, 3, 8)
    (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
    assert set(found) == {"w", "fb"}
    agree(found["w"], w.grad, 1e-4)
    agree(found["fb"], b.grad, 1e-4)


@pytest.mark.parametrize("name", [name for name in FUSED if "LSTM" in name])
def test_gates_of_integers_train_like_those_of_an_lstm_of_floats(name: str) -> None:
    proto, weights, x = fused(name)
    found = gradients(proto, x)
    ways = len(weights["w"])
    lstm = torch.nn.LSTM(4, 6, bidirectional=ways == 2)
    order = torch.arange(24).reshape(4, 6)[[0, 2, 3, 1]].flatten()  # torch has i f g o where ONNX has i o f c
    named = {"weight_ih_l0": floats(weights, "w", "ws", "wz"), "weight_hh_l0": floats(weights, "r", "rs", "wz")}
    with torch.no_grad():
        for way, suffix in enumerate(("", "_reverse")[:ways]):
            for key, each in named.items():
                getattr(lstm, key + suffix).copy_(each[way].T[order])
            for place, key in enumerate(("bias_ih_l0", "bias_hh_l0")):
                half = torch.from_numpy(weights["fb"][way, 24 * place : 24 * (place + 1)])
                getattr(lstm, key + suffix).copy_(half[order])
    y = lstm(torch.from_numpy(x))[0].reshape(5, 5, ways, 6).transpose(1, 2)
    (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
    assert set(found) == {"w", "r", "fb"}
    for way, suffix in enumerate(("", "_reverse")[:ways]):
        for key, mine in (("weight_ih_l0", "w"), ("weight_hh_l0", "r")):
            agree(found[mine][way].T[order], getattr(lstm, key + suffix).grad, 0.05)


def test_tables_of_integers_train_like_those_of_floats() -> None:
    proto, weights, x = fused("QEmbedLayerNormalization")
    found = gradients(proto, x)
    tables = [floats(weights, f"t{place}", f"s{place}", f"z{place}") for place in range(5)]
    total = tables[0][x] + tables[1][:3] + tables[2][weights["g"]]
    y = torch.nn.functional.layer_norm(total, (8,), tables[3], tables[4], 0.1)
    (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
    assert list(found) == [f"t{place}" for place in range(5)]
    for place, table in enumerate(tables):
        agree(found[f"t{place}"], table.grad, 1e-4)


def test_a_token_among_quantised_ones_trains() -> None:
    proto, weights, x = fused("QLinearConcat")
    found = gradients(proto, x)
    module = convert(check_model(proto.SerializeToString()))
    wanted = floats(weights, "w", "ws", "uz")
    np.testing.assert_allclose(module.initializers["w"].detach().numpy(), wanted.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(found["w"].numpy(), np.linspace(-1, 1, 42).reshape(7, 6)[5:], rtol=1e-4, atol=1e-6)


def test_one_weight_of_two_products_is_one_parameter() -> None:
    nodes = f"""{IN} p = QLinearMatMul(q, xs, xz, w, ws, wz, xs, xz) r = QLinearMatMul(p, xs, xz, w, ws, wz, ys, yz)
        y = DequantizeLinear(r, ys, yz)"""
    proto = network(nodes, "N,6", {**UNITS, "w": small(6, 6)})
    module = convert(check_model(proto.SerializeToString()))
    x = RANDOM.standard_normal((3, 6)).astype(np.float32)
    assert list(module.initializers) == ["w"]
    np.testing.assert_allclose(module(torch.from_numpy(x))[0].detach().numpy(), theirs(proto, x), atol=1e-6)


def test_a_frozen_weight_stays_an_integer() -> None:
    proto, _, x = static("QLinearMatMul")
    module = convert(check_model(proto.SerializeToString()), freeze=["w"])
    assert (dict(module.initializers), module.frozen["w"]) == ({}, "frozen by options")
    np.testing.assert_allclose(module(torch.from_numpy(x))[0].numpy(), theirs(proto, x), atol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "kind", "shape"),
    [
        ("e = Gather(t, x) y = DequantizeLinear(e, ws, k)", "int64", "N,3"),
        ("u = Transpose <perm = [1, 0]> (t) d = DequantizeLinear(u, ws, k) y = MatMul(x, d)", "float", "N,8"),
    ],
)
def test_a_table_and_a_weight_that_is_laid_out_anew_train_too(nodes: str, kind: str, shape: str) -> None:
    weights = {**UNITS, "t": small(9, 8), "k": number(4, np.int8)}
    proto = network(nodes, shape, weights, kind)
    module = convert(check_model(proto.SerializeToString()))
    x = RANDOM.integers(0, 9, (4, 3)) if kind == "int64" else RANDOM.standard_normal((4, 8)).astype(np.float32)
    floats = (weights["t"].astype(np.float64) - 4) * 0.013
    np.testing.assert_allclose(module.initializers["t"].detach().numpy(), floats, rtol=1e-5)
    (y,) = module(torch.from_numpy(x))
    np.testing.assert_allclose(y.detach().numpy(), theirs(proto, x), rtol=1e-5, atol=1e-5)
    y.sum().backward()
    wanted = np.bincount(x.ravel(), minlength=9)[:, None] if kind == "int64" else x.sum(0)[None]
    np.testing.assert_allclose(module.initializers["t"].grad.numpy(), np.broadcast_to(wanted, (9, 8)), rtol=1e-4)


def test_a_float_weight_that_the_graph_quantises_trains_straight_through() -> None:
    nodes = "q = QuantizeLinear(w, ws, wz) d = DequantizeLinear(q, ws, wz) y = MatMul(x, d)"
    w = (RANDOM.standard_normal((6, 4)) * 0.8).astype(np.float32)
    w[0, 0] = 9.0  # clamped
    module = convert(check_model(network(nodes, "N,6", {**UNITS, "w": w}).SerializeToString()))
    x = RANDOM.standard_normal((3, 6)).astype(np.float32)
    module(torch.from_numpy(x))[0].sum().backward()
    wanted = x.sum(0)[:, None] * ((w / 0.013 >= -128.5) & (w / 0.013 < 127.5))
    np.testing.assert_allclose(module.initializers["w"].grad.numpy(), wanted, rtol=1e-5)
