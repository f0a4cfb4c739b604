"""What a node of the graph says: its name, the bodies it holds, the values that these take from outside."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from onnx import AttributeProto, GraphProto, NodeProto, helper

STANDARD_DOMAINS: Final = ("", "ai.onnx")
WITH_BODIES: Final = frozenset({"If", "Loop", "Scan", "SequenceMap"})
"""Operators of the standard that hold graphs: the others need not be searched for them, ten times in each variant."""


def label(node: NodeProto) -> str:
    """What a report calls a node: its name, or the value it writes."""
    return node.name or next((output for output in node.output if output), node.op_type)


def bodies(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs a control-flow node holds."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def all_nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """These nodes, each followed by those of its bodies."""
    for node in nodes:
        yield node
        for body in bodies(node):
            yield from all_nodes(body.node)


def captures(node: NodeProto) -> set[str]:
    """Values from outside that the bodies of a node read."""
    if node.op_type not in WITH_BODIES and not node.domain:
        return set()
    return set().union(*map(captured_by, bodies(node)))


def captured_by(body: GraphProto) -> set[str]:
    """Values from outside that a body reads."""
    captured: set[str] = set()
    inside = {value.name for value in body.input}
    for inner in body.node:
        captured |= (set(inner.input) | captures(inner)) - inside
        inside |= set(inner.output)
    captured |= {value.name for value in body.output} - inside
    captured.discard("")
    return captured


def attributes_of(node: NodeProto) -> Mapping[str, Any]:
    """Attributes as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
