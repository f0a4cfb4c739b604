"""Bytes -> CheckedModel: the stages, in order.

Only `check_model` makes a CheckedModel; whoever holds one need not look again. On the way in:

1. the large tensors are cut out (`wire`), so parsing costs nothing per weight;
2. the model's own functions are expanded, after their expansion was counted, and the nodes sorted (`order`);
3. operators of ai.onnx.ml are written anew with those of the standard, their numbers as initialisers (`traditional`);
4. every initialiser and every Constant, also those inside If, Loop and Scan bodies, becomes an entry of `weights`,
   with data checked against shape (`hoist`); constants of the graph and initialisers are the same thing from here on;
5. what torch's exporter stored once because it was equal becomes separate parameters again (`mend`), weights of a few
   bits become floats (`packed`);
6. `onnx.checker` judges the graph with the tensors declared as inputs (`onnx_tools`), and `domains` the values of the
   attributes, which the checker does not look at.
"""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import GraphProto, ModelProto, NodeProto, checker, defs, inliner

from analysis.errors import InvalidModel, LimitExceeded, NotOnnx, UnsupportedOp
from analysis.model.checked import CheckedModel, spec_of
from analysis.model.data_files import DataFiles, MappedFile
from analysis.model.deduplicated import separate_deduplicated
from analysis.model.domains import check_attributes
from analysis.model.functions import align_imports
from analysis.model.guess import PLAIN, guess
from analysis.model.hoist import Hoist
from analysis.model.mend import drop_redundant, name_graph, plain_domains, separate_equal, type_outputs
from analysis.model.nodes import STANDARD_DOMAINS, all_nodes, bodies, label
from analysis.model.onnx_tools import check_graph, one_line
from analysis.model.order import sort_nodes
from analysis.model.packed import unpack
from analysis.model.signature import read_signature, untrained
from analysis.model.traditional import rewrite_traditional
from analysis.model.weights import TensorReader, Weights
from analysis.model.wire import Outline, outline
from analysis.options import Limits

DEFAULT_LIMITS: Final = Limits()
TABLES_DOMAIN: Final = "ai.onnx.ml"
"""Its trees and vectors are attributes."""


def check_model(
    source: bytes | Path, limits: Limits = DEFAULT_LIMITS, *, sent: Mapping[str, Path] | None = None
) -> CheckedModel:
    """Parse and check a model; its tensors stay in the file.

    `sent`: the only data files it may name, location -> path; without it those beside the model.
    Raises NotOnnx, InvalidModel, MissingExternalData, LimitExceeded, UnsupportedOp (an opset newer than the
    installed onnx).
    """
    file = _open(source, limits)
    cut, proto = _parse(file.view, limits)
    _check_opsets(proto)
    _check_attributes(proto, limits)
    signature = read_signature(proto)
    plain_domains(proto)
    mended = drop_redundant(proto)
    proto = _expand_functions(proto, limits)
    _check_nesting(proto.graph, limits.nesting)
    _check_bodies(proto.graph, limits)
    _check_references(proto.graph)
    check_attributes(proto.graph.node)
    name_graph(proto)
    sort_nodes(proto.graph)
    rewritten = rewrite_traditional(proto)
    data_files = DataFiles(source.parent if isinstance(source, Path) else None, sent)
    reader = TensorReader(file, cut, data_files, limits)
    hoist = Hoist(proto, reader)
    entries = hoist.run()
    mended |= separate_equal(proto, entries, hoist.constants, limits)
    mended |= separate_deduplicated(proto, entries, hoist.constants, limits)
    anew = unpack(proto, entries, limits) or rewritten.any
    type_outputs(proto, entries)
    check_graph(proto, entries)
    values = [*proto.graph.input, *proto.graph.output]
    specs = {value.name: spec_of(value) for value in values}
    return CheckedModel(
        proto=proto,
        weights=Weights(entries),
        inputs=tuple(specs[value.name] for value in proto.graph.input if value.name not in entries),
        outputs=tuple(specs[value.name] for value in proto.graph.output),
        sha256=hashlib.sha256(file.view).hexdigest(),
        size_bytes=file.size,
        name=source.name if isinstance(source, Path) else proto.graph.name,
        source=None if mended or anew else source,
        data_files=data_files.contents(),
        original=source if anew and rewritten.comparable and not mended else None,
        constants=frozenset(hoist.constants),
        fixed=untrained(signature, entries) | rewritten.fixed,
        notes=tuple(rewritten.notes),
        signature=signature,
    )


def _open(source: bytes | Path, limits: Limits) -> MappedFile:
    try:
        file = MappedFile.of_bytes(source) if isinstance(source, bytes) else MappedFile.open(source)
    except OSError as error:
        raise NotOnnx(f"cannot open the model: {error.strerror or error}", where=str(source)) from error
    if file.size == 0:
        raise NotOnnx("the model is empty", hint=PLAIN)
    if file.size > limits.model_bytes:
        raise LimitExceeded(f"the model has {file.size} bytes, {limits.model_bytes} are allowed", where="model")
    return file


