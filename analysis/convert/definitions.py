"""What ONNX says an operator is made of: its function body, as the graph of a node without a conversion of its own.

Some bodies depend on the types of the inputs. A scope knows what a name means where a node stands: inside a body, or
inside such a definition, names of its own hide those from outside.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    NodeProto,
    TypeProto,
    ValueInfoProto,
    defs,
    helper,
    shape_inference,
)

from analysis.model.nodes import STANDARD_DOMAINS, bodies, captures

Types = Callable[[str], TypeProto | None]
"""The type of a value by its name; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a node can know of the graph it stands in."""

    opsets: Mapping[str, int]
    """Versions the graph is written in."""
    type_of: Types

    def version(self, domain: str) -> int:
        """The version of an operator set."""
        names = STANDARD_DOMAINS if domain in STANDARD_DOMAINS else (domain,)
        return next((self.opsets[name] for name in names if name in self.opsets), 1)


@dataclass(frozen=True, slots=True)
class Expansion:
    """A node as a graph: inputs and outputs in the order of the node's, Constants among its nodes."""

    graph: GraphProto
    opsets: Mapping[str, int]
    """Versions its nodes are written in."""


def expand(node: NodeProto, scope: Scope) -> Expansion | None:
    """The body ONNX publishes for this node, its attributes filled in; None where there is none.

    Where a body depends on the types of the inputs, there is none while one of them is unknown.
    """
    schema = _schema(node, scope)
    types = [scope.type_of(name) if name else TypeProto() for name in node.input]
    function = None if schema is None else _function(schema, node, scope.version(node.domain), types)
    if function is None:
        return None
    given = {attribute.name: attribute for attribute in function.attribute_proto}
    given |= {name: known.default_value for name, known in schema.attributes.items() if known.default_value.name}
    given |= {attribute.name: attribute for attribute in node.attribute}
    omitted = {formal for formal, actual in zip(function.input, node.input, strict=False) if not actual}
    omitted |= set(function.input[len(node.input) :])
    nodes = [_filled(inner, given, omitted) for inner in function.node]
    graph = GraphProto(name=node.op_type, node=nodes)
    graph.input.extend(ValueInfoProto(name=name, type=kind) for name, kind in zip(function.input, types, strict=False))
    graph.output.extend(ValueInfoProto(name=name) for name in function.output[: len(node.output)])
    return Expansion(graph, {entry.domain: entry.version for entry in function.opset_import})


def depends_on_types(node: NodeProto, scope: Scope) -> bool:
    """Whether ONNX's body of a node cannot be told without the types of its inputs."""
    schema = _schema(node, scope)
    return schema is not None and schema.has_context_dependent_function and not schema.has_function


def enter(scope: Scope, graph: GraphProto, opsets: Mapping[str, int], *, infer: bool) -> Scope:
    """The scope inside a body: types are inferred on demand only, which takes a pass over the body."""
    own = _own(graph)
    values = _inferred(graph, scope, opsets) if infer else (*graph.input, *graph.output)
    known = {value.name: value.type for value in values if value.type.WhichOneof("value")}
    return Scope(opsets, lambda name: known.get(name) if name in own else scope.type_of(name))


def _own(graph: GraphProto) -> set[str]:
    return {value.name for value in graph.input} | {name for node in graph.node for name in node.output}


def _inferred(graph: GraphProto, scope: Scope, opsets: Mapping[str, int]) -> Iterable[ValueInfoProto]:
    """The values of a body with their types, which follow from its inputs and from what it captures."""
    whole = GraphProto()
    whole.CopyFrom(graph)
    outside = {name for node in graph.node for name in (*node.input, *captures(node))} - _own(graph) - {""}
    whole.input.extend(ValueInfoProto(name=name, type=scope.type_of(name)) for name in sorted(outside))
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    with suppress(shape_inference.InferenceError, ValueError, RuntimeError):  # what the body itself declares remains
        whole = shape_inference.infer_shapes(helper.make_model(whole, opset_imports=imports)).graph
    return (*whole.value_info, *whole.input, *whole.output)


def _schema(node: NodeProto, scope: Scope) -> Any:
    """The OpSchema of a standard operator, or None; the installed stubs lack what is read of it here."""
    version = scope.version(node.domain)
    known = node.domain in STANDARD_DOMAINS and defs.has(node.op_type, version)
    return defs.get_schema(node.op_type, version) if known else None


def _function(schema: Any, node: NodeProto, opset: int, types: Sequence[TypeProto | None]) -> FunctionProto | None:
    content: bytes | None = None
    if schema.has_function:
        content = schema.get_function_with_opset_version(_version(schema.function_opset_versions, opset))
    elif schema.has_context_dependent_function and None not in types:
        version = _version(schema.context_dependent_function_opset_versions, opset)
        known = [kind.SerializeToString() for kind in types if kind is not None]
        content = schema.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), known)
    if not content:
        return None
    function = FunctionProto()
    function.ParseFromString(content)
    return function


def _version(published: Iterable[int], opset: int) -> int:
    """The newest body written for an opset that is not newer, else the oldest."""
    ordered = sorted(published)
    return max((version for version in ordered if version <= opset), default=ordered[0])


def _filled(node: NodeProto, given: Mapping[str, AttributeProto], omitted: set[str]) -> NodeProto:
    """A node of a body with the caller's attributes, and nothing where the caller omitted an input."""
    filled = NodeProto()
    filled.CopyFrom(node)
    filled.input[:] = ["" if name in omitted else name for name in node.input]
    del filled.attribute[:]
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            filled.attribute.append(attribute)
        elif attribute.ref_attr_name in given:
            filled.attribute.append(given[attribute.ref_attr_name])
            filled.attribute[-1].name = attribute.name
    for body in bodies(filled):
        inner = [_filled(each, given, omitted) for each in body.node]
        del body.node[:]
        body.node.extend(inner)
    return filled
