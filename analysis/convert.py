"""CheckedModel -> DifferentiableModel: the graph as a torch module with the user's own weights as parameters.

The weights are tensors that operators read from slots, never copies inside modules: a weight keeps its layout and its
name, is one parameter however often it is used, and gets its gradient also through a Transpose, a Concat or a Loop
body. Whatever depends on constants alone is computed here, once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import ml_dtypes
import numpy as np
import torch
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, defs, helper, numpy_helper
from torch import nn

from analysis import ops
from analysis.errors import BadOptions, NeverSupported, UnsupportedOp
from analysis.layers import find_layers
from analysis.model import STANDARD_DOMAINS, CheckedModel, bodies, captures, label
from analysis.ops._registry import Kind, Operator, TrainingMode, lookup
from analysis.program import (
    NOTHING,
    Action,
    BodyProgram,
    Call,
    Program,
    Slots,
    Step,
    Watcher,
    host_integers,
    last_reads,
)
from analysis.roles import assign_roles
from analysis.sources import find_sources
from analysis.weights import Array

__all__ = ["DifferentiableModel", "convert", "ops"]

IGNORED: Final = frozenset({"consumed_inputs"})
"""Attributes of opset 1 that told an allocator something."""
NEVER: Final = {
    "StringNormalizer": "strings", "StringConcat": "strings", "StringSplit": "strings", "RegexFullMatch": "strings",
    "TfIdfVectorizer": "strings", "ImageDecoder": "compressed images",
}  # fmt: skip
DTYPES: Final[Mapping[int, torch.dtype]] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.UINT8: torch.uint8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
    TensorProto.INT8: torch.int8,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.BOOL: torch.bool,
    TensorProto.COMPLEX64: torch.complex64,
    TensorProto.COMPLEX128: torch.complex128,
}


def convert(
    model: CheckedModel,
    *,
    train: Iterable[str] = (),
    freeze: Iterable[str] = (),
    precision: torch.dtype = torch.float32,
) -> "DifferentiableModel":
    """Build the module; `precision` takes the place of float32 throughout (float64 for a second opinion).

    Raises UnsupportedOp naming every node without a conversion, NeverSupported, BadOptions (train, freeze).
    """
    sources = find_sources(model)
    roles = assign_roles(model, sources, train, freeze)
    weights = _Weights(model, roles.trainable, precision)
    builder = _Builder(model, weights, precision, TrainingMode())
    _refuse_unsupported(model)
    program = builder.build()
    layers = find_layers(model, sources, frozenset(roles.trainable))
    return DifferentiableModel(builder, program, weights, roles.frozen, layers)


class DifferentiableModel(nn.Module):
    """The graph: `forward(*inputs)` in graph-input order returns a tuple of outputs in graph order."""

    def __init__(
        self,
        builder: "_Builder",
        program: Program,
        weights: "_Weights",
        frozen: Mapping[str, str],
        layers: Sequence[Any],
    ) -> None:
        """Take over what the builder made."""
        super().__init__()
        self._program = program
        self._mode = builder.mode
        self._input_slots = tuple(builder.slots[spec.name] for spec in builder.model.inputs)
        self._output_slots = tuple(builder.slots[spec.name] for spec in builder.model.outputs)
        self._slots = dict(builder.slots)
        self._host = builder.template
        names = {id(parameter): name for name, parameter in weights.parameters.items()}
        self._parameter_slots = {slot: names[id(value)] for slot, value in enumerate(self._host) if id(value) in names}
        self._constants: dict[int, str] = {}
        self._names = {name: _attribute_name(name) for name in weights.parameters}
        for name, parameter in weights.parameters.items():
            self.register_parameter(self._names[name], parameter)
        for slot, value in enumerate(self._host):
            if isinstance(value, torch.Tensor) and slot not in self._parameter_slots:
                self._constants[slot] = f"constant:{slot}"
                self.register_buffer(self._constants[slot], value, persistent=False)
        self.layers = tuple(layers)
        """Layers that own trainable weights, in topological order."""
        self.frozen = dict(frozen)
        """Initialiser -> why it does not train."""
        self.input_names = tuple(spec.name for spec in builder.model.inputs)
        self.output_names = tuple(spec.name for spec in builder.model.outputs)
        self._refresh()
        self.eval()

    @property
    def initializers(self) -> Mapping[str, nn.Parameter]:
        """Every trainable weight exactly once, by its ONNX name."""
        return {name: self._parameter(name) for name in self._names}

    @property
    def steps(self) -> Sequence[Step]:
        """The nodes that run, in order."""
        return self._program.steps

    def forward(self, *inputs: torch.Tensor) -> tuple[Any, ...]:
        """The graph's outputs."""
        slots = self._start(inputs)
        self._program.run(slots)
        return tuple(slots[slot] for slot in self._output_slots)

    def observe(self, inputs: Sequence[torch.Tensor], watchers: Mapping[str, Sequence[Watcher]]) -> tuple[Any, ...]:
        """The graph's outputs; each watched value is shown to its watchers as soon as it exists."""
        slots = self._start(inputs)
        by_slot = {self._slots[name]: found for name, found in watchers.items() if name in self._slots}
        for slot in self._input_slots:
            for watch in by_slot.get(slot, ()):
                watch(slots[slot])
        self._program.run_watched(slots, by_slot)
        return tuple(slots[slot] for slot in self._output_slots)

    def train(self, mode: bool = True) -> "DifferentiableModel":  # noqa: FBT001, FBT002 - torch's signature
        """Batch statistics in BatchNormalization, or running ones."""
        self._mode.training = mode
        super().train(mode)
        return self

    def set_constant(self, name: str, value: torch.Tensor) -> None:
        """Overwrite a frozen floating-point initialiser, such as a running statistic."""
        self._buffers[self._constants[self._slots[name]]].copy_(value)  # type: ignore[union-attr]

    def _start(self, inputs: Sequence[torch.Tensor]) -> Slots:
        if len(inputs) != len(self._input_slots):
            raise TypeError(f"the graph has {len(self._input_slots)} inputs, got {len(inputs)}")
        slots = self._template.copy()
        for slot, value in zip(self._input_slots, inputs, strict=True):
            slots[slot] = value
        return slots

    def _parameter(self, name: str) -> nn.Parameter:
        parameter = self._parameters[self._names[name]]
        assert parameter is not None
        return parameter

    def _refresh(self) -> None:
        """Read the tensors from where torch keeps them, after it moved or cast them."""
        self._template: Slots = list(self._host)
        for slot, name in self._parameter_slots.items():
            self._template[slot] = self._parameter(name)
        for slot, name in self._constants.items():
            self._template[slot] = self._buffers[name]

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "DifferentiableModel":  # noqa: FBT001, FBT002
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._refresh()
        return self


