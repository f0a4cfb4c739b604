"""Cases of the quantization family, and the gradients that differences cannot tell: straight-through ones."""

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch.nn.functional import conv2d

from analysis.convert import DifferentiableModel, convert
from analysis.model import check_model
from tests.analysis.convert.ops.cases import RANDOM, Case, floats, scalar

X = floats(2, 3, 4)
TIES = np.arange(-12, 12, dtype=np.float32).reshape(2, 3, 4) / 4
"""Over a scale of 0.5 every other one is a half."""
BYTES, SIGNED = (
    RANDOM.integers(0, 256, (2, 3, 4)).astype(np.uint8),
    RANDOM.integers(-128, 128, (2, 3, 4)).astype(np.int8),
)
NARROW = (SIGNED // 2).transpose(0, 2, 1).copy()
"""Two products with bytes fit into 16 bits, where onnxruntime's kernels add them without VNNI; for data that no weight
is, which `session.x64quantprecision` does not widen."""
SCALES = np.array([0.02, 0.5, 0.013], np.float32)
ZEROS = np.array([128, 3, 250], np.uint8)
BLOCK_SCALES = floats(2, 3, 2, low=0.01, high=0.3)
BLOCK_ZEROS = RANDOM.integers(0, 256, (2, 3, 2)).astype(np.uint8)
SMALL_SCALE, ZERO = scalar(0.011), scalar(100, np.uint8)


def case(op: str, inputs: list, attributes: dict | None = None, **rest: object) -> Case:
    """Steps: differences are no gradient."""
    return Case(op, inputs, attributes or {}, differentiable=False, **rest)


def matrices(op: str, rows: np.ndarray | None, columns: np.ndarray | None, **rest: object) -> Case:
    """(A - z_a) (B - z_b) by numpy: neither runtime has zero points by row."""
    return case(
        op, [BYTES, SIGNED.transpose(0, 2, 1).copy(), rows, columns], outputs=1, returns=("int32",),
        formula=lambda a, b, za, zb: np.matmul(
            a.astype(np.int32) - (0 if za is None else np.expand_dims(za, -1).astype(np.int32)),
            b.astype(np.int32) - (0 if zb is None else zb.astype(np.int32)),
        ), **rest,
    )  # fmt: skip


def q_matrices(scale_a: np.ndarray, scale_b: np.ndarray, scale_y: np.ndarray, name: str) -> Case:
    """By rows of A and of Y, by columns of B."""
    shape_a, shape_b, shape_y = (np.shape(scale) for scale in (scale_a, scale_b, scale_y))
    za, zb, zy = np.full(shape_a, 120, np.uint8), np.full(shape_b, 3, np.int8), np.full(shape_y, 7, np.int8)
    za = (za + np.arange(za.size)).astype(np.uint8).reshape(shape_a)

    def rows(parameter: np.ndarray) -> np.ndarray:
        return parameter[:, None] if parameter.ndim == 1 and parameter.size > 1 else parameter

    def formula(a, sa, za, b, sb, zb, sy, zy):
        total = np.matmul(a.astype(np.int32) - rows(za).astype(np.int32), b.astype(np.int32) - zb.astype(np.int32))
        wanted = np.rint(total.astype(np.float32) * (rows(sa) * sb / rows(sy))) + rows(zy)
        return np.clip(wanted, -128, 127).astype(np.int8)

    inputs = [BYTES, scale_a, za, SIGNED.transpose(0, 2, 1).copy(), scale_b, zb, scale_y, zy]
    return case("QLinearMatMul", inputs, formula=formula, name=name)


IMAGE, KERNEL = (
    RANDOM.integers(0, 256, (2, 4, 5, 6)).astype(np.uint8),
    RANDOM.integers(0, 256, (6, 2, 3, 2)).astype(np.uint8),
)
KERNEL_ZEROS = RANDOM.integers(100, 150, 6).astype(np.uint8)
KERNEL_SCALES = floats(6, low=0.01, high=0.03)


def convolved(x, w, zx, zw, **settings) -> np.ndarray:
    """By torch in float64, padded by hand."""
    shift = zw.reshape(-1, 1, 1, 1) if np.ndim(zw) else zw
    weight = torch.from_numpy(w.astype(np.float64) - shift)
    return conv2d(torch.from_numpy(x.astype(np.float64) - zx), weight, **settings).numpy()


def q_convolved(x, sx, zx, w, sw, zw, sy, zy, b=None) -> np.ndarray:
    """The formula of the page, with the settings of the last case."""
    total = convolved(x, w, zx, zw, groups=2, padding=(1, 0), stride=(2, 1), dilation=(1, 2))
    total = total if b is None else total + b[:, None, None]
    factor = sx * (sw.reshape(-1, 1, 1) if np.ndim(sw) else sw) / sy
    return np.clip(np.rint(total.astype(np.float32) * factor.astype(np.float32)) + zy, 0, 255).astype(np.uint8)


SETTINGS = {"group": 2, "pads": [1, 0, 1, 0], "strides": [2, 1], "dilations": [1, 2]}
PER_CHANNEL = [
    IMAGE, scalar(0.02), scalar(128, np.uint8), KERNEL, KERNEL_SCALES, KERNEL_ZEROS, scalar(0.9), scalar(90, np.uint8),
]  # fmt: skip

CASES = [
    case("QuantizeLinear", [X, SMALL_SCALE, ZERO]),
    case("QuantizeLinear", [X, SMALL_SCALE, scalar(-3, np.int8)], name="signed"),
    case("QuantizeLinear", [X, SMALL_SCALE], returns=("uint8",), name="no zero point"),
    case("QuantizeLinear", [TIES, scalar(0.5), scalar(101, np.uint8)], name="halves"),
    case("QuantizeLinear", [X, scalar(0.001), scalar(0, np.int8)], name="saturated"),
    case("QuantizeLinear", [X, SCALES, ZEROS], since=13, name="axis 1"),
    case("QuantizeLinear", [X, SCALES[:2], ZEROS[:2]], {"axis": 0}, since=13, name="axis 0"),
    case("QuantizeLinear", [X.transpose(0, 2, 1).copy(), SCALES, ZEROS], {"axis": -1}, since=13, name="last axis"),
    case("QuantizeLinear", [X[0, 0], SCALES[:1], ZEROS[:1]], since=13, name="line"),
    case(
        "QuantizeLinear", [floats(500).astype(np.float16), SMALL_SCALE.astype(np.float16), ZERO], since=19,
        name="float16",
    ),
    case("QuantizeLinear", [X, SMALL_SCALE, scalar(1000, np.uint16)], since=21, name="two bytes"),
    case("QuantizeLinear", [X, scalar(1e-5), scalar(-5, np.int16)], since=21, name="two signed bytes"),
    case("QuantizeLinear", [X, SMALL_SCALE], {"output_dtype": TensorProto.INT16}, since=21, name="type by attribute"),
    case("QuantizeLinear", [X, BLOCK_SCALES, BLOCK_ZEROS], {"axis": 2, "block_size": 2}, since=21, name="blocks"),
    case(
        "QuantizeLinear", [X, BLOCK_SCALES, BLOCK_ZEROS.astype(np.uint16)], {"axis": -1, "block_size": 3}, since=21,
        name="uneven blocks",
    ),
    case(
        "QuantizeLinear", [X.astype(np.float16), scalar(0.01)], {"precision": TensorProto.FLOAT}, since=23,
        refused=True, name="precision",
    ),
    case("DequantizeLinear", [BYTES, SMALL_SCALE, ZERO], returns=("float32",)),
    Case("DequantizeLinear", [SIGNED, scalar(0.5), scalar(-3, np.int8)], name="signed"),
    Case("DequantizeLinear", [SIGNED, scalar(0.5)], name="no zero point"),
    Case("DequantizeLinear", [SIGNED.astype(np.int32) * 1000, scalar(0.5)], name="four bytes"),
    Case("DequantizeLinear", [BYTES, SCALES, ZEROS], since=13, name="axis 1"),
    Case("DequantizeLinear", [BYTES, SCALES[:2], ZEROS[:2]], {"axis": -3}, since=13, name="axis 0"),
    case("DequantizeLinear", [BYTES, SCALES.astype(np.float16), ZEROS], since=19, name="float16", tolerance=1e-3),
    Case(
        "DequantizeLinear", [BYTES.astype(np.uint16) * 257, scalar(0.5), scalar(999, np.uint16)], since=21,
        name="two bytes",
    ),
    Case("DequantizeLinear", [BYTES, BLOCK_SCALES, BLOCK_ZEROS], {"axis": 2, "block_size": 2}, since=21, name="blocks"),
    Case(
        "DequantizeLinear", [BYTES.astype(np.uint16), BLOCK_SCALES, BLOCK_ZEROS.astype(np.uint16)],
        {"axis": 2, "block_size": 3}, since=21, name="uneven blocks",
    ),
    case(
        "DequantizeLinear", [BYTES, SCALES, ZEROS], {"output_dtype": TensorProto.FLOAT16}, since=23, refused=True,
        name="type by attribute",
    ),
    *[
        case("DynamicQuantizeLinear", [x], outputs=3, name=name)
        for name, x in (("", X), ("positive", np.abs(X)), ("negative", -np.abs(X)), ("zeros", 0 * X))
    ],
    case("MatMulInteger", [BYTES, NARROW, ZERO, scalar(-7, np.int8)]),
    case("MatMulInteger", [BYTES, NARROW], returns=("int32",), name="no zero points"),
    case("MatMulInteger", [BYTES, NARROW, None, scalar(-7, np.int8)], name="one"),
    matrices("MatMulInteger", ZEROS, np.array([1, -2, 100], np.int8), name="by row and column"),
    case(
        "QLinearMatMul",
        [
            BYTES, scalar(0.01), ZERO, SIGNED.transpose(0, 2, 1).copy(), scalar(0.02), scalar(2, np.int8), scalar(0.05),
            scalar(100, np.uint8),
        ],
        formula=lambda a, sa, za, b, sb, zb, sy, zy: np.clip(
            np.rint(np.matmul(a - np.int32(za), b - np.int32(zb)).astype(np.float32) * (sa * sb / sy)) + zy, 0, 255
        ).astype(np.uint8),
    ),
    q_matrices(scalar(0.01), floats(3, low=0.01, high=0.03), scalar(0.06), "by column"),
    q_matrices(floats(3, low=0.01, high=0.03), scalar(0.02), floats(3, low=0.05, high=0.1), "by row"),
    q_matrices(*[np.array([scale], np.float32) for scale in (0.01, 0.02, 0.06)], "lines of one"),
    case("ConvInteger", [IMAGE, KERNEL[:, :, :, :1].repeat(2, 1), scalar(128, np.uint8)], {"pads": [1, 1, 0, 0]}),
    case("ConvInteger", [IMAGE, KERNEL.repeat(2, 1)], {"auto_pad": "SAME_UPPER"}, returns=("int32",), name="same"),
    case(
        "ConvInteger", [IMAGE, KERNEL, scalar(128, np.uint8), KERNEL_ZEROS], SETTINGS, name="by channel",
        formula=lambda x, w, zx, zw: convolved(
            x, w, zx, zw, groups=2, padding=(1, 0), stride=(2, 1), dilation=(1, 2)
        ).astype(np.int32),
    ),
    case("QLinearConv", PER_CHANNEL, SETTINGS, formula=q_convolved, name="by channel"),
    case(
        "QLinearConv", [*PER_CHANNEL, RANDOM.integers(-5000, 5000, 6).astype(np.int32)], SETTINGS, formula=q_convolved,
        name="bias",
    ),
    case(
        "QLinearConv",
        [
            IMAGE, scalar(0.02), scalar(128, np.uint8), KERNEL.repeat(2, 1), scalar(0.01), scalar(120, np.uint8),
            scalar(0.9), scalar(90, np.uint8),
        ],
        {"auto_pad": "SAME_LOWER", "kernel_shape": [3, 2]}, constant=(3, 4, 5), name="same",
    ),
]  # fmt: skip


def build(text_nodes: list, inputs: dict, constants: dict, opset: int = 21, output: str = "y", kind: int = 1):
    """A model of these nodes; inputs by name with their element type."""
    values = [helper.make_tensor_value_info(name, element, None) for name, element in inputs.items()]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    outputs = [helper.make_tensor_value_info(output, kind, None)]
    graph = helper.make_graph(text_nodes, "g", values, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=11)


def converted(model, **options: object) -> DifferentiableModel:
    return convert(check_model(model.SerializeToString()), **options)


def pair(zero_point: np.ndarray, between: list | None = None, opset: int = 21, **attributes: object):
    """Quantised and back, scale as an input."""
    read = between[-1].output[0] if between else "q"
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
        *(between or []),
        helper.make_node("DequantizeLinear", [read, "s", "z"], ["y"], **attributes),
    ]
    return build(nodes, {"x": 1, "s": 1}, {"z": zero_point}, opset)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("uint8", 0, 255), ("int8", -128, 127), ("uint16", 0, 65535), ("int16", -32768, 32767), ("uint4", 0, 15),
        ("int4", -8, 7),
    ],
)  # fmt: skip
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_quantise_dequantise_is_straight_through_inside_and_flat_outside(
    name: str, low: int, high: int, precision: torch.dtype
) -> None:
    small = np.dtype(getattr(ml_dtypes, name, None) or name)
    zero = 3
    module = converted(pair(np.array(zero).astype(small)), precision=precision)
    steps = np.array(
        [low - zero - 9.0, low - zero - 0.4, low - zero, 0.3, 0.5, high - zero, high - zero + 0.4, high + 9.0]
    )
    scale = torch.tensor(0.25, dtype=precision).requires_grad_()
    x = torch.tensor(steps * 0.25, dtype=precision).requires_grad_()
    (y,) = module(x, scale)
    rounded = np.clip(np.rint(steps), low - zero, high - zero)
    inside = np.array([0, 1, 1, 1, 1, 1, 1, 0])
    np.testing.assert_allclose(y.detach().numpy(), rounded * 0.25)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), inside)
    np.testing.assert_allclose(scale.grad.item(), (rounded - inside * steps).sum(), rtol=1e-3)


