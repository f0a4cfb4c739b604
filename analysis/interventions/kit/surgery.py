"""Graph edits on a copy: what every structural treatment is made of.

An edit never renames what was there; new nodes and tensors are named after the value they belong to. The cost of an
edit follows from what it touches, not from the size of the graph: nodes are copied once, put in order once, at
`finish`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from onnx import GraphProto, ModelProto, NodeProto, helper

from analysis.model import CheckedModel
from analysis.model.nodes import bodies, captures
from analysis.model.weights import Array


class Editor:
    """A copy of a graph under edit; `finish` gives the new model."""

    def __init__(self, model: CheckedModel) -> None:
        """Copy the graph; tensors are shared."""
        self.model = model
        self.proto = ModelProto()
        self.proto.CopyFrom(model.proto)
        self.added: dict[str, Array] = {}
        self._nodes = [_copy(node) for node in self.proto.graph.node]
        self._copies = dict(zip(map(id, model.nodes), self._nodes, strict=True))
        self._producers = {name: node for node in self._nodes for name in node.output if name}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in self._nodes:
            self._note_reads(node)
        self._behind: dict[int, list[NodeProto]] = {}
        """Nodes that were put behind another one, which is named by its id; 0: at the very beginning."""
        self._gone: set[int] = set()
        self._results = {value.name for value in self.proto.graph.output}
        self._taken = set(model.weights) | set(model.producers) | {spec.name for spec in model.inputs}

    # -------------------------------------------------------------- names

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

    def add_constant(self, name: str, array: Array) -> str:
        """A new initialiser that is no parameter: under a name that exporters give to literals (`graph.operands`)."""
        return self.add_tensor(f"{self.fresh(name)}/Constant_output_0", array)

    def node(self, op_type: str, inputs: Sequence[str], base: str, output: str = "", **attributes: Any) -> NodeProto:
        """A new node named after the value `base`; it is not in the graph yet."""
        output = output or self.fresh(f"{base}_{op_type}")
        return helper.make_node(op_type, inputs, [output], name=output, **attributes)

    # -------------------------------------------------------------- edits

    def insert(self, value: str, nodes: Sequence[NodeProto]) -> str:
        """Put nodes behind a value; everyone who read it reads the last one's output. Returns that output.

        A graph output keeps the value it had.
        """
        result = nodes[-1].output[0]
        own = set(map(id, nodes))
        self._place_behind(self._producers.get(value), nodes)
        for reader in [reader for reader in self._readers.get(value, ()) if id(reader) not in own]:
            self.redirect(reader, value, result)
        return result

    def insert_after(self, value: str, op_type: str, inputs: Iterable[str] = (), **attributes: Any) -> str:
        """Put one node behind a value, which is its first input."""
        return self.insert(value, [self.node(op_type, [value, *inputs], value, **attributes)])

    def replace_between(self, after: str, nodes: Sequence[NodeProto]) -> None:
        """Let these nodes compute `after`, the last one's output; what else led there and is now unused goes."""
        old = self._producers[after]
        nodes[-1].name = old.name or after
        self._place_behind(old, nodes)
        self._gone.add(id(old))

    def bypass(self, node: NodeProto, instead: str = "") -> None:
        """Take a node of the model out: who read its output reads its first input, or this value.

        A graph output keeps its name, and has that value from now on.
        """
        own = self._copies[id(node)]
        value, instead = own.output[0], instead or own.input[0]
        self._gone.add(id(own))
        for reader in list(self._readers.get(value, ())):
            self.redirect(reader, value, instead)
        if value in self._results:
            self.place(instead, [self.node("Identity", [instead], value, value)])

    def hand_over(self, value: str) -> str:
        """Let the node that writes a value write it under a new name, so that another can write this one.

        Who read the value reads what is written there now.
        """
        own, fresh = self._producers.pop(value), self.fresh(f"{value}_before")
        own.output[:] = [fresh if name == value else name for name in own.output]
        self._producers[fresh] = own
        return fresh

    def place(self, value: str, nodes: Sequence[NodeProto]) -> None:
        """Put nodes behind a value without anybody reading them yet."""
        self._place_behind(self._producers.get(value), nodes)

    def redirect(self, reader: NodeProto, old: str, new: str) -> None:
        """Let one node read another value, in its bodies as well; a node of the model or one of the editor's."""
        own = self._copies.get(id(reader), reader)
        _rename_reads(own, old, new)
        self._readers.setdefault(new, []).append(own)
        self._readers[old] = [each for each in self._readers.get(old, ()) if each is not own]

    def readers(self, value: str) -> list[NodeProto]:
        """Nodes that read a value at present."""
        return list(self._readers.get(value, ()))

    def set_attribute(self, node: NodeProto, name: str, value: Any) -> None:
        """Give a node of the model another attribute."""
        own = self._copies[id(node)]
        kept = [attribute for attribute in own.attribute if attribute.name != name]
        del own.attribute[:]
        own.attribute.extend([*kept, helper.make_attribute(name, value)])

    def finish(self) -> CheckedModel:
        """The edited model."""
        nodes = _without_unused(list(self._ordered()), self._results)
        del self.proto.graph.node[:]
        self.proto.graph.node.extend(nodes)
        return self.model.edited(self.proto, self.model.weights.updated(self.added))

    # -------------------------------------------------------------- order

    def _place_behind(self, anchor: NodeProto | None, nodes: Sequence[NodeProto]) -> None:
        self._behind.setdefault(0 if anchor is None else id(anchor), [])[:0] = nodes
        for node in nodes:
            self._producers.update(dict.fromkeys(filter(None, node.output), node))
            self._note_reads(node)

    def _note_reads(self, node: NodeProto) -> None:
        for name in dict.fromkeys([*node.input, *captures(node)]):
            if name:
                self._readers.setdefault(name, []).append(node)

    def _ordered(self) -> Iterator[NodeProto]:
        """Each node, then what was put behind it."""
        pending = [*self._behind.get(0, ()), *self._nodes][::-1]
        while pending:
            node = pending.pop()
            if id(node) not in self._gone:
                yield node
            pending.extend(reversed(self._behind.get(id(node), ())))


def _copy(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy


def _rename_reads(node: NodeProto, old: str, new: str) -> None:
    node.input[:] = [new if name == old else name for name in node.input]
    for body in bodies(node):
        _rename_captures(body, old, new)


def _rename_captures(body: GraphProto, old: str, new: str) -> None:
    """Reads of an outer value, unless the body has one of its own by that name."""
    own = {value.name for value in body.input} | {name for node in body.node for name in node.output}
    if old in own:
        return
    for node in body.node:
        _rename_reads(node, old, new)
    for value in body.output:
        if value.name == old:
            value.name = new


def _without_unused(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    needed = set(outputs)
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
            needed.update(captures(node))
    return kept[::-1]
