"""Which initialisers a value is made of, and where weights meet data.

Exporters rarely feed a weight straight into its operator: it passes a Transpose, a Slice of a fused projection, a
Cast, a DequantizeLinear, or arithmetic such as weight normalisation g * v / |v|. A value computed from weights alone
is a *weight expression*; its sources are the initialisers whose floats it carries. The user's weight is the source,
and the gradient belongs there. A *use* is an operator at which a weight expression meets data, in a known role.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from onnx import GraphProto, NodeProto

from analysis.graph.families import LOOKUPS
from analysis.graph.slots import LOOP_STATES, NO_FLOATS_OUT, RECURRENT, data_inputs, is_float_dtype, role_of
from analysis.model import CheckedModel
from analysis.model.nodes import bodies, captures

LEARNING: Final = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose", "LayerNormalization", "RMSNormalization"})
"""Operators that hold parameters wherever they stand."""


@dataclass(frozen=True, slots=True)
class Use:
    """A weight expression meeting data."""

    initializer: str
    role: str
    """A role of ROLES, or `other` where the operator's slot holds no parameter."""
    node: NodeProto
    """The operator that reads it, perhaps inside a body."""
    owner: NodeProto
    """The node of the main graph: itself, or the control-flow node around it."""
    value: str
    """The weight expression at the operator's input."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Weight expressions of a model and their uses."""

    of: Mapping[str, tuple[str, ...]]
    """Value -> initialisers it is made of; empty tuple: a constant without floats. Dynamic values are missing."""
    uses: tuple[Use, ...]
    within: tuple[Use, ...] = ()
    """Where weight expressions meet each other in the role of a weight: queries that are learnt, before any data."""


def find_sources(model: CheckedModel) -> Sources:
    """Walk the graph once, in topological order, bodies included."""
    walk = _Walk(model)
    walk.nodes(model.nodes, None)
    return Sources(walk.of, tuple(walk.uses), tuple(walk.within))


class _Walk:
    def __init__(self, model: CheckedModel) -> None:
        self.model = model
        self.of: dict[str, tuple[str, ...]] = {
            name: (name,) if self._carries_floats(name) else () for name in model.weights
        }
        self.quantized = {name for name, sources in self.of.items() if not sources}
        self.uses: list[Use] = []
        self.within: list[Use] = []
        self.products: set[str] = set()
        """What such operators write."""

    def nodes(self, nodes: Iterable[NodeProto], owner: NodeProto | None) -> None:
        for node in nodes:
            self._node(node, owner or node)
            for body in bodies(node):
                self._forget(value.name for value in body.input)
                self._carry(node, body)
                self.nodes(body.node, owner or node)

    def _carry(self, node: NodeProto, body: GraphProto) -> None:
        """What a Loop hands on unchanged from turn to turn is the same weight inside."""
        if node.op_type != "Loop":
            return
        for slot in range(LOOP_STATES, len(node.input)):
            inside, after = body.input[slot].name, body.output[slot - 1].name
            if node.input[slot] in self.of and _is_handed_on(body, inside, after):
                self.of[inside] = self.of[node.input[slot]]

    def _node(self, node: NodeProto, owner: NodeProto) -> None:
        data = [name for name in data_inputs(node) if name]
        plain = not self._is_lookup(node) and not self._is_rescaled(node) and next(bodies(node), None) is None
        if plain and data and all(name in self.of for name in data):
            self._meet(node, owner)
            self.of.update({name: self._expression(node, data, name) for name in node.output if name})
            return
        self._forget(node.output)
        for slot, name in enumerate(node.input):
            role = role_of(node, slot)
            self.uses.extend(Use(source, role, node, owner, name) for source in self.of.get(name, ()))

    def _meet(self, node: NodeProto, owner: NodeProto) -> None:
        """Note weights that meet in an operator which holds parameters, and what is added to its product."""
        if node.op_type in LEARNING:
            self.products.update(node.output)
        elif node.op_type != "Add" or self.products.isdisjoint(node.input):
            return
        if len({source for name in node.input for source in self.of[name]}) > 1:
            roles = [
                (name, "bias" if node.op_type == "Add" else role_of(node, slot)) for slot, name in enumerate(node.input)
            ]
            self.within.extend(Use(source, role, node, owner, name) for name, role in roles for source in self.of[name])

    def _forget(self, names: Iterable[str]) -> None:
        """Values that are data here, whatever a body beside this one calls by the same names."""
        for name in names:
            self.of.pop(name, None)

    def _is_lookup(self, node: NodeProto) -> bool:
        """A Gather with indices that depend on the data reads a table; with constant ones it cuts a weight."""
        return node.op_type in LOOKUPS and node.input[1] not in self.of

    def _is_rescaled(self, node: NodeProto) -> bool:
        """Integers times a scale that depends on the data are no weight."""
        return node.op_type == "DequantizeLinear" and any(name and name not in self.of for name in node.input)

    def _expression(self, node: NodeProto, data: list[str], output: str) -> tuple[str, ...]:
        if node.op_type in NO_FLOATS_OUT or not self.model.is_float(output):
            return ()
        if node.op_type == "DequantizeLinear" and node.input[0] in self.quantized:
            return (node.input[0],)
        return tuple(dict.fromkeys(source for name in data for source in self.of[name]))

    def _carries_floats(self, name: str) -> bool:
        return is_float_dtype(self.model.weights[name].dtype.name)


def _is_handed_on(body: GraphProto, inside: str, after: str) -> bool:
    """Whether a body's output is its input, through Identities at most."""
    producers = {name: node for node in body.node for name in node.output}
    while after in producers and producers[after].op_type == "Identity":
        after = producers[after].input[0]
    return after == inside


def gradient_inputs(model: CheckedModel, sources: Sources, node: NodeProto) -> list[str]:
    """Inputs of a node of the main graph through which a gradient flows back into the data.

    Weight expressions, shapes, indices, integers and the initial states of recurrent operators are left out.
    """
    if not any(model.is_float(name) for name in node.output if name) or node.op_type in NO_FLOATS_OUT:
        return []
    data = node.input[:1] if node.op_type in RECURRENT else data_inputs(node) + sorted(captures(node))
    return [name for name in data if name and name not in sources.of and model.is_float(name)]
