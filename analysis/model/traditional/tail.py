"""What hangs behind the last tensor of numbers: maps and strings, for people to read.

scores -- ZipMap -- probabilities: list of {label: score}      the scores come out under the output's name
place -- ArrayFeatureExtractor (labels: strings) -- label      the output is left out
"""

from collections.abc import Iterator
from typing import Any

from onnx import GraphProto, NodeProto, TensorProto, TypeProto, helper

from analysis.model.nodes import captures
from analysis.model.traditional.writer import DOMAIN


def unzip_maps(graph: GraphProto) -> Iterator[str]:
    """The tensor in place of every ZipMap whose map is an output; what was done."""
    outputs = {value.name: value for value in graph.output}
    for node in graph.node:
        if node.op_type != "ZipMap" or node.domain != DOMAIN or node.output[0] not in outputs:
            continue
        columns = max((len(attribute.strings) or len(attribute.ints) for attribute in node.attribute), default=0)
        outputs[node.output[0]].type.CopyFrom(helper.make_tensor_type_proto(TensorProto.FLOAT, [None, columns or None]))
        node.op_type, node.domain = "Identity", ""
        del node.attribute[:]
        yield f"ZipMap left out: {node.output[0]} is the tensor that it reads"


def keeps_order(graph: GraphProto) -> bool:
    """Whether every ZipMap has its labels in ascending order, in which maps hold them."""
    labels: list[list[Any]] = [
        list(attribute.strings or attribute.ints)
        for node in graph.node
        if node.op_type == "ZipMap"
        for attribute in node.attribute
    ]
    return all(each == sorted(each) for each in labels)


def drop_strings(graph: GraphProto) -> Iterator[str]:
    """Leave out the outputs that are strings or maps, where tensors of numbers remain; what was done."""
    kept = [value for value in graph.output if _is_numbers(value.type)]
    dropped = [value.name for value in graph.output if not _is_numbers(value.type)]
    if not kept or not dropped:
        return
    del graph.output[:]
    graph.output.extend(kept)
    drop_unread(graph)
    yield from (f"output {name} left out: it holds names, not numbers" for name in dropped)


def drop_unread(graph: GraphProto) -> None:
    """Drop the nodes of which nobody reads anything."""
    read = {value.name for value in graph.output}
    nodes: list[NodeProto] = []
    for node in reversed(graph.node):
        if read.isdisjoint(node.output):
            continue
        nodes.append(node)
        read.update((*node.input, *captures(node)))
        for place, name in enumerate(node.output):
            if name not in read and node.domain == DOMAIN:
                node.output[place] = ""
    del graph.node[:]
    graph.node.extend(reversed(nodes))
    tensors = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(tensors)


def _is_numbers(kind: TypeProto) -> bool:
    """A tensor of numbers, or a type that another operator set's checks are for."""
    if kind.HasField("map_type"):
        return False
    if kind.HasField("sequence_type"):
        return _is_numbers(kind.sequence_type.elem_type)
    return kind.tensor_type.elem_type != TensorProto.STRING
