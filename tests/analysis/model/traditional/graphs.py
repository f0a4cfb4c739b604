"""Small graphs with operators of ai.onnx.ml, and what onnxruntime computes of the very bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from analysis.convert import DifferentiableModel, convert
from analysis.model import CheckedModel, check_model

RANDOM = np.random.default_rng(20261128)
OPSETS = ((9, 1, 4), (11, 2, 6), (13, 2, 7), (17, 3, 8), (21, 4, 10))
"""Versions of the standard and of ai.onnx.ml that exporters write together, and the IR they come in."""
LABEL_AND_SCORES = (TensorProto.INT64, TensorProto.FLOAT)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs, outputs, name=op.lower(), domain="ai.onnx.ml", **attributes)


def graph(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, int],
    weights: Mapping[str, np.ndarray] | None = None,
    opsets: tuple[int, int, int] = (17, 3, 8),
    open_batch: bool = True,
) -> ModelProto:
    """A model whose inputs are like these arrays, with an open batch axis; outputs by element type."""
    declared = [
        helper.make_tensor_value_info(
            name,
            helper.np_dtype_to_tensor_dtype(array.dtype),
            ["N" if open_batch and array.ndim > 1 else array.shape[0], *array.shape[1:]],
        )
        for name, array in inputs.items()
    ]
    results = [helper.make_tensor_value_info(name, element, None) for name, element in outputs.items()]
    tensors = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    standard, traditional, ir = opsets
    imports = [helper.make_opsetid("", standard), helper.make_opsetid("ai.onnx.ml", traditional)]
    return helper.make_model(
        helper.make_graph(list(nodes), "graph", declared, results, tensors), opset_imports=imports, ir_version=ir
    )


def single(op: str, x: np.ndarray, elements: Sequence[int] = (TensorProto.FLOAT,), **rest: Any) -> ModelProto:
    """One node that reads x; `opsets` as in `graph`, all else its attributes."""
    opsets = rest.pop("opsets", OPSETS[3])
    outputs = {f"y{place}": element for place, element in enumerate(elements)}
    return graph([node(op, ["x"], list(outputs), **rest)], {"x": x}, outputs, opsets=opsets)


def theirs(proto: ModelProto, inputs: Mapping[str, np.ndarray]) -> list[Any]:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    content = proto.SerializeToString()
    return onnxruntime.InferenceSession(content, settings, providers=["CPUExecutionProvider"]).run(None, dict(inputs))


def ours(model: CheckedModel, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    module = convert(model).eval()
    with torch.no_grad():
        return [value.numpy() for value in module(*[torch.from_numpy(np.array(each)) for each in inputs.values()])]


def assert_same(proto: ModelProto, **inputs: np.ndarray) -> CheckedModel:
    """The model, after its outputs were held against onnxruntime's."""
    model = check_model(proto.SerializeToString())
    assert all(each.domain != "ai.onnx.ml" for each in model.nodes)
    for got, want in zip(ours(model, inputs), theirs(proto, inputs), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    return model


def gradients(module: DifferentiableModel, output: int, *inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The gradients of the squared norm of an output with respect to every weight."""
    module(*[torch.from_numpy(np.array(each)) for each in inputs])[output].square().sum().backward()
    return {name: parameter.grad.numpy() for name, parameter in module.initializers.items()}
