"""Cases of the quantised family of com.microsoft, and gradients that are straight-through.

Scales of powers of two make halves, which shows where onnxruntime adds the zero point: before it rounds, or after.
"""

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from analysis.convert import DifferentiableModel, convert
from analysis.convert.ops import contrib_quantized
from analysis.convert.registry import RunMode
from analysis.model import check_model
from tests.analysis.convert.ops.cases import RANDOM, Case, floats, scalar

MS: dict = {"domain": "com.microsoft"}
KINDS = (np.uint8, np.int8)
SCALES = {"halves": (0.5, 0.25, 0.5), "odd scales": (0.013, 0.0271, 0.031)}


def case(op: str, inputs: list, attributes: dict | None = None, **rest: object) -> Case:
    return Case(op, inputs, attributes or {}, differentiable=False, **MS, **rest)


def numbers(kind: type, *shape: int) -> np.ndarray:
    bounds = np.iinfo(kind)
    return RANDOM.integers(bounds.min, bounds.max + 1, shape).astype(kind)


def weights(*shape: int) -> np.ndarray:
    """Seven bits: where a processor has no VNNI, onnxruntime saturates sums of products with more."""
    return numbers(np.int8, *shape) // 2


def number(value: int, kind: type) -> np.ndarray:
    return np.array(value, kind)


def every(kind: type) -> np.ndarray:
    bounds = np.iinfo(kind)
    return np.arange(bounds.min, bounds.max + 1).astype(kind)


def pairs(op: str) -> list[Case]:
    """All 65,536 pairs of two numbers, and broadcasting."""
    both = [
        case(
            op,
            [
                every(kind).repeat(256), scalar(a), number(3, kind), np.tile(every(kind), 256), scalar(b),
                number(5, kind), scalar(c), number(7, kind),
            ],
            name=f"{kind.__name__} {name}",
        )
        for kind in KINDS
        for name, (a, b, c) in SCALES.items()
    ]  # fmt: skip
    spread = [
        numbers(np.uint8, 2, 3, 4), scalar(0.1), number(0, np.uint8), numbers(np.uint8, 3, 1), scalar(0.3),
        number(9, np.uint8), scalar(0.9),
    ]  # fmt: skip
    return [*both, case(op, spread, name="broadcast")]


def curves(op: str, attributes: dict) -> list[Case]:
    return [
        case(
            op, [every(kind).reshape(2, 128), scalar(a), number(3, kind), scalar(b / 8), number(5, kind)], attributes,
            name=f"{kind.__name__} {name}",
        )
        for kind in KINDS
        for name, (a, b, _) in SCALES.items()
    ]  # fmt: skip


def means(op: str, attributes: dict, name: str) -> list[Case]:
    return [
        case(
            op, [numbers(kind, 2, 8, 6, 5), scalar(0.5), number(3, kind), scalar(scale), number(9, kind)], attributes,
            name=f"{kind.__name__} {name} {scale}",
        )
        for kind in KINDS
        for scale in (0.125, 0.071)
    ]  # fmt: skip


def mean(x, s, z, out_s, out_z):
    """No kernel of onnxruntime computes QLinearReduceMean: its page's formula."""
    y = ((x.astype(np.float32) - z) * s).mean((1, 3), keepdims=True, dtype=np.float32)
    bounds = np.iinfo(x.dtype)
    return np.clip(np.rint(y / out_s) + out_z, bounds.min, bounds.max).astype(x.dtype)


def sigmoid(x, s, _, out_s):
    """onnxruntime dies where a zero point is left out that its page lets be."""
    y = 1 / (1 + np.exp(-x.astype(np.float64) * s))
    return np.clip(np.rint(y.astype(np.float32) / out_s), -128, 127).astype(np.int8)


def gemm(kind: type, name: str, inputs: dict, attributes: dict | None = None) -> Case:
    given = {
        "a": numbers(kind, 6, 9), "sa": scalar(0.02), "za": number(5, kind), "b": weights(9, 7),
        "sb": scalar(0.013), "zb": number(-3, np.int8), "c": None, "sy": scalar(0.5), "zy": number(7, kind), **inputs,
    }  # fmt: skip
    values = [value for value in given.values() if value is not False]
    floating = given["sy"] is False
    returns = ("float32",) if floating else ()
    return case("QGemm", values, attributes, returns=returns, name=f"{kind.__name__} {name}")