def test_gradients_pass_data_movement_between_the_pair() -> None:
    between = [helper.make_node("Transpose", ["q"], ["t"]), helper.make_node("Flatten", ["t"], ["f"])]
    module = converted(pair(np.array(0, np.int8), between))
    x = torch.from_numpy(X).requires_grad_()
    (y,) = module(x, torch.tensor(1 / 64))
    weights = torch.arange(24.0).reshape(4, 6)
    (y * weights).sum().backward()
    inside = (np.rint(X * 64) >= -128) & (np.rint(X * 64) <= 127)
    np.testing.assert_array_equal(x.grad.numpy(), np.where(inside, np.arange(24).reshape(4, 3, 2).T, 0))


@pytest.mark.parametrize(("axis", "block_size", "shape"), [(1, 0, (3,)), (2, 2, (2, 3, 2)), (2, 3, (2, 3, 2))])
def test_each_scale_gets_the_gradient_of_its_own_part(axis: int, block_size: int, shape: tuple) -> None:
    attributes = {"axis": axis, "block_size": block_size} if block_size else {"axis": axis}
    module = converted(pair(np.zeros(shape, np.int8), **attributes))
    scale = torch.linspace(0.01, 0.1, int(np.prod(shape))).reshape(shape).requires_grad_()
    (y,) = module(torch.from_numpy(X), scale)
    y.sum().backward()
    places = np.arange(4) // block_size if block_size else np.arange(4)
    spread = scale.detach().numpy()[:, None] if not block_size else scale.detach().numpy()[..., places]
    steps = X / spread
    rounded = np.clip(np.rint(steps), -128, 127)
    each = np.where(rounded == np.rint(steps), rounded - steps, rounded)
    wanted = each.sum((0, 2)) if not block_size else np.stack([each[..., places == b].sum(-1) for b in (0, 1)], -1)
    np.testing.assert_allclose(scale.grad.numpy(), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("zero_point", [scalar(100, np.uint8), scalar(3, np.int8), scalar(-7, np.int16)])
def test_not_a_number_becomes_the_least_integer(zero_point: np.ndarray) -> None:
    """As behind an infinite scale, which calibration gives to a mask of -inf."""
    model = pair(zero_point)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for scale in (scalar(0.5), scalar(np.inf)):
        x = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
        truth = session.run(None, {"x": x, "s": scale})[0]
        assert np.array_equal(converted(model)(torch.tensor(x), torch.tensor(scale))[0], truth, equal_nan=True)


def test_without_a_gradient_integers_have_their_own_type() -> None:
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])]
    model = build(nodes, {"x": 1}, {"s": SMALL_SCALE, "z": ZERO}, kind=TensorProto.UINT8)
    module = converted(model)
    assert module(torch.from_numpy(X))[0].dtype is torch.uint8
    x = torch.from_numpy(X).requires_grad_()
    with torch.no_grad():
        (exact,) = module(x)
    assert exact.dtype is torch.uint8
    np.testing.assert_array_equal(module(x)[0].detach().numpy(), exact.numpy())


