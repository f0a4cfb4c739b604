"""Which operator a node is where it stands: the operator sets in force, and the types that are known."""

from collections.abc import Mapping

from onnx import GraphProto, NodeProto, TypeProto, helper

from analysis.convert.definitions import Scope, depends_on_types, enter
from analysis.convert.registry import TYPED, Operator, lookup
from analysis.model import CheckedModel
from analysis.model.nodes import bodies


def operator_of(scope: Scope, node: NodeProto) -> Operator | None:
    """The registered function of a node, or None."""
    return lookup(node.domain, node.op_type, scope.version(node.domain))


def scope_inside(scope: Scope, graph: GraphProto, opsets: Mapping[str, int]) -> Scope:
    """The scope of a body, with types where a node in it asks for them."""
    return enter(scope, graph, opsets, infer=_asks_for_types(graph, Scope(opsets, scope.type_of)))


def _asks_for_types(graph: GraphProto, scope: Scope) -> bool:
    for node in graph.node:
        operator = operator_of(scope, node)
        if depends_on_types(node, scope) if operator is None else not TYPED.isdisjoint(operator.attributes.values()):
            return True
    return any(_asks_for_types(body, scope) for node in graph.node for body in bodies(node))


def type_in(model: CheckedModel, name: str) -> TypeProto | None:
    """What the model says of the type of a value; an empty type for an omitted one, None where nothing is known."""
    if not name:
        return TypeProto()
    if name in model.weights:
        return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(model.weights[name].dtype), None)
    known = model.values.get(name)
    return None if known is None or known.type.WhichOneof("value") is None else known.type