BY_COLUMN = {"sb": floats(7, low=0.005, high=0.02), "zb": RANDOM.integers(-5, 5, 7).astype(np.int8)}
SUMMAND = RANDOM.integers(-3000, 3000, (1, 7)).astype(np.int32)
WEIGHT, BIAS = weights(9, 7), floats(7)
TOKENS = [
    numbers(np.uint8, 2, 3, 6), weights(6, 24), floats(24), scalar(0.01), scalar(0.01), None,
    number(120, np.uint8), number(3, np.int8),
]  # fmt: skip
TABLES = [(numbers(np.uint8, *shape), scalar(scale), number(zero, np.uint8)) for shape, scale, zero in (
    ((5, 8), 0.01, 128), ((6, 8), 0.02, 120), ((2, 8), 0.015, 100), ((8,), 0.01, 3), ((8,), 0.01, 90),
)]  # fmt: skip
WORDS, SEGMENTS = np.array([[1, 2, 0], [3, 1, 2]], np.int32), np.array([[0, 1, 0], [1, 1, 0]], np.int32)


def embedding(*, segments: bool) -> Case:
    tables = [table if segments or place != 2 else (None,) * 3 for place, table in enumerate(TABLES)]
    inputs = [
        WORDS, SEGMENTS if segments else None, *[table[0] for table in tables], None, *[table[1] for table in tables],
        *[table[2] for table in tables],
    ]  # fmt: skip
    return case(
        "QEmbedLayerNormalization", inputs, {"epsilon": 0.1}, outputs=2, returns=("float32", "int32"),
        name="segments" if segments else "words and places", tolerance=1e-4, constant=tuple(range(7, 18)),
    )  # fmt: skip


def lstm_inputs(kind: type, directions: int, samples: int, *, by_unit: bool = False) -> list:
    """Five steps, four inputs, six units; onnxruntime wants zero points of 0 where there is one for each unit."""
    shape = (directions, 24) if by_unit else (directions,)
    zeros = np.zeros(shape, kind) if by_unit else RANDOM.integers(1, 9, shape).astype(kind)
    scales = [RANDOM.uniform(0.005, 0.01, shape).astype(np.float32) for _ in range(2)]
    return [
        floats(5, samples, 4), numbers(kind, directions, 4, 24), numbers(kind, directions, 6, 24),
        floats(directions, 48), None, None, None, None, scales[0], zeros, scales[1], zeros,
    ]  # fmt: skip


def lstm(name: str, inputs: list, attributes: dict | None = None) -> Case:
    given = {"hidden_size": 6, **(attributes or {})}
    return case("DynamicQuantizeLSTM", inputs, given, outputs=3, constant=(1, 2, 8, 9, 10, 11), name=name)