@pytest.mark.parametrize("name", ["FLOAT8E4M3FN", "FLOAT8E5M2", "FLOAT8E4M3FNUZ", "FLOAT8E5M2FNUZ", "FLOAT4E2M1"])
@pytest.mark.parametrize("saturate", [1, 0])
def test_quantising_to_small_floats(name: str, saturate: int) -> None:
    code = TensorProto.DataType.Value(name)
    node = helper.make_node("QuantizeLinear", ["x", "s"], ["y"], output_dtype=code, saturate=saturate)
    model = build([node], {"x": 1}, {"s": scalar(0.3)}, 25, kind=code)
    x = np.array([0.1, -0.7, 2.0, 1e3, -1e6, 1e-3], np.float32)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x})
    with torch.no_grad():
        (got,) = converted(model)(torch.from_numpy(x))
    np.testing.assert_array_equal(got.numpy(), wanted.astype(np.float32))


def test_small_floats_pass_gradients_inside_their_range() -> None:
    code = TensorProto.FLOAT8E4M3FN
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"], output_dtype=code),
        helper.make_node("DequantizeLinear", ["q", "s"], ["y"]),
    ]
    module = converted(build(nodes, {"x": 1}, {"s": scalar(0.5)}))
    x = torch.tensor([0.1, -3.0, 200.0, 300.0, -1e4]).requires_grad_()
    module(x)[0].sum().backward()
    assert x.grad.tolist() == [1, 1, 1, 0, 0]


