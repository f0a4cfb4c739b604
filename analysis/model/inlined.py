"""A branch of an If in place of the If: what always runs stands in the graph itself, where its layers are seen.

Branches name their values as they like: a name that the graph has already becomes another one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from onnx import GraphProto, ModelProto, NodeProto, helper

from analysis.errors import InvalidModel
from analysis.model.checked import CheckedModel
from analysis.model.nodes import attributes_of, bodies, captured_by, label

BRANCHES: Final = {True: "then_branch", False: "else_branch"}


def inline_branches(model: CheckedModel, taken: Mapping[str, bool]) -> CheckedModel:
    """The model with the branch that is taken in place of each If named here (main graph; True: the first branch).

    What was uploaded stays what outputs are compared with. Weights that nothing reads any more stay, and do not train.
    Raises InvalidModel for a branch that is not there.
    """
    proto = ModelProto()
    proto.CopyFrom(model.proto)
    names = _names(proto.graph, taken) | set(model.weights)
    nodes: list[NodeProto] = []
    gone: dict[str, str] = {}
    for node in proto.graph.node:
        if not _is_taken(node, taken):
            nodes.append(node)
            continue
        nodes += _inside(node, _branch(node, first=taken[label(node)]), names)
        other = captured_by(_branch(node, first=not taken[label(node)]))
        gone |= dict.fromkeys(other & model.weights.keys(), f"only in the branch of {label(node)} that is not taken")
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    inlined = model.edited(proto, model.weights)
    fixed = {name: why for name, why in gone.items() if name not in inlined.consumers}
    return replace(inlined, original=model.source or model.original, fixed={**model.fixed, **fixed})


def _branch(node: NodeProto, *, first: bool) -> GraphProto:
    found = attributes_of(node).get(BRANCHES[first])
    if not isinstance(found, GraphProto):
        raise InvalidModel(f"an If needs its {BRANCHES[first]}", where=label(node))
    return found


def _inside(node: NodeProto, branch: GraphProto, names: set[str]) -> list[NodeProto]:
    """The nodes of a branch, and what hands its outputs to the readers of the If."""
    renamed: dict[str, str] = {}
    inner = set[str]().union(*map(_inner_names, branch.node))
    for name in _written(branch.node):
        if name in names:
            renamed[name] = _free(name, names | inner)
        names.add(renamed.get(name, name))
    nodes = [_copied(each, renamed) for each in branch.node]
    outputs = zip(branch.output, node.output, strict=False)
    nodes += [helper.make_node("Identity", [renamed.get(a.name, a.name)], [b], name=b) for a, b in outputs if b]
    return nodes


def _copied(node: NodeProto, renamed: Mapping[str, str]) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    _rename(copy, renamed)
    return copy


def _rename(node: NodeProto, renamed: Mapping[str, str]) -> None:
    """Values that a node reads and writes, and those that its bodies capture."""
    node.input[:] = [renamed.get(name, name) for name in node.input]
    node.output[:] = [renamed.get(name, name) for name in node.output]
    for body in bodies(node):
        own = {value.name for value in body.input} | set(_written(body.node))
        captured = {old: new for old, new in renamed.items() if old not in own}
        for inner in body.node:
            _rename(inner, captured)
        for value in body.output:
            value.name = captured.get(value.name, value.name)


def _is_taken(node: NodeProto, taken: Mapping[str, bool]) -> bool:
    return node.op_type == "If" and label(node) in taken


def _written(nodes: Iterable[NodeProto]) -> list[str]:
    return [name for node in nodes for name in node.output if name]


def _names(graph: GraphProto, taken: Mapping[str, bool]) -> set[str]:
    """What no value of a branch may be called in the graph: its values, and those of the bodies that stay."""
    names = {value.name for value in graph.input} | set(_written(graph.node))
    return names.union(*(_inner_names(node) for node in graph.node if not _is_taken(node, taken)))


def _inner_names(node: NodeProto) -> set[str]:
    """Values of the bodies of a node, and of the bodies in these."""
    names: set[str] = set()
    for body in bodies(node):
        names |= {value.name for value in body.input} | set(_written(body.node))
        names = names.union(*map(_inner_names, body.node))
    return names


def _free(name: str, names: set[str]) -> str:
    number = 2
    while f"{name}_{number}" in names:
        number += 1
    return f"{name}_{number}"
