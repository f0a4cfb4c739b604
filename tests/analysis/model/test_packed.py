"""Weights of a few bits as floats: against onnxruntime on the file as it was, and finite differences of it."""

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from analysis.convert import convert
from analysis.convert.module import DifferentiableModel
from analysis.model import check_model
from analysis.options import Limits

RANDOM = np.random.default_rng(20261129)
INPUTS, OUTPUTS, BLOCK = 40, 3, 16
BLOCKS = 3  # the last one is not full
X = RANDOM.standard_normal((2, 5, INPUTS)).astype(np.float32)


def packed(bits: int, blocks: int = BLOCKS) -> np.ndarray:
    return RANDOM.integers(0, 256, (OUTPUTS, blocks, BLOCK * bits // 8), dtype=np.uint8)


def scales() -> np.ndarray:
    return RANDOM.uniform(0.01, 0.1, (OUTPUTS, BLOCKS)).astype(np.float32)


def product(inputs: str, output: str = "y", bits: int = 4, **more: int) -> NodeProto:
    given = {"K": INPUTS, "N": OUTPUTS, "bits": bits, "block_size": BLOCK, **more}
    return helper.make_node("MatMulNBits", inputs.split(" "), [output], domain="com.microsoft", name=output, **given)


def model(nodes: list[NodeProto], output: str = "y", **tensors: np.ndarray) -> ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "net", [value("x", TensorProto.FLOAT, ["N", 5, INPUTS])], [value(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def equal(proto: ModelProto) -> DifferentiableModel:
    """The module, whose outputs are those of onnxruntime."""
    (expected,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": X})
    converted = convert(check_model(proto.SerializeToString()))
    (found,) = converted(torch.from_numpy(X))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-4)
    return converted


@pytest.mark.parametrize(
    ("bits", "more"),
    [
        (4, {}),
        (2, {}),
        (8, {}),
        (4, {"z": RANDOM.integers(0, 256, (OUTPUTS, 2), dtype=np.uint8)}),
        (2, {"z": RANDOM.integers(0, 256, (OUTPUTS, 1), dtype=np.uint8)}),
        (4, {"z": RANDOM.uniform(0, 15, (OUTPUTS, BLOCKS)).astype(np.float32)}),
        (4, {"g": RANDOM.integers(0, BLOCKS, INPUTS, dtype=np.int32)}),
        (4, {"b": RANDOM.standard_normal(OUTPUTS).astype(np.float32)}),
    ],
    ids=["plain", "two bits", "eight bits", "packed zero points", "of two bits", "floats", "groups", "bias"],
)
def test_the_weight_trains_under_its_name_and_the_outputs_are_those_of_the_file(
    bits: int, more: dict[str, np.ndarray]
) -> None:
    names = ["x", "q", "s", *(name if name in more else "" for name in "zgb")]
    proto = model([product(" ".join(names).rstrip(), bits=bits)], q=packed(bits), s=scales(), **more)
    converted = equal(proto)
    assert set(converted.initializers) == {"q"} | ({"b"} & more.keys())
    weight = converted.initializers["q"]
    assert weight.shape == (INPUTS, OUTPUTS)
    converted(torch.from_numpy(X))[0].sum().backward()
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad.numpy(), np.repeat(X.sum((0, 1))[:, None], OUTPUTS, 1), rtol=1e-4)
    assert converted.frozen == {}


def test_half_precision_keeps_its_type() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        product("h q s", "p"),
        helper.make_node("Cast", ["p"], ["y"], to=TensorProto.FLOAT),
    ]
    proto = model(nodes, q=packed(4), s=scales().astype(np.float16))
    assert check_model(proto.SerializeToString()).weights["q"].dtype == np.float16


def test_a_weight_that_is_read_twice_alike_is_one_and_read_otherwise_another() -> None:
    nodes = [
        product("x q s", "a"), product("x q s", "b"), product("x q t", "c"),
        helper.make_node("Sum", ["a", "b", "c"], ["y"]),
    ]  # fmt: skip
    converted = equal(model(nodes, q=packed(4), s=scales(), t=scales()))
    assert set(converted.initializers) == {"q_2", "q_3"}


def test_bodies_are_rewritten_and_what_somebody_else_reads_stays() -> None:
    value = helper.make_tensor_value_info
    branches = {
        name: helper.make_graph([product("x q s", f"{name}_y", **more)], name, [], [value(f"{name}_y", 1, None)])
        for name, more in (("then_branch", {}), ("else_branch", {"accuracy_level": 1}))
    }
    nodes = [helper.make_node("If", ["b"], ["p"], **branches), helper.make_node("Add", ["p", "s"], ["y"])]
    tensors = {"q": packed(4), "s": scales()[:, :1].repeat(BLOCKS, 1), "b": np.array(True)}
    proto = model(nodes, **tensors)
    checked = check_model(proto.SerializeToString())
    assert set(checked.weights) == {"q", "s", "b"}
    assert checked.weights["q"].shape == (INPUTS, OUTPUTS)
    assert checked.original == proto.SerializeToString(), "its outputs are those of the file"
    assert checked.source is None


@pytest.mark.parametrize(
    "change",
    [
        {"q": packed(4)[:, :2]},
        {"s": scales()[:, :2]},
        {"z": np.zeros(1, np.uint8)},
        {"g": np.full(INPUTS, BLOCKS, np.int32)},
        {"g": np.zeros(INPUTS - 1, np.int32)},
        {"s": np.ones((OUTPUTS, BLOCKS))},
        {"q": packed(4).astype(np.int32)},
    ],
)
def test_what_does_not_fit_is_left_as_it_is(change: dict[str, np.ndarray]) -> None:
    names = ["x", "q", "s", *(name if name in change else "" for name in "zg")]
    tensors = {"q": packed(4), "s": scales(), **change}
    checked = check_model(model([product(" ".join(names).rstrip())], **tensors).SerializeToString())
    assert [node.op_type for node in checked.nodes] == ["MatMulNBits"]


def test_a_packed_weight_that_is_computed_is_left_as_it_is() -> None:
    nodes = [helper.make_node("Identity", ["q"], ["i"]), product("x i s")]
    checked = check_model(model(nodes, q=packed(4), s=scales()).SerializeToString())
    assert [node.op_type for node in checked.nodes] == ["Identity", "MatMulNBits"]


def test_floats_have_a_limit_beyond_which_nothing_is_unpacked() -> None:
    source = model([product("x q s")], q=packed(4), s=scales()).SerializeToString()
    needed = INPUTS * OUTPUTS * 4
    assert check_model(source, Limits(unpacked_bytes=needed)).nodes[0].op_type == "MatMul"
    assert check_model(source, Limits(unpacked_bytes=needed - 1)).nodes[0].op_type == "MatMulNBits"


def codes(features: int, quant_type: int, **more: int) -> ModelProto:
    """FP4 or NF4: blocks of 16 run on from row to row, and an odd number of codes leaves half a byte."""
    tensors = {
        "q": RANDOM.integers(0, 256, (OUTPUTS * features + 1) // 2, dtype=np.uint8),
        "s": RANDOM.uniform(0.1, 1, -(-OUTPUTS * features // BLOCK)).astype(np.float32),
    }
    given = {"K": features, "N": OUTPUTS, "block_size": BLOCK, "quant_type": quant_type, **more}
    nodes = [
        helper.make_node("Slice", ["x", "from", "to", "axis"], ["part"]),
        helper.make_node("MatMulBnb4", ["part", "q", "s"], ["y"], domain="com.microsoft", **given),
    ]
    ends = {"from": np.array([0]), "to": np.array([features]), "axis": np.array([2])}
    return model(nodes, **ends, **tensors)


@pytest.mark.parametrize(("features", "quant_type"), [(32, 0), (32, 1), (33, 0), (33, 1)])
def test_codes_of_four_bits_train_as_floats(features: int, quant_type: int) -> None:
    converted = equal(codes(features, quant_type))
    assert set(converted.initializers) == {"q"}
    assert converted.initializers["q"].shape == (features, OUTPUTS)


@pytest.mark.parametrize("change", [{"transB": 0}, {"quant_type": 2}, {"K": 30}, {"block_size": 8}])
def test_codes_that_do_not_fit_are_left_as_they_are(change: dict[str, int]) -> None:
    proto = codes(32, 1)
    node = proto.graph.node[1]
    kept = [each for each in node.attribute if each.name not in change]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in change.items())])
    checked = check_model(proto.SerializeToString())
    assert [each.op_type for each in checked.nodes] == ["Slice", "MatMulBnb4"]