CASES: list[Case] = [
    *pairs("QLinearAdd"),
    *pairs("QLinearMul"),
    *curves("QLinearSigmoid", {}),
    *curves("QLinearLeakyRelu", {"alpha": 0.25}),
    case("QLinearSigmoid", [every(np.int8), scalar(0.05), None, scalar(0.01)], formula=sigmoid, name="no zero points"),
    *[
        case(
            "QLinearSoftmax",
            [numbers(kind, 4, 3, 5), scalar(0.1), number(3, kind), scalar(scale), number(zero, kind)],
            {"axis": axis, "opset": opset}, name=f"{kind.__name__} {scale:.4f} {axis} {opset}",
        )
        for kind in KINDS
        for scale, zero in ((1 / 255, 0), (1 / 256, np.iinfo(kind).min), (0.0071, 5))
        for axis, opset in ((-1, 13), (1, 13), (1, 11))
    ],
    *[
        case(
            "QLinearSoftmax",
            [numbers(kind, 4, 5), scalar(np.inf), number(3, kind), scalar(1 / 256), number(zero, kind)],
            {"axis": -1, "opset": 13}, name=f"{kind.__name__} of infinite scale {zero}",
        )
        for kind in KINDS
        for zero in (np.iinfo(kind).min, 5)
    ],
    *[
        case(
            "QLinearWhere",
            [
                RANDOM.integers(0, 2, (256,)).astype(bool), every(kind), scalar(0.5), number(3, kind),
                every(kind)[::-1].copy(), scalar(0.13), number(9, kind), scalar(0.25), number(4, kind),
            ],
            returns=(kind.__name__,), name=kind.__name__,
        )
        for kind in KINDS
    ],
    *[
        case(
            "QLinearConcat",
            [
                scalar(0.25), number(4, kind), numbers(kind, 2, 3, 4), scalar(0.5), number(3, kind),
                numbers(kind, 2, 5, 4), scalar(0.13), number(9, kind),
            ],
            {"axis": 1}, returns=(kind.__name__,), name=kind.__name__,
        )
        for kind in KINDS
    ],
    *means("QLinearGlobalAveragePool", {}, "first"),
    *means("QLinearGlobalAveragePool", {"channels_last": 1}, "last"),
    *means("QLinearAveragePool", {"kernel_shape": [2, 3], "pads": [1, 1, 0, 1], "count_include_pad": 1}, "padding"),
    *means("QLinearAveragePool", {"kernel_shape": [2, 2], "pads": [1, 1, 0, 1], "strides": [2, 1]}, "no padding"),
    *means("QLinearAveragePool", {"kernel_shape": [3, 3], "channels_last": 1, "ceil_mode": 1}, "last"),
    case(
        "QLinearReduceMean", [numbers(np.int8, 2, 3, 4, 5), scalar(0.5), number(3, np.int8), scalar(0.1), number(9, np.int8)],  # noqa: E501 - one case, one line
        {"axes": [1, 3], "keepdims": 1}, formula=mean,
    ),
    *[
        each
        for kind in KINDS
        for each in (
            gemm(kind, "plain", {}),
            gemm(kind, "alpha, sum", {"c": SUMMAND}, {"alpha": 0.3}),
            gemm(kind, "by column", {**BY_COLUMN, "c": SUMMAND}),
            gemm(kind, "floats", {**BY_COLUMN, "c": SUMMAND, "sy": False, "zy": False}, {"alpha": 0.5}),
            gemm(kind, "turned", {"a": numbers(kind, 9, 6), "b": weights(7, 9)}, {"transA": 1, "transB": 1}),
        )
    ],
    case(
        "MatMulIntegerToFloat",
        [numbers(np.uint8, 2, 6, 9), WEIGHT, scalar(0.02), scalar(0.01), number(7, np.uint8), number(3, np.int8), BIAS],
        returns=("float32",),
    ),
    case(
        "MatMulIntegerToFloat", [numbers(np.uint8, 6, 9), WEIGHT, scalar(0.02), BY_COLUMN["sb"]], returns=("float32",),
        name="by column",
    ),
    case("DynamicQuantizeMatMul", [floats(2, 6, 9), WEIGHT, scalar(0.01), number(3, np.int8), BIAS]),
    case("DynamicQuantizeMatMul", [floats(6, 9), WEIGHT, BY_COLUMN["sb"], BY_COLUMN["zb"]], name="by column"),
    *[
        case(
            "QLinearConv",
            [
                numbers(np.uint8, 2, 5, 6, 4) if last else numbers(np.uint8, 2, 4, 5, 6), scalar(0.02),
                number(128, np.uint8), weights(6, 2, 3, 2), floats(6, low=0.01, high=0.03),
                np.zeros(6, np.int8), scalar(0.9), number(90, np.uint8), RANDOM.integers(-500, 500, 6).astype(np.int32),
            ],
            {"group": 2, "pads": [1, 0, 1, 0], "channels_last": last}, constant=(3, 4, 5, 8), name=f"last {last}",
        )
        for last in (0, 1)
    ],
    case("QuantizeLinear", [floats(2, 3, 4), scalar(0.011), number(100, np.uint8)], returns=("uint8",)),
    case("QuantizeLinear", [floats(2, 3), floats(3, low=0.01, high=0.1), np.array([1, 200, 9], np.uint16)],
         {"axis": 1}, returns=("uint16",), name="two bytes by column"),
    case("DequantizeLinear", [numbers(np.int16, 2, 3), scalar(0.011), number(-100, np.int16)], returns=("float32",)),
    case("DequantizeLinear", [numbers(np.uint8, 2, 3), floats(2, low=0.01, high=0.1), np.array([1, 200], np.uint8)],
         {"axis": 0}, returns=("float32",), name="by row"),
    case("QAttention", TOKENS, {"num_heads": 2}, returns=("float32",), constant=(1,)),
    case(
        "QAttention", [*TOKENS[:5], np.array([[1, 1, 0], [0, 1, 1]], np.int32), *TOKENS[6:]],
        {"num_heads": 2, "unidirectional": 1}, returns=("float32",), constant=(1,), name="mask",
    ),
    case(
        "QAttention", [*TOKENS[:4], floats(24, low=0.005, high=0.01), None, TOKENS[6], np.zeros(24, np.int8), floats(2, 2, 2, 2, 4)],  # noqa: E501 - one case, one line
        {"num_heads": 2}, outputs=2, returns=("float32", "float32"), constant=(1,), name="by column, past",
    ),
    embedding(segments=True),
    embedding(segments=False),
    # one sample: onnxruntime quantises the states of the samples of each of its threads together
    *[
        each
        for kind in KINDS
        for each in (
            lstm(f"{kind.__name__} forward", lstm_inputs(kind, 1, 1)),
            lstm(f"{kind.__name__} both ways", lstm_inputs(kind, 2, 1), {"direction": "bidirectional"}),
        )
    ],
    lstm("reverse by unit", lstm_inputs(np.int8, 1, 1, by_unit=True), {"direction": "reverse"}),
    lstm(
        "everything", [*lstm_inputs(np.int8, 1, 1)[:4], np.array([4], np.int32), floats(1, 1, 6, high=0.9, low=-0.9),
                       floats(1, 1, 6), floats(1, 18), *lstm_inputs(np.int8, 1, 1)[8:]],
        {"clip": 3.0, "input_forget": 1},
    ),
]  # fmt: skip


