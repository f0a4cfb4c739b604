"""Five graph edits, each on a copy: what every structural treatment is made of.

An edit never renames what was there; new nodes and tensors are named after the value they belong to.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from onnx import ModelProto, NodeProto, helper

from analysis.model import CheckedModel, captures
from analysis.weights import Array


class Editor:
    """A copy of a graph under edit; `finish` gives the new model."""

    def __init__(self, model: CheckedModel) -> None:
        """Copy the graph; tensors are shared."""
        self.model = model
        self.proto = ModelProto()
        self.proto.CopyFrom(model.proto)
        self.added: dict[str, Array] = {}
        self._taken = set(model.weights) | set(model.producers) | {spec.name for spec in model.inputs}

    def fresh(self, name: str) -> str:
        """A name nobody has, as near to this one as possible."""
        candidate, number = name, 2
        while candidate in self._taken:
            candidate, number = f"{name}_{number}", number + 1
        self._taken.add(candidate)
        return candidate

    def add_tensor(self, name: str, array: Array) -> str:
        """A new initialiser."""
        fresh = self.fresh(name)
        self.added[fresh] = array
        return fresh

    def replace_between(self, before: str, after: str, op_type: str, **attributes: Any) -> None:
        """Compute `after` from `before` by one node; what else led there and is now unused goes."""
        nodes = list(self.proto.graph.node)
        place = next(place for place, node in enumerate(nodes) if after in node.output)
        name = nodes[place].name or after
        nodes[place] = helper.make_node(op_type, [before], [after], name=name, **attributes)
        self._set_nodes(_without_unused(nodes, {value.name for value in self.proto.graph.output}))

    def insert_after(self, value: str, op_type: str, inputs: Iterable[str] = (), **attributes: Any) -> str:
        """Put a node behind a value; everyone who read the value reads the new one. Returns its name."""
        output = self.fresh(f"{value}_{op_type}")
        nodes = list(self.proto.graph.node)
        place = next(place for place, node in enumerate(nodes) if value in node.output)
        for node in nodes[place + 1 :]:
            node.input[:] = [output if name == value else name for name in node.input]
        node = helper.make_node(op_type, [value, *inputs], [output], name=output, **attributes)
        self._set_nodes([*nodes[: place + 1], node, *nodes[place + 1 :]])
        return output

    def finish(self) -> CheckedModel:
        """The edited model."""
        return self.model.edited(self.proto, self.model.weights.updated(self.added))

    def _set_nodes(self, nodes: Iterable[NodeProto]) -> None:
        copies = []
        for node in nodes:
            copy = NodeProto()
            copy.CopyFrom(node)
            copies.append(copy)
        del self.proto.graph.node[:]
        self.proto.graph.node.extend(copies)


def _without_unused(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    needed = set(outputs)
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
            needed.update(captures(node))
    return kept[::-1]


def downstream(model: CheckedModel, value: str) -> set[str]:
    """Every value of the main graph that depends on this one."""
    reached = {value}
    for node in model.nodes:
        if not reached.isdisjoint(node.input) or not reached.isdisjoint(captures(node)):
            reached.update(filter(None, node.output))
    return reached


def attributes_of(node: NodeProto) -> Mapping[str, Any]:
    """Attributes as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
