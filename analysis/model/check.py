"""Bytes -> CheckedModel: the graph as a small proto, its tensors as mapped views.

Only `check_model` makes a CheckedModel; whoever holds one need not look again. On the way in:

1. the large tensors are cut out (`analysis.model.wire`), so parsing costs nothing per weight;
2. the model's own functions are expanded, after their expansion was counted, and the nodes sorted;
3. every initialiser and every Constant, also those inside If, Loop and Scan bodies, becomes an entry of `weights`,
   with data checked against shape; constants of the graph and initialisers are the same thing from here on;
4. what torch's exporter stored once because it was equal becomes separate parameters again;
5. `onnx.checker` judges the graph with the tensors declared as inputs.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import heappop, heappush
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    checker,
    defs,
    helper,
    inliner,
    numpy_helper,
    shape_inference,
)

from analysis.errors import InvalidModel, LimitExceeded, NotOnnx, UnsupportedOp
from analysis.model.weights import Array, MappedFile, Stored, TensorReader, Weights
from analysis.model.wire import Outline, outline
from analysis.options import Limits

Dimension = int | str | None
"""A fixed size, a named one, or one nothing is known of."""

STANDARD_DOMAINS: Final = ("", "ai.onnx")
INITIALIZERS_WITHOUT_INPUTS_IR: Final = 4
DEFAULT_LIMITS: Final = Limits()
TORCH: Final = "pytorch"
"""What torch's exporter calls itself."""
SPLIT_COUNTS: Final = 18
"""The opset from which Split may say how many outputs it has."""
RUNTIME_DOMAIN: Final = "com.microsoft"
RUNTIME_OWN: Final = frozenset(
    {"SimplifiedLayerNormalization", "LayerNormalization", "MeanVarianceNormalization", "ThresholdedRelu",
     "ParametricSoftplus", "ScaledTanh", "Affine", "Scale", "ImageScaler", "Crop", "DynamicSlice"}
)  # fmt: skip
"""What onnxruntime knows, and writes, in the standard domain also where the standard has no such operator."""
RESIZING: Final = frozenset({"Crop", "DynamicSlice"})
"""Those whose output has another shape than their first input."""
CONSTANTS: Final = {
    "value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64,
}  # fmt: skip
"""Attributes of a Constant that hold plain numbers."""
FLOATS: Final = frozenset(
    {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.UNDEFINED}
)


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """What the graph declares about an input or output."""

    name: str
    dtype: str
    """numpy's name (`float32`, `int64`, `bfloat16`, `str`), or `sequence`, `optional`, `map`."""
    shape: tuple[Dimension, ...] | None
    """None where even the rank is open."""


class Use(NamedTuple):
    """One reading of a value: which node, at which input; -1 where a body inside the node captures it."""

    node: NodeProto
    slot: int


