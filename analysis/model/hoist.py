"""Every initialiser and Constant out of the graphs, bodies included, each under one name."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from analysis.errors import InvalidModel, LimitExceeded
from analysis.model.nodes import STANDARD_DOMAINS, bodies, label
from analysis.model.weights import Array, Stored, TensorReader

CONSTANTS: Final = {
    "value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64,
}  # fmt: skip
"""Attributes of a Constant that hold plain numbers."""


class Hoist:
    """Moves every initialiser and Constant out of the graphs, each under one name that is its own."""

    def __init__(self, proto: ModelProto, reader: TensorReader) -> None:
        self.proto = proto
        self.reader = reader
        self.entries: dict[str, Stored | Array] = {}
        self.constants: set[str] = set()
        """Those that were Constant nodes."""
        self.numbers: dict[str, int] = {}
        """Where to look for the next free number of a name."""
        self.taken = set(_names(proto.graph))
        self.written = set(_written(proto.graph))

    def run(self) -> dict[str, Stored | Array]:
        """Do it; the tensors by their new names."""
        self._graph(self.proto.graph, {}, top=True)
        return self.entries

    def _graph(self, graph: GraphProto, renamed: Mapping[str, str], *, top: bool) -> None:
        literal = {node.output[0] for node in graph.node if _is_constant(node) and node.output}
        found = dict(self._take(graph))
        if len(self.entries) + len(found) > self.reader.limits.tensors:
            raise LimitExceeded(f"more than {self.reader.limits.tensors} tensors", where=graph.name)
        names = {name: name if top else self._free(name) for name in found}
        self.entries.update({names[name]: entry for name, entry in found.items()})
        self.constants.update(names[name] for name in literal & found.keys())
        renamed = {**renamed, **{old: new for old, new in names.items() if old != new}}
        for node in graph.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            for body in bodies(node):
                self._graph(body, renamed, top=False)
        if not top:
            self._keep_outputs(graph, {**names, **renamed})

    def _take(self, graph: GraphProto) -> Iterator[tuple[str, Stored | Array]]:
        kept = [node for node in graph.node if not _is_constant(node)]
        constants = [node for node in graph.node if _is_constant(node)]
        _check_names(graph, constants)
        for tensor in graph.initializer:
            yield tensor.name, self.reader.read(tensor)
        for sparse in graph.sparse_initializer:
            yield sparse.values.name, self.reader.read_sparse(sparse)
        for node in constants:
            yield node.output[0], self._constant(node)
        for tensor in _attribute_tensors(kept):
            self.reader.inline(tensor)
        del graph.initializer[:], graph.sparse_initializer[:], graph.node[:]
        graph.node.extend(kept)

    def _constant(self, node: NodeProto) -> Stored | Array:
        (attribute,) = node.attribute
        if attribute.name == "value":
            if not attribute.t.name:
                attribute.t.name = node.output[0]
            return self.reader.read(attribute.t)
        if attribute.name == "sparse_value":
            return self.reader.read_sparse(attribute.sparse_tensor)
        try:
            return np.asarray(helper.get_attribute_value(attribute), CONSTANTS[attribute.name])
        except (KeyError, ValueError, TypeError) as error:
            raise InvalidModel(f"no Constant has the value {attribute.name}", where=label(node)) from error

    def _free(self, name: str) -> str:
        """The name itself where nothing else has it, or with a number."""
        if name not in self.entries and name not in self.written:
            return name
        number = self.numbers.get(name, 2)  # those below are taken: a name of 20,000 bodies is not counted up each time
        while f"{name}_{number}" in self.taken:
            number += 1
        self.taken.add(f"{name}_{number}")
        self.numbers[name] = number + 1
        return f"{name}_{number}"

    def _keep_outputs(self, body: GraphProto, names: Mapping[str, str]) -> None:
        """A body must write its own outputs: a constant among them goes through an Identity."""
        for value in body.output:
            if value.name in names:
                source = names[value.name]
                local = self._free(value.name + "_output")
                self.written.add(local)
                body.node.append(helper.make_node("Identity", [source], [local]))
                value.name = local


def _is_constant(node: NodeProto) -> bool:
    if node.op_type != "Constant" or node.domain not in STANDARD_DOMAINS:
        return False
    strings = {"value_string", "value_strings"}
    return not any(
        attribute.name in strings or attribute.t.data_type == TensorProto.STRING for attribute in node.attribute
    )


def _check_names(graph: GraphProto, constants: Iterable[NodeProto]) -> None:
    """Initialisers and constants leave the graph before onnx.checker sees it: their names are judged here.

    Of dense initialisers of one name the last one counts, as for onnxruntime; some quantisers write both.
    """
    seen: set[str] = set()
    inputs = {value.name for value in graph.input}
    for node in constants:
        if len(node.output) != 1 or len(node.attribute) != 1:
            raise InvalidModel("a Constant needs exactly one value and one output", where=label(node))
        if node.output[0] in inputs:
            raise InvalidModel("a Constant has the name of an input", where=node.output[0])
    names = list(dict.fromkeys(tensor.name for tensor in graph.initializer))
    names += [sparse.values.name for sparse in graph.sparse_initializer]
    names += [node.output[0] for node in constants]
    for name in names:
        if name in seen:
            raise InvalidModel("two initialisers or constants have this name", where=name)
        seen.add(name)


def _attribute_tensors(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    """Tensors that stay in the graph: the value of a ConstantOfShape, say."""
    for node in nodes:
        for attribute in node.attribute:
            yield from (*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _names(graph: GraphProto) -> Iterator[str]:
    """Every name of a graph and its bodies."""
    yield from _written(graph)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (sparse.values.name for sparse in graph.sparse_initializer)
    for node in graph.node:
        yield from node.output
        for body in bodies(node):
            yield from _names(body)


def _written(graph: GraphProto) -> Iterator[str]:
    """Names of a graph and its bodies that stay values of the graph."""
    yield from (value.name for value in graph.input)
    for node in graph.node:
        if not _is_constant(node):
            yield from node.output
        for body in bodies(node):
            yield from _written(body)