def _attribute_name(initializer: str) -> str:
    """A name torch accepts, still readable: dots are its path separator."""
    return "weight:" + initializer.replace("%", "%25").replace(".", "%2E")


def to_tensor(array: Array, precision: torch.dtype = torch.float32) -> torch.Tensor:
    """A tensor that shares the array's memory where the type allows; float32 becomes `precision`.

    Types torch does not have come as the nearest it has: 4-bit integers as int8, 4-bit and 8-bit floats as float32.
    """
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    if array.dtype.kind == "V":
        small = array.dtype.name
        wide = np.uint8 if small.startswith("uint") else np.int8 if small.startswith("int") else np.float32
        array = array.astype(wide)
    tensor = torch.from_numpy(array)
    return tensor.to(precision) if tensor.dtype is torch.float32 else tensor


class _Weights:
    """The trainable initialisers as parameters, on private copy-on-write memory."""

    def __init__(self, model: CheckedModel, trainable: Sequence[str], precision: torch.dtype) -> None:
        arrays = model.weights.private(trainable)
        self.parameters: dict[str, nn.Parameter] = {}
        self.quantized: dict[str, torch.Tensor] = {}
        for name, array in arrays.items():
            tensor = to_tensor(array, precision)
            if tensor.is_floating_point():
                self.parameters[name] = nn.Parameter(tensor)
            else:
                self.quantized[name] = tensor