@dataclass(frozen=True, eq=False)
class CheckedModel:
    """A valid graph without tensor data, and its tensors by name."""

    proto: ModelProto
    """No initialisers and no Constant nodes; to be treated as immutable."""
    weights: Weights
    inputs: tuple[ValueSpec, ...]
    """In graph order, initialisers excluded."""
    outputs: tuple[ValueSpec, ...]
    sha256: str
    size_bytes: int
    name: str
    source: Path | bytes | None
    """What was uploaded; None for an edited or mended model."""
    constants: frozenset[str] = frozenset()
    """Tensors that were Constant nodes in the file, not initialisers."""

    @cached_property
    def nodes(self) -> tuple[NodeProto, ...]:
        """The nodes of the main graph in topological order; kept, so that a node is always the same object."""
        return tuple(self.proto.graph.node)

    @cached_property
    def producers(self) -> Mapping[str, NodeProto]:
        """Which node of the main graph writes a value."""
        return {output: node for node in self.nodes for output in node.output if output}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Use, ...]]:
        """Which nodes of the main graph read a value, bodies they hold included."""
        uses: dict[str, list[Use]] = {}
        for node in self.nodes:
            for slot, name in enumerate(node.input):
                uses.setdefault(name, []).append(Use(node, slot))
            for name in sorted(captures(node)):
                uses.setdefault(name, []).append(Use(node, -1))
        return {name: tuple(found) for name, found in uses.items()}

    @cached_property
    def values(self) -> Mapping[str, ValueInfoProto]:
        """Types and shapes of the values of the main graph, as far as shape inference knows them."""
        skeleton = _skeleton(self.proto, self.weights)
        _stand_in(skeleton)
        _outside(skeleton)
        try:
            inferred = shape_inference.infer_shapes(skeleton).graph
        except (shape_inference.InferenceError, ValueError, RuntimeError) as error:
            raise InvalidModel(f"types cannot be inferred: {_one_line(error)}", where=self.name) from error
        return {value.name: value for value in (*inferred.value_info, *inferred.input, *inferred.output)}

    def is_float(self, value: str) -> bool:
        """Whether a value, a tensor or a sequence of them, can carry a gradient; unknown types are taken for floats."""
        known = self.values.get(value)
        if known is None:
            return True
        kind = known.type.sequence_type.elem_type if known.type.HasField("sequence_type") else known.type
        return kind.HasField("tensor_type") and kind.tensor_type.elem_type in FLOATS

    def shape(self, value: str) -> tuple[int, ...] | None:
        """The sizes of a value, where all of them are fixed."""
        known = self.values.get(value)
        if known is None or not known.type.tensor_type.HasField("shape"):
            return None
        sizes = tuple(dimension.dim_value for dimension in known.type.tensor_type.shape.dim)
        return sizes if all(size > 0 for size in sizes) else None

    def opset(self, domain: str = "") -> int:
        """The version of an operator set this model imports; 0 where it does not."""
        names = STANDARD_DOMAINS if domain in STANDARD_DOMAINS else (domain,)
        return next((entry.version for entry in self.proto.opset_import if entry.domain in names), 0)

    def edited(self, proto: ModelProto, weights: Weights) -> "CheckedModel":
        """The result of an edit: same interface, other graph or weights."""
        return replace(self, proto=proto, weights=weights, source=None)


def assemble_proto(graph: ModelProto, weights: Mapping[str, Array]) -> ModelProto:
    """The model with these tensors inside again."""
    proto = ModelProto()
    proto.CopyFrom(graph)
    proto.ir_version = max(proto.ir_version, INITIALIZERS_WITHOUT_INPUTS_IR)
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        for name, array in weights.items()
    )
    return proto


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
    captured: set[str] = set()
    for body in bodies(node):
        inside = {value.name for value in body.input}
        for inner in body.node:
            captured |= (set(inner.input) | captures(inner)) - inside
            inside |= set(inner.output)
        captured |= {value.name for value in body.output} - inside
    captured.discard("")
    return captured


def check_model(source: bytes | Path, limits: Limits = DEFAULT_LIMITS) -> CheckedModel:
    """Parse and check a model; its tensors stay in the file.

    Raises NotOnnx, InvalidModel, MissingExternalData, LimitExceeded, UnsupportedOp (an opset newer than the
    installed onnx).
    """
    file = _open(source, limits)
    cut, proto = _parse(file.view)
    _check_opsets(proto)
    mended = _drop_redundant(proto)
    proto = _expand_functions(proto, limits)
    _check_nesting(proto.graph, limits.nesting)
    _sort(proto.graph)
    reader = TensorReader(file, cut, source.parent if isinstance(source, Path) else None, limits, {})
    hoist = _Hoist(proto, reader)
    entries = hoist.run()
    mended |= _separate_equal(proto, entries, hoist.constants, limits)
    check_graph(proto, entries)
    values = [*proto.graph.input, *proto.graph.output]
    specs = {value.name: _spec(value) for value in values}
    return CheckedModel(
        proto=proto,
        weights=Weights(entries),
        inputs=tuple(specs[value.name] for value in proto.graph.input if value.name not in entries),
        outputs=tuple(specs[value.name] for value in proto.graph.output),
        sha256=hashlib.sha256(file.view).hexdigest(),
        size_bytes=file.size,
        name=source.name if isinstance(source, Path) else (proto.graph.name or "model"),
        source=None if mended else source,
        constants=frozenset(hoist.constants),
    )


def _open(source: bytes | Path, limits: Limits) -> MappedFile:
    try:
        file = MappedFile.of_bytes(source) if isinstance(source, bytes) else MappedFile.open(source.resolve())
    except OSError as error:
        raise NotOnnx(f"cannot open the model: {error.strerror or error}", where=str(source)) from error
    if file.size == 0:
        raise NotOnnx("the model is empty", hint="send the bytes of an .onnx file")
    if file.size > limits.model_bytes:
        raise LimitExceeded(f"the model has {file.size} bytes, {limits.model_bytes} are allowed", where="model")
    return file


