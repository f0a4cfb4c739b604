"""What onnx's own checker and shape inference are shown: the graph with its tensors declared as inputs."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from onnx import ModelProto, NodeProto, ValueInfoProto, checker, defs, helper, numpy_helper, shape_inference

from analysis.errors import InvalidModel
from analysis.model.nodes import STANDARD_DOMAINS, all_nodes
from analysis.model.quantized import FAKE_QUANTIZERS
from analysis.model.weights import Array, Stored

INITIALIZERS_WITHOUT_INPUTS_IR: Final = 4
OPSETS_IR: Final = 3
RUNTIME_DOMAIN: Final = "com.microsoft"
RUNTIME_OWN: Final = frozenset(
    {"SimplifiedLayerNormalization", "LayerNormalization", "MeanVarianceNormalization", "ThresholdedRelu",
     "ParametricSoftplus", "ScaledTanh", "Affine", "Scale", "ImageScaler", "Crop", "DynamicSlice"}
)  # fmt: skip
"""What onnxruntime knows, and writes, in the standard domain also where the standard has no such operator."""
RETIRED: Final = frozenset({("GroupNormalization", opset) for opset in (18, 19, 20)})
"""What the standard took back, so that onnx's tools refuse it in these versions, and exporters had written by then."""
RESIZING: Final = frozenset({"Crop", "DynamicSlice"})
"""Those whose output has another shape than their first input."""


def assemble_proto(graph: ModelProto, weights: Mapping[str, Array]) -> ModelProto:
    """The model with these tensors inside again."""
    proto = ModelProto()
    proto.CopyFrom(graph)
    proto.ir_version = max(proto.ir_version, INITIALIZERS_WITHOUT_INPUTS_IR)
    for name, array in weights.items():  # to extend the list would serialise each, which fails from 2 GB on
        tensor = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        proto.graph.initializer.add().CopyFrom(tensor)
    return proto


def with_declared_tensors(proto: ModelProto, entries: Mapping[str, Stored | Array]) -> ModelProto:
    """The graph with its tensors declared as inputs: all that onnx's own tools need of them."""
    skeleton = ModelProto()
    skeleton.CopyFrom(proto)
    declared = {value.name for value in proto.graph.input}
    for name, entry in entries.items():
        if name not in declared:
            element = helper.np_dtype_to_tensor_dtype(entry.dtype)
            skeleton.graph.input.append(helper.make_tensor_value_info(name, element, entry.shape))
    return skeleton


def _runtime_own(proto: ModelProto) -> Iterator[NodeProto]:
    """Nodes of the standard domain that only onnxruntime has in this version."""
    version = next((entry.version for entry in proto.opset_import if entry.domain in STANDARD_DOMAINS), 0)
    for node in all_nodes(proto.graph.node):
        if is_runtime_own(node, version):
            yield node


def is_runtime_own(node: NodeProto, opset: int) -> bool:
    """Whether onnxruntime has a node that the standard's domain lacks in this version."""
    if node.domain not in STANDARD_DOMAINS:
        return False
    return (node.op_type, opset) in RETIRED or (node.op_type in RUNTIME_OWN and not defs.has(node.op_type, opset))


def leave_the_standard(skeleton: ModelProto) -> None:
    """Move what only onnxruntime has out of the standard's domain, whose schemas onnx's tools look up."""
    for node in _runtime_own(skeleton):
        node.domain = RUNTIME_DOMAIN
    if all(entry.domain != RUNTIME_DOMAIN for entry in skeleton.opset_import):
        skeleton.opset_import.append(helper.make_opsetid(RUNTIME_DOMAIN, 1))


def put_stand_ins(skeleton: ModelProto) -> None:
    """Put something of the standard, with an output of the same type and shape, where only onnxruntime's own is."""
    for node in _runtime_own(skeleton):
        if node.op_type not in RESIZING:
            node.op_type = "Identity"
            del node.attribute[:], node.input[1:], node.output[1:]
    for node in all_nodes(skeleton.graph.node):
        if node.op_type in FAKE_QUANTIZERS and node.domain not in STANDARD_DOMAINS:
            node.op_type, node.domain = "Identity", ""
            del node.attribute[:], node.input[1:]


def check_graph(proto: ModelProto, entries: Mapping[str, Stored | Array]) -> None:
    """Ask onnx.checker about a graph and its tensors, but for what it refuses and onnxruntime takes.

    Raises InvalidModel.
    """
    skeleton = with_declared_tensors(proto, entries)
    for value in (*skeleton.graph.input, *skeleton.graph.output):
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()  # an open rank is allowed everywhere but in the checker
    leave_the_standard(skeleton)
    skeleton.ir_version = max(skeleton.ir_version, OPSETS_IR)  # before, files had none, and some writers named them
    try:
        checker.check_model(skeleton)
    except checker.ValidationError as error:
        raise InvalidModel(one_line(error), hint="re-export the model; onnx.checker refuses it") from error


def inferred_values(proto: ModelProto, entries: Mapping[str, Stored | Array]) -> dict[str, ValueInfoProto]:
    """Types and shapes of the values of the main graph, as far as shape inference knows them. Raises InvalidModel."""
    skeleton = with_declared_tensors(proto, entries)
    put_stand_ins(skeleton)
    leave_the_standard(skeleton)
    try:
        inferred = shape_inference.infer_shapes(skeleton).graph
    except (shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise InvalidModel(f"types cannot be inferred: {one_line(error)}", where=proto.graph.name) from error
    return {value.name: value for value in (*inferred.value_info, *inferred.input, *inferred.output)}


def one_line(error: Exception) -> str:
    """What an onnx tool complains of, short enough for a message."""
    return " ".join(str(error).split())[:400]
