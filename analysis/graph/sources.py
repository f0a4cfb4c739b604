"""Which initialisers a value is made of, and where weights meet data.

Exporters rarely feed a weight straight into its operator: it passes a Transpose, a Slice of a fused projection, a
Cast, a DequantizeLinear, or arithmetic such as weight normalisation g * v / |v|. A value computed from weights alone
is a *weight expression*; its sources are the initialisers whose floats it carries. The user's weight is the source,
and the gradient belongs there. A *use* is an operator at which a weight expression meets data, in a known role.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from onnx import GraphProto, NodeProto

from analysis.graph.families import LOOKUPS
from analysis.graph.slots import LOOP_STATES, NO_FLOATS_OUT, RECURRENT, data_inputs, is_float_dtype, role_of
from analysis.model import CheckedModel
from analysis.model.nodes import attributes_of, bodies, captures, label

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


@dataclass(frozen=True)
class Sources:
    """Weight expressions of a model and their uses."""

    of: Mapping[str, tuple[str, ...]]
    """Value -> initialisers it is made of; empty tuple: a constant without floats. Dynamic values are missing."""
    uses: tuple[Use, ...]
    within: tuple[Use, ...] = ()
    """Where weight expressions meet each other in the role of a weight: queries that are learnt, before any data."""

    @cached_property
    def by_initializer(self) -> Mapping[str, tuple[Use, ...]]:
        """The uses of each initialiser that has any, in topological order."""
        return _grouped((use.initializer, use) for use in self.uses)

    @cached_property
    def by_owner(self) -> Mapping[str, tuple[Use, ...]]:
        """The uses in each node of the main graph that has any, bodies included, by what a report calls the node."""
        return _grouped((label(use.owner), use) for use in self.uses)


def _grouped(uses: Iterable[tuple[str, Use]]) -> dict[str, tuple[Use, ...]]:
    groups: dict[str, list[Use]] = {}
    for key, use in uses:
        groups.setdefault(key, []).append(use)
    return {key: tuple(group) for key, group in groups.items()}


def find_sources(model: CheckedModel) -> Sources:
    """Walk the graph once, in topological order, bodies included."""
    walk = _Walk(model)
    walk.nodes(model.nodes, None)
    return Sources(walk.of, tuple(walk.uses), tuple(walk.within))


_Leaving = tuple[str, tuple[str, ...] | None]
"""A value that leaves a body, and its sources where it is a weight expression."""


class _Walk:
    def __init__(self, model: CheckedModel) -> None:
        self.model = model
        self.of: dict[str, tuple[str, ...]] = {
            name: (name,) if self._carries_floats(name) or name in model.quantized else () for name in model.weights
        }
        self.quantized = {name for name, sources in self.of.items() if not sources}
        self.uses: list[Use] = []
        self.within: list[Use] = []
        self.products: set[str] = set()
        """What such operators write."""

    def nodes(self, nodes: Iterable[NodeProto], owner: NodeProto | None) -> None:
        for node in nodes:
            self._node(node, owner or node)
            leaving: list[dict[int, _Leaving]] = []
            for body in bodies(node):
                self._forget(value.name for value in body.input)
                self._carry(node, body)
                self.nodes(body.node, owner or node)
                first = 1 if node.op_type == "Loop" else 0  # in front of its outputs a Loop says whether it goes on
                leaving.append(
                    {slot: (value.name, self.of.get(value.name)) for slot, value in enumerate(body.output[first:])}
                )
            if leaving:
                self._leave(node, owner or node, leaving)

    def _leave(self, node: NodeProto, owner: NodeProto, leaving: Sequence[Mapping[int, "_Leaving"]]) -> None:
        """What leaves a body as a weight is one outside, if it is one whatever is taken.

            If --+-- then: w1 --+-- MatMul (x)        w1 and w2 are the weight of the MatMul
                 +-- else: w2 --+
            Loop (w) -- w handed on from trip to trip -- MatMul (x)

        A state counts only where it was a weight before the first trip, too. Where one branch gives data, the others'
        weights are an operand of the If, as they would be of a Where.
        """
        for slot, output in enumerate(node.output):
            ways = [made[slot] for made in leaving if slot in made]
            entering = _entering(node, slot)
            ways += [(entering, self.of.get(entering))] if entering else []
            known = [(name, sources) for name, sources in ways if sources is not None]
            if output and known and len(known) == len(ways):
                self.of[output] = tuple(dict.fromkeys(source for _, sources in known for source in sources))
            elif node.op_type == "If":
                self.uses.extend(
                    Use(source, "token", node, owner, name) for name, sources in known for source in sources
                )

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


def _entering(node: NodeProto, slot: int) -> str:
    """The initial value of the state that leaves as this output; empty where the output is no state."""
    if node.op_type == "Loop":
        return node.input[LOOP_STATES + slot] if LOOP_STATES + slot < len(node.input) else ""
    if node.op_type == "Scan":
        scanned = int(attributes_of(node)["num_scan_inputs"])
        return node.input[slot] if slot < len(node.input) - scanned else ""
    return ""


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
