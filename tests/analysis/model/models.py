"""Small models of nodes and of ONNX text."""

import numpy as np
import onnxruntime
import torch
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper, parser

from analysis.convert import convert
from analysis.model import CheckedModel, check_model
from analysis.options import Limits

RANDOM = np.random.default_rng(20261123)
HEAD = '<ir_version: 10, opset_import: ["": 20, "own": 1]>'
RELU = f"{HEAD} net (float[N,4] x) => (float[N,4] y) {{ y = Relu(x) }}"
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def checked(text: str, limits: Limits | None = None) -> CheckedModel:
    return check_model(parser.parse_model(text).SerializeToString(), limits or Limits())


def value(name: str, element: int = FLOAT, shape=None):
    return helper.make_tensor_value_info(name, element, shape)


def model(nodes: list[NodeProto], functions: list[FunctionProto] | None = None, **initializers) -> ModelProto:
    """Nodes between a float input `x` and a float output `y`."""
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in initializers.items()]
    graph = helper.make_graph(nodes, "net", [value("x", FLOAT, ["N", 4])], [value("y")], tensors)
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10, functions=functions or [])


def body(nodes: list[NodeProto], output: str, **initializers) -> GraphProto:
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in initializers.items()]
    return helper.make_graph(nodes, "body", [], [value(output)], tensors)


def node(op: str, inputs: str, outputs: str, **attributes) -> NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def branch(then: GraphProto, otherwise: GraphProto, output: str = "y") -> NodeProto:
    return node("If", "b", output, then_branch=then, else_branch=otherwise)


def function(name: str, nodes: list[NodeProto], overload: str = "") -> FunctionProto:
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    made = helper.make_function("own", name, ["a"], ["b"], nodes, imports)
    made.overload = overload
    return made


def call(name: str, inputs: str = "a", outputs: str = "b", overload: str = "") -> NodeProto:
    made = node(name, inputs, outputs, domain="own")
    made.overload = overload
    return made


def agrees_with_onnxruntime(proto: ModelProto) -> bool:
    """Whether the checked model computes what the original does, as far as conversion can tell."""
    array = RANDOM.standard_normal((3, 4)).astype(np.float32)
    wanted = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": array})
    got = convert(check_model(proto.SerializeToString()))(torch.from_numpy(array))
    return all(np.allclose(a.detach().numpy(), b, atol=1e-6) for a, b in zip(got, wanted, strict=True))


def everything() -> bytes:
    """A model that goes through every part of check_model."""
    then = body([node("Constant", "", "k1", value_int=1), node("Neg", "z", "q")], "q")
    linear = [
        node("Constant", "", "k", value_floats=[1.0] * 4),
        node("Add", "x k", "xk"),
        node("MatMul", "xk W", "z"),
        branch(then, body([node("Relu", "z", "w")], "w"), "i"),
        call("f", "i", "y"),
    ]
    proto = model(linear, [function("f", [node("Relu", "a", "b")])], W=np.ones((4, 4), np.float32), b=True)
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    indices = numpy_helper.from_array(np.array([3]))
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2, 4]))
    return proto.SerializeToString()


EVERYTHING = everything()


def chain(length: int, prefix: str = "r", start: str = "x", end: str = "y") -> list[NodeProto]:
    names = [start, *(f"{prefix}{n}" for n in range(length - 1)), end]
    return [node("Relu", names[n], names[n + 1]) for n in range(length)]
