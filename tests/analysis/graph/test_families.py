"""Families of operators, held against what onnx and onnxruntime know and compute."""

import numpy as np
import pytest
from onnx import ModelProto, defs, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime import InferenceSession
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from analysis.graph.families import ACTIVATIONS, LINEAR, NORMALIZATIONS

RANDOM = np.random.default_rng(20261210)
KNOWN = {schema.name for schema in (*runtime.get_all_operator_schema(), *defs.get_all_schemas())}
CONTRIB = {"FusedMatMul", "FastGelu", "BiasGelu", "QuickGelu"}
OPERANDS: dict[str, tuple[np.ndarray, ...]] = {
    "PRelu": (np.full(1, 0.3, np.float32),),
    "BiasGelu": (np.zeros(6, np.float32),),
    "Clip": (np.float32(-0.5), np.float32(0.5)),
}


def computed(op: str, x: np.ndarray, *operands: np.ndarray) -> np.ndarray:
    domain = "com.microsoft" if op in CONTRIB else ""
    names = [f"w{place}" for place in range(len(operands))]
    node = helper.make_node(op, ["x", *names], ["y"], domain=domain)
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in zip(names, operands, strict=True)]
    interface = [[helper.make_tensor_value_info(name, 1, None)] for name in "xy"]
    imports = [helper.make_opsetid("", 24 if op == "Swish" else 20), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph([node], "net", *interface, tensors)
    made: ModelProto = helper.make_model(graph, opset_imports=imports, ir_version=10)
    if op == "Swish":  # not yet among onnxruntime's kernels
        return ReferenceEvaluator(made).run(None, {"x": x})[0]
    return InferenceSession(made.SerializeToString()).run(None, {"x": x})[0]


@pytest.mark.parametrize("family", [LINEAR, ACTIVATIONS, NORMALIZATIONS], ids=["linear", "activations", "norms"])
def test_every_member_is_an_operator_of_onnx_or_onnxruntime(family: frozenset[str]) -> None:
    assert family <= KNOWN


def test_families_have_no_member_in_common() -> None:
    assert len(LINEAR | ACTIVATIONS | NORMALIZATIONS) == len(LINEAR) + len(ACTIVATIONS) + len(NORMALIZATIONS)


def test_every_normalization_of_the_standard_and_of_onnxruntimes_transformers_is_one() -> None:
    standard = {schema.name for schema in defs.get_all_schemas() if schema.name.endswith("Normalization")}
    standard |= {name for name in KNOWN if name.startswith(("Skip", "Simplified")) and "Norm" in name}
    assert standard | {"LRN", "EmbedLayerNormalization", "QEmbedLayerNormalization", "GroupNorm"} == NORMALIZATIONS


WEIGHTS = {
    "Conv": ((2, 3, 7), (4, 3, 3)), "ConvTranspose": ((2, 3, 7), (3, 4, 3)), "Gemm": ((2, 3), (3, 4)),
    "MatMul": ((2, 3), (3, 4)), "FusedMatMul": ((2, 3), (3, 4)),
}  # fmt: skip


@pytest.mark.parametrize("op", sorted(LINEAR))
def test_linear_operators_take_sums_to_sums(op: str) -> None:
    shape, weight = WEIGHTS[op]
    x, z = RANDOM.standard_normal((2, *shape)).astype(np.float32)
    w = RANDOM.standard_normal(weight).astype(np.float32)
    together, apart = computed(op, 2 * x - 3 * z, w), 2 * computed(op, x, w) - 3 * computed(op, z, w)
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("op", sorted(ACTIVATIONS))
def test_activations_work_on_each_element_alone_and_are_not_linear(op: str) -> None:
    x = np.linspace(-3, 3, 12, dtype=np.float32).reshape(2, 6)
    operands = OPERANDS.get(op, ())
    y = computed(op, x, *operands)
    assert y.shape == x.shape
    np.testing.assert_allclose(computed(op, x[::-1, ::-1].copy(), *operands), y[::-1, ::-1], rtol=1e-6, atol=1e-6)
    slopes = np.diff(y.reshape(-1)) / np.diff(x.reshape(-1))
    assert np.ptp(slopes) > 0.1