def _parse(view: memoryview) -> tuple[Outline, ModelProto]:
    """The graph without its large tensors."""
    proto = ModelProto()
    try:
        cut = outline(view)
        proto.ParseFromString(cut.data)
    except (NotOnnx, DecodeError) as error:
        raise NotOnnx("the file is not an ONNX model", where="model", hint=_guess(view)) from error
    if not proto.ir_version or not proto.HasField("graph"):
        raise NotOnnx("the file has no ONNX graph", where="model", hint=_guess(view))
    _check_text(proto)
    return cut, proto


def _check_text(message: Message) -> None:
    """Names must be text: protobuf hands over anything else as bytes, and onnx's own tools break on it."""
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            texts = (value,) if isinstance(value, str | bytes) else value
            wrong = next((text for text in texts if not isinstance(text, str)), None)
            if wrong is not None:
                raise InvalidModel(f"{field.name} {wrong!r:.60} is not UTF-8", where=message.DESCRIPTOR.name)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for part in (value,) if isinstance(value, Message) else value:
                _check_text(part)


def _guess(view: memoryview) -> str:
    """What the bytes look like instead."""
    start = bytes(view[:8])
    known = {
        b"PK": "a zip or torch file: export it with torch.onnx.export",
        b"\x93NUMPY": "a numpy array: is it the batch?",
        b"{": "JSON",
        b"\x89HDF": "an HDF5 file: export it with tf2onnx",
        b"\x80": "a pickle",
    }
    found = next((what for magic, what in known.items() if start.startswith(magic)), "")
    return f"this looks like {found}" if found else "send the bytes of an .onnx file"


def _check_opsets(proto: ModelProto) -> None:
    newest = defs.onnx_opset_version()
    for entry in proto.opset_import:
        if entry.domain in STANDARD_DOMAINS and entry.version > newest:
            raise UnsupportedOp(
                f"the model uses opset {entry.version}, this installation knows opsets up to {newest}",
                where="opset_import",
                hint=f"re-export with opset_version={newest}",
            )


def _drop_redundant(proto: ModelProto) -> bool:
    """Drop what exporters write under an opset that does not know it, where it says nothing new; whether there was any.

    torch's exporter declares opset 17 and writes the num_outputs of Split-18, which repeats how many outputs there are.
    """
    version = next((entry.version for entry in proto.opset_import if entry.domain in STANDARD_DOMAINS), 0)
    if version >= SPLIT_COUNTS:
        return False
    nodes = [*all_nodes(proto.graph.node), *(node for each in proto.functions for node in all_nodes(each.node))]
    mended = False
    for node in nodes:
        for attribute in node.attribute:
            if node.op_type == "Split" and attribute.name == "num_outputs" and attribute.i == len(node.output):
                node.attribute.remove(attribute)
                mended = True
                break
    return mended


def _expand_functions(proto: ModelProto, limits: Limits) -> ModelProto:
    """The model with its local functions inlined, after its nodes were counted, those of bodies and calls included."""
    functions = {(function.domain, function.name, function.overload): function for function in proto.functions}
    sizes: dict[tuple[str, str, str], int] = {}

    def size(nodes: Iterable[NodeProto], calls: tuple[tuple[str, str, str], ...]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type, node.overload)
            if key in calls:
                raise InvalidModel("function calls itself", where=node.op_type)
            if key in functions and key not in sizes:
                sizes[key] = size(functions[key].node, (*calls, key))
            total += sizes.get(key, 1) + sum(size(body.node, calls) for body in bodies(node))
        return total

    try:
        _check_count(size(proto.graph.node, ()), limits)
        for function in proto.functions:
            _sort(function)
        return inliner.inline_local_functions(proto) if proto.functions else proto
    except (RecursionError, DecodeError) as error:
        raise LimitExceeded("functions are nested too deeply", where="functions") from error
    except (RuntimeError, ValueError, checker.ValidationError) as error:
        raise InvalidModel(f"functions cannot be expanded: {_one_line(error)}", where="functions") from error


def _check_count(nodes: int, limits: Limits) -> None:
    if nodes > limits.nodes:
        raise LimitExceeded(f"the graph has {nodes} nodes, {limits.nodes} are allowed", where="graph")