class _Builder:
    """Assigns slots and closures, graph by graph."""

    def __init__(self, model: CheckedModel, weights: _Weights, precision: torch.dtype, mode: TrainingMode) -> None:
        self.model = model
        self.weights = weights
        self.precision = precision
        self.mode = mode
        self.slots: dict[str, int] = {"": NOTHING}
        self.template: Slots = [None]
        self.constant: set[str] = set()
        """Values known at conversion."""
        self.read: set[str] = set()
        """Values that some node, body or output reads."""

    def build(self) -> Program:
        """The main graph."""
        for name in self.model.weights:
            self._place(name, self._initial(name))
        for spec in self.model.inputs:
            self.slot(spec.name)
        return self._program(self.model.proto.graph, [spec.name for spec in self.model.outputs])

    def slot(self, name: str) -> int:
        """The slot of a value, a new one the first time."""
        if name not in self.slots:
            self.slots[name] = len(self.template)
            self.template.append(None)
        return self.slots[name]

    def _initial(self, name: str) -> torch.Tensor | None:
        if name in self.weights.parameters:
            return self.weights.parameters[name]
        if name in self.weights.quantized:
            return self.weights.quantized[name]
        array = self.model.weights[name]
        return None if array.dtype.kind in "OSU" else to_tensor(np.array(array), self.precision)

    def _place(self, name: str, value: Any) -> None:
        self.template[self.slot(name)] = value
        if name not in self.weights.parameters:
            self.constant.add(name)

    def _program(self, graph: GraphProto, outputs: Sequence[str]) -> Program:
        drafts: list[tuple[NodeProto, Action, tuple[int, ...], tuple[int, ...]]] = []
        self.read = set(outputs).union(*(captures(node).union(node.input) for node in graph.node))
        for node in graph.node:
            if self._dequantized_weight(node):
                continue
            draft = self._node(node)
            if draft is not None:
                drafts.append((node, *draft))
        temporary = frozenset(slot for _, _, _, writes in drafts for slot in writes) - {NOTHING}
        touched = [(*reads, *writes) for _, _, reads, writes in drafts]
        kept = frozenset(self.slots[name] for name in outputs if name in self.slots)
        dead = last_reads(touched, temporary, kept)
        return Program.of(
            [
                Step(action, label(node), node.op_type, writes, last)
                for (node, action, _, writes), last in zip(drafts, dead, strict=True)
            ]
        )

    def _node(self, node: NodeProto) -> tuple[Action, tuple[int, ...], tuple[int, ...]] | None:
        """Closure, reads and writes of a node; None where it could be computed at once."""
        operator = _operator(self.model, node)
        assert operator is not None
        reads = _trimmed(tuple(self.slot(name) for name in node.input))
        writes = _trimmed(tuple(self.slot(name) for name in self._wanted(node)))
        function = partial(operator.function, **self._attributes(node, operator, len(writes)))
        call = Call(
            function=function if function.keywords else function.func,
            reads=reads,
            writes=writes,
            many=operator.many,
            hosted=frozenset(
                place for place, kind in enumerate(operator.inputs[: len(reads)]) if kind is Kind.INTS
            ),
            bodies={name: self._body(graph) for name, graph in _graphs(node)},
        )  # fmt: skip
        outside = sorted(captures(node))
        if operator.pure and self.constant.issuperset(filter(None, (*node.input, *outside))):
            self._compute(node, call.action())
            return None
        action = self._hosted_once(call, node).action()
        return action, (*reads, *(self.slot(name) for name in outside)), call.writes

    def _wanted(self, node: NodeProto) -> list[str]:
        """Outputs worth computing: the first, and those that somebody reads."""
        return [name if place == 0 or name in self.read else "" for place, name in enumerate(node.output)]

    def _hosted_once(self, call: Call, node: NodeProto) -> Call:
        """Shapes known at conversion are read from the host now, into slots of their own."""
        known = frozenset(place for place in call.hosted if node.input[place] in self.constant)
        reads = list(call.reads)
        for place in known:
            reads[place] = len(self.template)
            self.template.append(host_integers(self.template[call.reads[place]]))
        return replace(call, reads=tuple(reads), hosted=call.hosted - known)

    def _compute(self, node: NodeProto, action: Action) -> None:
        """Run a node of constants now."""
        step = Step(action, label(node), node.op_type, (), ())
        slots = self.template.copy()
        with torch.no_grad():
            Program.of([step]).run(slots)
        for name in filter(None, self._wanted(node)):
            self._place(name, slots[self.slots[name]])

    def _dequantized_weight(self, node: NodeProto) -> bool:
        """A trainable integer weight becomes the floats it stands for, under its own name."""
        if node.op_type != "DequantizeLinear" or node.input[0] not in self.weights.quantized:
            return False
        name = node.input[0]
        if name not in self.weights.parameters:
            if self._node(node) is not None:
                raise BadOptions(
                    f"its scale {node.input[1]} cannot train beside it", where=name, hint=f"freeze {name}, or the scale"
                )
            floats = self.template[self.slots[node.output[0]]]
            self.weights.parameters[name] = nn.Parameter(floats.clone())
        slot = self.slot(node.output[0])
        self.slots[name] = slot
        self.template[slot] = self.weights.parameters[name]
        self.constant -= {name, node.output[0]}
        return True

    def _body(self, graph: GraphProto) -> BodyProgram:
        """A subgraph: slots of its own; its tensors are captured, so that all of them lie in the module's slots."""
        inner = _Builder(self.model, self.weights, self.precision, self.mode)
        own = {value.name for value in graph.input} | {name for node in graph.node for name in node.output}
        needed = {name for node in graph.node for name in (*node.input, *captures(node))} - own - {""}
        needed |= {value.name for value in graph.output} - own
        captured = {inner.slot(name): self.slot(name) for name in sorted(needed)}
        for name in sorted(needed & self.constant):
            inner._place(name, self.template[self.slots[name]])
        inputs = tuple(inner.slot(value.name) for value in graph.input)
        outputs = [value.name for value in graph.output]
        program = inner._program(graph, outputs)
        for slot, value in enumerate(inner.template):
            if isinstance(value, torch.Tensor) and slot not in captured:
                captured[slot] = len(self.template)
                self.template.append(value)
        template = tuple(None if slot in captured else value for slot, value in enumerate(inner.template))
        return BodyProgram(
            program,
            template,
            tuple((outside, inside) for inside, outside in captured.items()),
            inputs,
            tuple(inner.slots[name] for name in outputs),
        )

    def _attributes(self, node: NodeProto, operator: Operator, outputs: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for attribute in node.attribute:
            kind = operator.attributes.get(attribute.name)
            if kind is None or kind is Kind.BODY:
                continue
            values[attribute.name] = self._attribute(attribute, kind)
        for name, kind in operator.attributes.items():
            if kind is Kind.MODE:
                values[name] = self.mode
            elif kind is Kind.OUTPUT_COUNT:
                values[name] = max(outputs, 1)
        return values

    def _attribute(self, attribute: AttributeProto, kind: Kind) -> Any:
        value = helper.get_attribute_value(attribute)
        if kind is Kind.DTYPE:
            return self._dtype(TensorProto.DataType.Value(value.decode()) if isinstance(value, bytes) else value)
        if isinstance(value, TensorProto):
            return to_tensor(np.array(numpy_helper.to_array(value)), self.precision)
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, list | tuple) or hasattr(value, "__len__"):
            return tuple(item.decode() if isinstance(item, bytes) else item for item in value)
        return value

    def _dtype(self, element: int) -> torch.dtype:
        if element not in DTYPES:
            raise UnsupportedOp(f"element type {TensorProto.DataType.Name(element)} has no torch type")
        return self.precision if element == TensorProto.FLOAT else DTYPES[element]


