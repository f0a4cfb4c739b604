"""What exporters write and is taken back: a repeated count, equal parameters stored once, outputs without a type."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np
from onnx import ModelProto, NodeProto, helper

from analysis.errors import LimitExceeded
from analysis.model.checked import FLOATS
from analysis.model.nodes import STANDARD_DOMAINS, all_nodes, label
from analysis.model.onnx_tools import inferred_values
from analysis.model.weights import Array, Stored, Weights
from analysis.options import Limits

TORCH: Final = "pytorch"
"""What torch's exporter calls itself."""
STANDARD: Final = "ai.onnx"
UNNAMED: Final = "model"
SPLIT_COUNTS: Final = 18
"""The opset from which Split may say how many outputs it has."""


def drop_redundant(proto: ModelProto) -> bool:
    """Drop what exporters write under an opset that does not know it, where it says nothing new; whether there was any.

    torch's exporter declares opset 17 and writes the num_outputs of Split-18, which repeats how many outputs there are.
    """
    version = next((entry.version for entry in proto.opset_import if entry.domain in STANDARD_DOMAINS), 0)
    if version >= SPLIT_COUNTS:
        return False
    nodes = [*all_nodes(proto.graph.node), *(node for each in proto.functions for node in all_nodes(each.node))]
    mended = False
    for node in nodes:
        for attribute in node.attribute:
            if node.op_type == "Split" and attribute.name == "num_outputs" and attribute.i == len(node.output):
                node.attribute.remove(attribute)
                mended = True
                break
    return mended


def plain_domains(proto: ModelProto) -> None:
    """Write the standard's domain in one way: "ai.onnx" and the empty name are the same."""
    functions = [node for function in proto.functions for node in all_nodes(function.node)]
    for node in (*all_nodes(proto.graph.node), *functions):
        if node.domain == STANDARD:
            node.domain = ""
    for imported in (proto.opset_import, *(function.opset_import for function in proto.functions)):
        standard = [entry for entry in imported if entry.domain == STANDARD]
        known = any(not entry.domain for entry in imported)
        for entry in standard:
            if known:
                imported.remove(entry)
            entry.domain, known = "", True


def type_outputs(proto: ModelProto, entries: Mapping[str, Stored | Array]) -> None:
    """Give outputs without a type, and values declared without one, what inference says, as onnxruntime does.

    What nothing can be said of is left to onnx.checker, which refuses it.
    """
    declared = [value for value in proto.graph.value_info if value.HasField("type")]
    if len(declared) < len(proto.graph.value_info):
        del proto.graph.value_info[:]
        proto.graph.value_info.extend(declared)
    if all(value.HasField("type") for value in proto.graph.output):
        return
    known = inferred_values(proto, entries)
    for value in proto.graph.output:
        if not value.HasField("type") and value.name in known:
            value.type.CopyFrom(known[value.name].type)


def name_graph(proto: ModelProto) -> None:
    """Give a graph without a name one: onnxruntime takes it as it is, onnx.checker does not."""
    proto.graph.name = proto.graph.name or UNNAMED


def separate_equal(
    proto: ModelProto, entries: dict[str, Stored | Array], constants: AbstractSet[str], limits: Limits
) -> bool:
    """Give every parameter its own tensor again where torch's exporter stored equal ones once; whether there was any.

    The fresh biases (all 0) and scales (all 1) of a network become one tensor and Identity nodes under the names of the
    others. So do tied weights that are laid out alike; these are told by their elements, which are not all the same.
    """
    if proto.producer_name != TORCH:
        return False
    kept, separated, spent = list[NodeProto](), set[str](), 0
    results = {value.name for value in proto.graph.output}
    for node in proto.graph.node:
        source = entries.get(node.input[0]) if node.op_type == "Identity" and node.input[0] not in constants else None
        if source is None or not _is_float(source) or node.output[0] in results or node.output[0] in entries:
            kept.append(node)
            continue
        array = Weights({"source": source})["source"]
        if array.size and np.any(array != array.flat[0]):  # drawn at random and yet equal: tied
            kept.append(node)
            continue
        spent += array.nbytes
        if spent > limits.sparse_bytes:
            raise LimitExceeded(f"equal tensors grow to more than {limits.sparse_bytes} bytes", where=label(node))
        entries[node.output[0]] = np.array(array)
        separated.add(node.output[0])
    if separated:
        declared = [value for value in proto.graph.value_info if value.name not in separated]
        del proto.graph.node[:], proto.graph.value_info[:]
        proto.graph.node.extend(kept)
        proto.graph.value_info.extend(declared)
    return bool(separated)


def _is_float(entry: Stored | Array) -> bool:
    return helper.np_dtype_to_tensor_dtype(entry.dtype) in FLOATS