def _check_nesting(graph: GraphProto, allowed: int) -> None:
    if allowed < 0:
        raise LimitExceeded("If, Loop and Scan bodies are nested too deeply", where=graph.name)
    for node in graph.node:
        for body in bodies(node):
            _check_nesting(body, allowed - 1)


def _sort(graph: GraphProto | FunctionProto) -> None:
    """Put the nodes of a graph or function, and of the bodies in it, into topological order, where a file does not.

    Of two nodes that may come next, that which came first in the file does.
    """
    for node in graph.node:
        for body in bodies(node):
            _sort(body)
    nodes = list(graph.node)
    producers: dict[str, int] = {}
    for place, node in enumerate(nodes):
        for output in node.output:
            producers.setdefault(output, place)
    producers.pop("", None)
    reads = [{producers[name] for name in {*node.input, *captures(node)} & producers.keys()} for node in nodes]
    if all(max(before, default=-1) < place for place, before in enumerate(reads)):
        return
    order = _order(reads)
    if len(order) < len(nodes):
        node = nodes[_on_a_cycle(reads, set(order))]
        raise InvalidModel("the graph has a cycle: a node waits for its own output", where=label(node))
    del graph.node[:]
    graph.node.extend(nodes[place] for place in order)


def _order(reads: Sequence[AbstractSet[int]]) -> list[int]:
    """Places so that each comes behind those it reads from; what waits for itself is left out."""
    readers: list[list[int]] = [[] for _ in reads]
    for place, before in enumerate(reads):
        for source in before:
            readers[source].append(place)
    waiting = [len(before) for before in reads]
    ready, order = [place for place, count in enumerate(waiting) if not count], []
    while ready:
        order.append(heappop(ready))
        for place in readers[order[-1]]:
            waiting[place] -= 1
            if not waiting[place]:
                heappush(ready, place)
    return order


def _on_a_cycle(reads: Sequence[AbstractSet[int]], done: AbstractSet[int]) -> int:
    """A place that reads, by way of others, from itself: every place that is not done has one before it."""
    seen: set[int] = set()
    place = next(place for place in range(len(reads)) if place not in done)
    while place not in seen:
        seen.add(place)
        place = min(reads[place] - done)
    return place


class _Hoist:
    """Moves every initialiser and Constant out of the graphs, each under one name that is its own."""

    def __init__(self, proto: ModelProto, reader: TensorReader) -> None:
        self.proto = proto
        self.reader = reader
        self.entries: dict[str, Stored | Array] = {}
        self.constants: set[str] = set()
        """Those that were Constant nodes."""
        self.taken = set(_names(proto.graph))
        self.written = set(_written(proto.graph))

    def run(self) -> dict[str, Stored | Array]:
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
        number = 2
        while f"{name}_{number}" in self.taken:
            number += 1
        self.taken.add(f"{name}_{number}")
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


def _separate_equal(
    proto: ModelProto, entries: dict[str, Stored | Array], constants: AbstractSet[str], limits: Limits
) -> bool:
    """Give every parameter its own tensor again where torch's exporter stored equal ones once; whether there was any.

    The fresh biases (all 0) and scales (all 1) of a network become one tensor and Identity nodes under the names of the
    others. So do tied weights that are laid out alike; these are told by their elements, which are not all the same.
    """
    if proto.producer_name != TORCH:
        return False
    kept, separated, spent = list[NodeProto](), set[str](), 0
    results = {value.name for value in proto.graph.output}
    for node in proto.graph.node:
        source = entries.get(node.input[0]) if node.op_type == "Identity" and node.input[0] not in constants else None
        if source is None or not _is_float(source) or node.output[0] in results or node.output[0] in entries:
            kept.append(node)
            continue
        array = Weights({"source": source})["source"]
        if array.size and np.any(array != array.flat[0]):  # drawn at random and yet equal: tied
            kept.append(node)
            continue
        spent += array.nbytes
        if spent > limits.sparse_bytes:
            raise LimitExceeded(f"equal tensors grow to more than {limits.sparse_bytes} bytes", where=label(node))
        entries[node.output[0]] = np.array(array)
        separated.add(node.output[0])
    if separated:
        declared = [value for value in proto.graph.value_info if value.name not in separated]
        del proto.graph.node[:], proto.graph.value_info[:]
        proto.graph.node.extend(kept)
        proto.graph.value_info.extend(declared)
    return bool(separated)


def _is_float(entry: Stored | Array) -> bool:
    return helper.np_dtype_to_tensor_dtype(entry.dtype) in FLOATS