def test_on_one_thread_the_states_of_a_batch_are_quantised_together() -> None:
    """A sample that has ended counts as zeros, what lies behind the longest one not at all."""
    inputs = lstm_inputs(np.uint8, 2, 3)
    inputs[4] = np.array([3, 4, 2], np.int32)
    inputs[0][4] = 100.0
    of_batch = lstm("batch", inputs, {"direction": "bidirectional"})
    single = onnxruntime.SessionOptions()
    single.intra_op_num_threads = 1
    content = of_batch.model(1).SerializeToString()
    wanted = onnxruntime.InferenceSession(content, single).run(None, of_batch.feed())
    got = convert(check_model(content))(*map(torch.from_numpy, of_batch.feed().values()))
    for ours, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-5, atol=1e-5)


# ------------------------------------------------------------------ gradients


def between(nodes: list, constants: dict, *, quantised: int = 1) -> DifferentiableModel:
    """Float x -> QuantizeLinear (0.01, zero point 128) -> nodes from q to p -> DequantizeLinear (0.05, 100)."""
    first = [helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["q"])]
    last = [helper.make_node("DequantizeLinear", ["p", "sy", "zy"], ["y"])] if quantised else []
    scales = {"sx": scalar(0.01), "zx": number(128, np.uint8), "sy": scalar(0.05), "zy": number(100, np.uint8)}
    tensors = [numpy_helper.from_array(array, name) for name, array in {**scales, **constants}.items()]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [*first, *nodes, *last], "g", [value("x", TensorProto.FLOAT, None)], [value("y", TensorProto.FLOAT, None)],
        tensors,
    )  # fmt: skip
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    return convert(check_model(model.SerializeToString()))


def microsoft(op: str, inputs: str, output: str = "p", **attributes: object):
    return helper.make_node(op, inputs.split(), [output], domain="com.microsoft", **attributes)


SLOPES = torch.arange(1.0, 9.0)
OTHER = numbers(np.uint8, 4, 6)
AS_FLOATS = (torch.from_numpy(OTHER).float() - 60) * 0.02