def test_scales_that_are_powers_of_two() -> None:
    """Microscaling: 4-bit floats, one 8-bit exponent for each block."""
    codes, scales = floats(2, 8, high=6.0), np.float32(2.0) ** RANDOM.integers(-3, 4, (2, 2))
    node = helper.make_node("DequantizeLinear", ["x", "s"], ["y"], axis=1, block_size=4, output_dtype=1)
    small = codes.astype(ml_dtypes.float4_e2m1fn)
    model = build([node], {"x": TensorProto.FLOAT4E2M1, "s": TensorProto.FLOAT8E8M0}, {}, 25)
    held = torch.from_numpy(small.astype(np.float32))
    (y,) = converted(model)(held, torch.from_numpy(scales.astype(np.float32)))
    assert y.dtype is torch.float32
    np.testing.assert_array_equal(y.numpy(), small.astype(np.float32) * scales.repeat(4, 1))


def test_dynamically_quantised_layers_pass_gradients_to_their_input() -> None:
    """y = (q - z) s (W - z_w) s_w: the elements that do not set the range have the slope of x W."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "zw"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "sw"], ["factor"]),
        helper.make_node("Mul", ["float", "factor"], ["y"]),
    ]
    weight, zero = SIGNED[0].T.copy(), np.array([1, -5, 9], np.int8)
    scales = np.array([0.01, 0.02, 0.03], np.float32)
    module = converted(build(nodes, {"x": 1}, {"w": weight, "zw": zero, "sw": scales}))
    x = torch.from_numpy(X[:, 0]).requires_grad_()
    (y,) = module(x)
    y.sum().backward()
    slope = np.broadcast_to(((weight - zero.astype(np.float32)) * scales).sum(1), X[:, 0].shape)
    inner = (X[:, 0] < X[:, 0].max()) & (X[:, 0] > X[:, 0].min())
    np.testing.assert_allclose(x.grad.numpy()[inner], slope[inner], rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(y.detach(), module(x)[0], rtol=1e-6, atol=1e-6)


def test_a_constant_input_has_a_finite_gradient() -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    x = torch.zeros(3).requires_grad_()
    converted(build(nodes, {"x": 1}, {}))(x)[0].sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_quantised_matrix_products_and_convolutions_pass_gradients() -> None:
    """Inside the range the slope is that of the product of the numbers the integers stand for."""
    quantised = helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["q"])
    last = helper.make_node("DequantizeLinear", ["p", "sy", "zy"], ["y"])
    scales = {"sx": scalar(0.02), "zx": scalar(128, np.uint8), "sy": scalar(16.0), "zy": scalar(128, np.uint8)}
    matrix = helper.make_node("QLinearMatMul", ["q", "sx", "zx", "w", "sw", "zw", "sy", "zy"], ["p"])
    generator = np.random.default_rng(1)
    weight = generator.integers(0, 256, (4, 5)).astype(np.uint8)
    constants = {**scales, "w": weight, "sw": scalar(0.1), "zw": scalar(120, np.uint8)}
    module = converted(build([quantised, matrix, last], {"x": 1}, constants))
    x = torch.from_numpy(X).requires_grad_()
    module(x)[0].sum().backward()
    slope = ((weight.astype(np.float32) - 120) * np.float32(0.1)).sum(1)
    np.testing.assert_allclose(x.grad.numpy(), np.broadcast_to(slope, X.shape), rtol=1e-4)

    convolution = helper.make_node(
        "QLinearConv", ["q", "sx", "zx", "w", "sw", "zw", "sy", "zy"], ["p"], pads=[1, 1, 1, 1]
    )
    kernel, by_channel = generator.integers(0, 256, (2, 3, 3, 3)).astype(np.uint8), np.array([0.1, 0.2], np.float32)
    zeros = np.array([120, 130], np.uint8)
    module = converted(
        build([quantised, convolution, last], {"x": 1}, {**scales, "w": kernel, "sw": by_channel, "zw": zeros})
    )
    image = torch.from_numpy(floats(2, 3, 5, 6)).requires_grad_()
    module(image)[0].sum().backward()
    floating = (kernel.astype(np.float32) - zeros[:, None, None, None]) * by_channel[:, None, None, None]
    twin = image.detach().clone().requires_grad_()
    conv2d(twin, torch.from_numpy(floating), padding=1).sum().backward()
    np.testing.assert_allclose(image.grad.numpy(), twin.grad.numpy(), rtol=1e-3, atol=1e-3)


def test_the_type_of_a_zero_point_tells_inside_a_body() -> None:
    """Shape inference names no types there."""
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", *zero], ["b"]) for zero in (["z"], [])]
    outputs = [helper.make_tensor_value_info("b", kind, None) for kind in (TensorProto.INT8, TensorProto.UINT8)]
    bodies = [helper.make_graph([node], "body", [], [output]) for node, output in zip(nodes, outputs, strict=True)]
    dequantised = [helper.make_node("Cast", ["b"], ["c"], to=1) for _ in bodies]
    for body, cast in zip(bodies, dequantised, strict=True):
        body.node.append(cast)
        del body.output[:]
        body.output.append(helper.make_tensor_value_info("c", 1, None))
    choice = helper.make_node("If", ["signed"], ["y"], then_branch=bodies[0], else_branch=bodies[1])
    model = build([choice], {"x": 1, "signed": TensorProto.BOOL}, {"s": scalar(0.02), "z": scalar(-5, np.int8)})
    module = converted(model)
    with torch.no_grad():
        for signed, wanted in ((True, np.clip(np.rint(X / np.float32(0.02)) - 5, -128, 127)),
                               (False, np.clip(np.rint(X / np.float32(0.02)), 0, 255))):  # fmt: skip
            np.testing.assert_array_equal(module(torch.from_numpy(X), torch.tensor(signed))[0].numpy(), wanted)


def test_8_bit_weights_train_through_a_quantised_network() -> None:
    """Weights come as DequantizeLinear of bytes, activations through a pair: every gradient is there."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "sw"], ["wf"], axis=0),
        helper.make_node("MatMul", ["x", "wf"], ["h"]),
        helper.make_node("QuantizeLinear", ["h", "sh", "zh"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "sh", "zh"], ["hq"]),
        helper.make_node("Relu", ["hq"], ["y"]),
    ]
    generator = np.random.default_rng(2)
    weight = generator.integers(-128, 128, (4, 3)).astype(np.int8)
    x = generator.uniform(-1, 1, (2, 4)).astype(np.float32)
    scales = np.array([0.01, 0.02, 0.03, 0.04], np.float32)
    constants = {"w": weight, "sw": scales, "sh": scalar(0.05), "zh": scalar(0, np.int8)}
    module = converted(build(nodes, {"x": 1}, constants))
    assert set(module.initializers) >= {"w"}
    module(torch.from_numpy(x))[0].sum().backward()
    hidden = x @ (weight * scales[:, None])
    alive = (np.rint(hidden / np.float32(0.05)) > 0) & (np.rint(hidden / np.float32(0.05)) <= 127)
    np.testing.assert_allclose(module.initializers["w"].grad.numpy(), x.T @ alive.astype(np.float32), rtol=1e-4)
