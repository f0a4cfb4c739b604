"""What every conversion is held to: onnxruntime forward, finite differences backward."""

from collections.abc import Callable, Sequence

import numpy as np
import onnxruntime
import torch
from onnx import ModelProto, numpy_helper, parser

from analysis.convert import DifferentiableModel
from analysis.convert.tensors import to_tensor
from analysis.convert.translate import read_graph, translate
from analysis.model import CheckedModel, check_model

RANDOM = np.random.default_rng(20261123)
Tensor = torch.Tensor


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def proto(
    nodes: str, inputs: str = "float[N,4] x", outputs: str = "float[] y", opset: int = 20, **weights: np.ndarray
) -> ModelProto:
    """ONNX text with these initialisers."""
    head = f'<ir_version: 8, opset_import: ["": {opset}, "own": 1]>'
    made = parser.parse_model(f"{head} net ({inputs}) => ({outputs}) {{ {nodes} }}")
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items())
    return made


def checked(made: ModelProto) -> CheckedModel:
    return check_model(made.SerializeToString())


def converted(made: ModelProto, **how) -> DifferentiableModel:
    """As an analysis has it: running statistics stay."""
    precision = how.pop("precision", torch.float32)
    return translate(read_graph(checked(made), **how), precision)


def tensors(arrays: Sequence[np.ndarray], precision: torch.dtype = torch.float32) -> list[Tensor]:
    return [to_tensor(np.array(array), precision) for array in arrays]


def reference(made: ModelProto, *arrays: np.ndarray) -> list[np.ndarray]:
    """What onnxruntime computes, integers not rounded into faster ones."""
    exact = onnxruntime.SessionOptions()
    exact.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(made.SerializeToString(), exact)
    return session.run(None, {spec.name: array for spec, array in zip(session.get_inputs(), arrays, strict=True)})


def assert_sound(made: ModelProto, *arrays: np.ndarray, **how) -> DifferentiableModel:
    """Outputs as onnxruntime has them; gradients as finite differences have them, of every parameter, none all zero."""
    module = converted(made, **how)
    outputs, wanted = module(*tensors(arrays)), reference(made, *arrays)
    assert len(outputs) == len(wanted)
    for output, want in zip(outputs, wanted, strict=True):
        assert output.detach().numpy().dtype == want.dtype
        np.testing.assert_allclose(output.detach().numpy(), want, rtol=1e-5, atol=1e-5)
    assert_differentiable(converted(made, **how, precision=torch.float64), tensors(arrays, torch.float64))
    return module


def assert_differentiable(module: DifferentiableModel, inputs: Sequence[Tensor]) -> None:
    generator = torch.Generator().manual_seed(0)
    cotangents = [torch.randn(y.shape, generator=generator, dtype=y.dtype) for y in module(*inputs)]

    def loss() -> Tensor:
        return sum((y * v).sum() for y, v in zip(module(*inputs), cotangents, strict=True) if y.is_floating_point())

    loss().backward()
    for name, parameter in module.initializers.items():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
        differences = torch.zeros_like(parameter)
        for place in range(parameter.numel()):
            differences.view(-1)[place] = central_difference(parameter.data.view(-1), place, loss)
        torch.testing.assert_close(parameter.grad, differences, rtol=1e-5, atol=1e-6)


def central_difference(values: Tensor, place: int, loss: Callable[[], Tensor], step: float = 1e-6) -> float:
    kept, ends = float(values[place]), []
    with torch.no_grad():
        for sign in (1, -1):
            values[place] = kept + sign * step
            ends.append(float(loss()))
    values[place] = kept
    return (ends[0] - ends[1]) / (2 * step)