def _is_constant(node: NodeProto) -> bool:
    if node.op_type != "Constant" or node.domain not in STANDARD_DOMAINS:
        return False
    strings = {"value_string", "value_strings"}
    return not any(
        attribute.name in strings or attribute.t.data_type == TensorProto.STRING for attribute in node.attribute
    )


def _check_names(graph: GraphProto, constants: Iterable[NodeProto]) -> None:
    """Initialisers and constants leave the graph before onnx.checker sees it: their names are judged here."""
    seen: set[str] = set()
    inputs = {value.name for value in graph.input}
    for node in constants:
        if len(node.output) != 1 or len(node.attribute) != 1:
            raise InvalidModel("a Constant needs exactly one value and one output", where=label(node))
        if node.output[0] in inputs:
            raise InvalidModel("a Constant has the name of an input", where=node.output[0])
    names = [tensor.name for tensor in graph.initializer]
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


def _skeleton(proto: ModelProto, entries: Mapping[str, Stored | Array]) -> ModelProto:
    """The graph with its tensors declared as inputs: all that onnx's own tools need of them."""
    skeleton = ModelProto()
    skeleton.CopyFrom(proto)
    declared = {value.name for value in proto.graph.input}
    for name, entry in entries.items():
        if name not in declared:
            element = helper.np_dtype_to_tensor_dtype(entry.dtype)
            skeleton.graph.input.append(helper.make_tensor_value_info(name, element, entry.shape))
    return skeleton


def _runtime_own(proto: ModelProto) -> Iterator[NodeProto]:
    """Nodes of the standard domain that only onnxruntime has in this version."""
    version = next((entry.version for entry in proto.opset_import if entry.domain in STANDARD_DOMAINS), 0)
    for node in all_nodes(proto.graph.node):
        if is_runtime_own(node, version):
            yield node


def is_runtime_own(node: NodeProto, opset: int) -> bool:
    """Whether onnxruntime has a node that the standard's domain lacks in this version."""
    return node.domain in STANDARD_DOMAINS and node.op_type in RUNTIME_OWN and not defs.has(node.op_type, opset)


def _outside(skeleton: ModelProto) -> None:
    """Move what only onnxruntime has out of the standard's domain, whose schemas onnx's tools look up."""
    for node in _runtime_own(skeleton):
        node.domain = RUNTIME_DOMAIN
    if all(entry.domain != RUNTIME_DOMAIN for entry in skeleton.opset_import):
        skeleton.opset_import.append(helper.make_opsetid(RUNTIME_DOMAIN, 1))


def _stand_in(skeleton: ModelProto) -> None:
    """Put something of the standard, with an output of the same type and shape, where only onnxruntime's own is."""
    for node in _runtime_own(skeleton):
        if node.op_type not in RESIZING:
            node.op_type = "Identity"
            del node.attribute[:], node.input[1:], node.output[1:]


def check_graph(proto: ModelProto, entries: Mapping[str, Stored | Array]) -> None:
    """Ask onnx.checker about a graph and its tensors, but for what it refuses and onnxruntime takes.

    Raises InvalidModel.
    """
    skeleton = _skeleton(proto, entries)
    for value in (*skeleton.graph.input, *skeleton.graph.output):
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()  # an open rank is allowed everywhere but in the checker
    _outside(skeleton)
    try:
        checker.check_model(skeleton)
    except checker.ValidationError as error:
        raise InvalidModel(_one_line(error), hint="re-export the model; onnx.checker refuses it") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


def _spec(value: ValueInfoProto) -> ValueSpec:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return ValueSpec(value.name, (kind or "unknown").removesuffix("_type"), None)
    tensor = value.type.tensor_type
    dtype = "str" if tensor.elem_type == TensorProto.STRING else _dtype_name(tensor.elem_type)
    if not tensor.HasField("shape"):
        return ValueSpec(value.name, dtype, None)
    shape: list[Dimension] = []
    for dimension in tensor.shape.dim:
        fixed = dimension.HasField("dim_value") and dimension.dim_value > 0
        shape.append(dimension.dim_value if fixed else (dimension.dim_param or None))
    return ValueSpec(value.name, dtype, tuple(shape))


def _dtype_name(element: int) -> str:
    try:
        return np.dtype(helper.tensor_dtype_to_np_dtype(element)).name
    except KeyError:
        return "unknown"