def _parse(view: memoryview, limits: Limits) -> tuple[Outline, ModelProto]:
    """The graph without its large tensors."""
    proto = ModelProto()
    try:
        cut = outline(view)
        proto.ParseFromString(cut.data)
    except (NotOnnx, DecodeError) as error:
        raise NotOnnx("the file is not an ONNX model", where="model", hint=guess(view)) from error
    if not proto.ir_version or not proto.HasField("graph"):
        raise NotOnnx("the file has no ONNX graph", where="model", hint=guess(view, broken=False))
    _check_count(len(proto.graph.node), limits)
    _check_text(proto, limits.nodes + limits.tensors)
    return cut, proto


def _check_text(message: Message, most: int) -> None:
    """Names must be text: protobuf hands over anything else as bytes, and onnx's own tools break on it."""
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            texts = (value,) if isinstance(value, str | bytes) else value
            if field.name != "strings":  # those of attributes have a limit of their own
                _check_length(message, field.name, len(texts), most)
            wrong = next((text for text in texts if not isinstance(text, str)), None)
            if wrong is not None:
                raise InvalidModel(f"{field.name} {wrong!r:.60} is not UTF-8", where=message.DESCRIPTOR.name)
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            parts = (value,) if isinstance(value, Message) else value
            _check_length(message, field.name, len(parts), most)
            for part in parts:
                _check_text(part, most)


def _check_length(message: Message, field: str, length: int, most: int) -> None:
    """Two bytes say an empty part: a small file holds millions, and each would be looked at many times."""
    if length > most:
        raise LimitExceeded(f"it has {length} of {field}, {most} are allowed", where=message.DESCRIPTOR.name)


def _check_opsets(proto: ModelProto) -> None:
    newest = defs.onnx_opset_version()
    for entry in proto.opset_import:
        if entry.domain in STANDARD_DOMAINS and entry.version > newest:
            raise UnsupportedOp(
                f"the model uses opset {entry.version}, this installation knows opsets up to {newest}",
                where="opset_import",
                hint=f"re-export with opset_version={newest}",
            )


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
            # a call of an empty function is work, too: doubled 39 times, calls of nothing expand for ever
            total += max(1, sizes.get(key, 1)) + sum(size(body.node, calls) for body in bodies(node))
        return total

    try:
        _check_count(size(proto.graph.node, ()), limits)
        for function in proto.functions:
            sort_nodes(function)
        align_imports(proto)
        return inliner.inline_local_functions(proto) if proto.functions else proto
    except (RecursionError, DecodeError) as error:
        raise LimitExceeded("functions are nested too deeply", where="functions") from error
    except (RuntimeError, ValueError, checker.ValidationError) as error:
        raise InvalidModel(f"functions cannot be expanded: {one_line(error)}", where="functions") from error


def _check_count(nodes: int, limits: Limits) -> None:
    if nodes > limits.nodes:
        raise LimitExceeded(f"the graph has {nodes} nodes, {limits.nodes} are allowed", where="graph")


def _check_attributes(proto: ModelProto, limits: Limits) -> None:
    """Before any is read: lists of Python's take fifty bytes an element, and are told of in messages."""
    elements = 0
    for node in (*proto.graph.node, *(node for function in proto.functions for node in function.node)):
        for each in all_nodes([node]):
            if each.domain != TABLES_DOMAIN:
                elements += sum(len(given.ints) + len(given.floats) + len(given.strings) for given in each.attribute)
        if elements > limits.attribute_elements:
            raise LimitExceeded(
                f"up to here the attributes of nodes have {elements} elements, {limits.attribute_elements} are allowed",
                where=node.name or node.op_type,
                hint="put long lists into tensors",
            )


def _check_bodies(graph: GraphProto, limits: Limits) -> None:
    """Before anything is inferred, which takes time for each body by all that is around it."""
    held = [sum(1 for _ in bodies(node)) for node in all_nodes(graph.node)]
    if len(held) * sum(held) > limits.nodes_by_bodies:
        raise LimitExceeded(
            f"the graph has {sum(held)} bodies of If, Loop and Scan among {len(held)} nodes, the product may be "
            f"{limits.nodes_by_bodies}",
            where="graph",
        )


def _check_references(graph: GraphProto) -> None:
    """The body of a function may name attributes of its call in place of values; by now none is left."""
    for node in all_nodes(graph.node):
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                detail = (
                    f"its attribute {attribute.name!r} refers to {attribute.ref_attr_name!r}, outside of a function"
                )
                raise InvalidModel(detail, where=label(node))


def _check_nesting(graph: GraphProto, allowed: int) -> None:
    if allowed < 0:
        raise LimitExceeded("If, Loop and Scan bodies are nested too deeply", where=graph.name)
    for node in graph.node:
        for body in bodies(node):
            _check_nesting(body, allowed - 1)