@pytest.mark.parametrize(
    ("nodes", "twin"),
    [
        ([microsoft("QLinearAdd", "q sx zx o so zo sy zy")], lambda x: x + AS_FLOATS),
        ([microsoft("QLinearMul", "o so zo q sx zx sy zy")], lambda x: x * AS_FLOATS),
        ([microsoft("QLinearSigmoid", "q sx zx sy zy")], torch.sigmoid),
        ([microsoft("QLinearLeakyRelu", "q sx zx sy zy", alpha=0.3)], lambda x: torch.where(x > 0, x, 0.3 * x)),
        ([microsoft("QLinearSoftmax", "q sx zx sy zy", axis=-1, opset=13)], lambda x: torch.softmax(x, -1)),
        ([microsoft("QLinearConcat", "sy zy q sx zx o so zo", axis=0)], lambda x: torch.cat((x, AS_FLOATS))),
        ([microsoft("QLinearWhere", "on q sx zx o so zo sy zy")], lambda x: torch.where(x[:, :1] > 0, x, AS_FLOATS)),
        ([microsoft("QLinearReduceMean", "q sx zx sy zy", axes=[1], keepdims=0)], lambda x: x.mean(1)),
        ([microsoft("QGemm", "q sx zx w so zw  sy zy".replace("  ", " none "))],
         lambda x: x @ ((torch.from_numpy(WEIGHT[:6]).float() - 2) * 0.02)),
    ],
    ids=lambda value: value[0].op_type if isinstance(value, list) else "",
)  # fmt: skip
def test_gradients_are_those_of_the_operator_on_the_numbers(nodes: list, twin: object) -> None:
    """Inside the range; the points are the quantised ones, where both functions have the same slope."""
    for node in nodes:
        node.input[:] = ["" if name == "none" else name for name in node.input]
    x = torch.from_numpy((RANDOM.integers(-90, 90, (4, 6)) / 100).astype(np.float32))
    x = torch.where(x.abs() < 0.02, 0.05, x)
    constants = {"o": OTHER, "so": scalar(0.02), "zo": number(60, np.uint8), "w": WEIGHT[:6], "zw": number(2, np.int8),
                 "on": x[:, :1].numpy() > 0}  # fmt: skip
    module = between(nodes, constants)
    ours, exact = x.clone().requires_grad_(), x.clone().requires_grad_()
    (y,), wanted = module(ours), twin(exact)
    inside = ((wanted / 0.05 + 100) > 0) & ((wanted / 0.05 + 100) < 255)
    assert inside.any()
    cotangent = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(0)) * inside
    (y * cotangent).sum().backward()
    (wanted * cotangent).sum().backward()
    torch.testing.assert_close(ours.grad, exact.grad, rtol=2e-3, atol=2e-4)
    torch.testing.assert_close(y[inside], wanted[inside], rtol=0, atol=0.051)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [("QLinearGlobalAveragePool", {}), ("QLinearAveragePool", {"kernel_shape": [2, 2]})],
)
def test_gradients_of_means_are_shared(op: str, attributes: dict) -> None:
    module = between([microsoft(op, "q sx zx sy zy", **attributes)], {})
    x = torch.from_numpy(floats(2, 3, 4, 4, low=-1, high=1)).requires_grad_()
    module(x)[0].sum().backward()
    twin = x.detach().clone().requires_grad_()
    size = attributes.get("kernel_shape", [4, 4])
    torch.nn.functional.avg_pool2d(twin, size, 1).sum().backward()
    torch.testing.assert_close(x.grad, twin.grad)


def test_a_dynamically_quantised_lstm_has_the_gradients_of_its_numbers() -> None:
    """Those of the LSTM of the same weights as floats, as near as eight bits for x and h allow; the bias trains."""
    inputs = lstm_inputs(np.int8, 1, 2)
    module = convert(check_model(lstm("", inputs).model(1).SerializeToString()), train=[])
    x, bias = torch.from_numpy(inputs[0]).requires_grad_(), torch.from_numpy(inputs[3]).requires_grad_()
    module(x, bias)[0].sum().backward()
    w, r = (
        torch.from_numpy((inputs[at].astype(np.float32) - inputs[zero]) * inputs[scale]).transpose(1, 2)
        for at, scale, zero in ((1, 8, 9), (2, 10, 11))
    )
    twin, twin_bias = (value.detach().clone().requires_grad_() for value in (x, bias))
    plain = contrib_quantized.recurrent.lstm(twin, w, r, twin_bias, mode=RunMode(), node="")[0]
    plain.sum().backward()
    for ours, exact in ((x.grad, twin.grad), (bias.grad, twin_bias.grad)):
        assert float((ours - exact).norm() / exact.norm()) < 0.02


def test_a_weight_in_two_bytes_trains_as_the_floats_it_stands_for() -> None:
    node = helper.make_node("DequantizeLinear", ["w", "s", "z"], ["f"], domain="com.microsoft")
    product = helper.make_node("MatMul", ["x", "f"], ["y"])
    tensors = {"w": numbers(np.int16, 4, 3), "s": scalar(0.001), "z": number(7, np.int16)}
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node, product], "g", [value("x", 1, ["N", 4])], [value("y", 1, ["N", 3])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    module = convert(check_model(helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()))
    np.testing.assert_allclose(
        module.initializers["w"].detach().numpy(), (tensors["w"].astype(np.float32) - 7) * np.float32(0.001), rtol=1e-6
    )