def _trimmed(slots: tuple[int, ...]) -> tuple[int, ...]:
    """Without what is omitted at the end."""
    while slots and slots[-1] == NOTHING:
        slots = slots[:-1]
    return slots


def _graphs(node: NodeProto) -> Iterable[tuple[str, GraphProto]]:
    return ((attribute.name, attribute.g) for attribute in node.attribute if attribute.type == AttributeProto.GRAPH)


def _operator(model: CheckedModel, node: NodeProto) -> Operator | None:
    return lookup(node.domain, node.op_type, model.opset(node.domain))


# ------------------------------------------------------------------ what cannot be converted


def _refuse_unsupported(model: CheckedModel) -> None:
    """All nodes without a conversion, in one error."""
    nodes: dict[str, list[str]] = {}
    for where, reason in _problems(model, model.nodes):
        nodes.setdefault(reason, []).append(where)
    if not nodes:
        return
    listed = "; ".join(f"{reason}, at {', '.join(found)}" for reason, found in nodes.items())
    if any(reason.startswith("never") for reason in nodes):
        raise NeverSupported(listed, where="graph", hint="cut the graph behind these nodes and send floats")
    raise UnsupportedOp(
        listed, where="graph", hint="re-export with plain operators of opset 13 to 20, or simplify the graph"
    )


def _problems(model: CheckedModel, nodes: Iterable[NodeProto]) -> Iterable[tuple[str, str]]:
    for node in nodes:
        reason = _why_unsupported(model, node)
        if reason:
            yield label(node), reason
        for body in bodies(node):
            yield from _problems(model, body.node)


def _why_unsupported(model: CheckedModel, node: NodeProto) -> str:
    name = node.op_type if node.domain in STANDARD_DOMAINS else f"{node.domain}::{node.op_type}"
    version = model.opset(node.domain)
    if node.domain in STANDARD_DOMAINS and node.op_type in NEVER:
        return f"never: {name} works on {NEVER[node.op_type]}, which carry no gradient"
    operator = _operator(model, node)
    if operator is None:
        return f"operator {name} (opset {version}) has no conversion yet"
    unknown = [
        attribute.name
        for attribute in node.attribute
        if attribute.name not in operator.attributes and attribute.name not in IGNORED
    ]
    if unknown:
        return f"attribute {', '.join(unknown)} of {name} (opset {version}) has no conversion yet"
    missing = operator.required - {attribute.name for attribute in node.attribute}
    if missing:
        return f"{name} lacks its attribute {', '.join(sorted(missing))}"
    return (
        ""
        if node.domain not in STANDARD_DOMAINS or defs.has(node.op_type, version)
        else f"{name} is not in opset {version}"
    )
