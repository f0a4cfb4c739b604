"""CheckedModel -> DifferentiableModel: the graph as a torch module with the user's own weights as parameters.

The weights are tensors that operators read from slots, never copies inside modules: a weight keeps its layout and its
name, is one parameter however often it is used, and gets its gradient also through a Transpose, a Concat or a Loop
body. Whatever depends on constants alone is computed here, once.

Half-precision types are for storage: their values are computed with in float32, as onnxruntime does on a CPU, and only
the graph's outputs are rounded. A gradient that float16 would flush to zero or lose to infinity keeps its value.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import ml_dtypes
import numpy as np
import torch
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, TypeProto, defs, helper, numpy_helper
from torch import nn

from analysis.convert.definitions import Scope, depends_on_types, enter, expand
from analysis.convert.fuse import Fusion, find_fusions
from analysis.convert.ops.casting import HALVES
from analysis.convert.program import (
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
from analysis.convert.registry import TYPED, Element, Kind, Operator, RunMode, StateWatcher, lookup
from analysis.errors import BadOptions, NeverSupported, UnsupportedOp
from analysis.graph.layers import find_layers
from analysis.graph.roles import assign_roles
from analysis.graph.sources import find_sources
from analysis.model import CheckedModel
from analysis.model.hoist import CONSTANTS
from analysis.model.nodes import STANDARD_DOMAINS, bodies, captures, label
from analysis.model.onnx_tools import is_runtime_own
from analysis.model.weights import Array

IGNORED: Final = frozenset({"consumed_inputs"})
"""Attributes of opset 1 that told an allocator something."""
NEVER: Final = {
    "StringNormalizer": "strings", "StringConcat": "strings", "StringSplit": "strings", "RegexFullMatch": "strings",
    "ImageDecoder": "compressed images",
}  # fmt: skip
OF_ONE_PROCESSOR: Final = frozenset({"com.microsoft.nchwc", "com.ms.internal.nhwc"})
"""Domains of onnxruntime's last level of optimisation."""
DTYPES: Final[Mapping[int, torch.dtype]] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
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
NEAREST: Final[Mapping[int, torch.dtype]] = {
    TensorProto.FLOAT16: torch.float32,
    TensorProto.BFLOAT16: torch.float32,
    TensorProto.INT4: torch.int8,
    TensorProto.INT2: torch.int8,
    TensorProto.UINT4: torch.uint8,
    TensorProto.UINT2: torch.uint8,
    TensorProto.FLOAT4E2M1: torch.float32,
    TensorProto.FLOAT8E4M3FN: torch.float32,
    TensorProto.FLOAT8E4M3FNUZ: torch.float32,
    TensorProto.FLOAT8E5M2: torch.float32,
    TensorProto.FLOAT8E5M2FNUZ: torch.float32,
    TensorProto.FLOAT8E8M0: torch.float32,
    TensorProto.FLOAT6E2M3: torch.float32,
    TensorProto.FLOAT6E3M2: torch.float32,
}
"""Types torch does not have, or cannot compute with, or not well enough: their values are kept in these."""


def convert(
    model: CheckedModel,
    *,
    train: Iterable[str] = (),
    freeze: Iterable[str] = (),
    precision: torch.dtype = torch.float32,
) -> "DifferentiableModel":
    """Build the module; `precision` takes the place of float32 and less (float64 for a second opinion).

    Raises UnsupportedOp naming every node without a conversion, NeverSupported, BadOptions (train, freeze).
    """
    sources = find_sources(model)
    roles = assign_roles(model, sources, train, freeze)
    weights = _Weights(model, roles.trainable, precision)
    scope = Scope({entry.domain: entry.version for entry in model.proto.opset_import}, partial(_type, model))
    builder = _Builder(model, weights, precision, RunMode(), scope)
    _refuse_unsupported(model, scope)
    program = builder.build()
    layers = find_layers(model, sources, frozenset(roles.trainable))
    return DifferentiableModel(builder, program, weights, roles.frozen, layers)


class DifferentiableModel(nn.Module):
    """The graph: `forward(*inputs)` in graph-input order returns a tuple of outputs in graph order.

    A sequence is a list of tensors, an optional the value or None, on both sides. A floating-point input narrower than
    the graph declares is widened; a wider one is taken as it is (the module cast to float64, say).
    """

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
        self._widths = tuple(
            torch.float64 if spec.dtype == "float64" else builder.precision for spec in builder.model.inputs
        )
        halves = _halves(builder.model) if builder.precision is torch.float32 else {}
        self._rounded = tuple(halves.get(spec.name) for spec in builder.model.outputs)
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

    def forward(self, *inputs: Any) -> tuple[Any, ...]:
        """The graph's outputs."""
        slots = self._start(inputs)
        self._program.run(slots)
        return self._outputs(slots)

    def observe(self, inputs: Sequence[Any], watchers: Mapping[str, Sequence[Watcher]]) -> tuple[Any, ...]:
        """The graph's outputs; each watched value is shown to its watchers as soon as it exists.

        What a watcher returns, unless it is None, takes the value's place (not that of an input of the graph).
        """
        slots = self._start(inputs)
        by_slot = {self._slots[name]: found for name, found in watchers.items() if name in self._slots}
        for slot in self._input_slots:
            for watch in by_slot.get(slot, ()):
                watch(slots[slot])
        self._program.run_watched(slots, by_slot)
        return self._outputs(slots)

    def train(self, mode: bool = True) -> "DifferentiableModel":  # noqa: FBT001, FBT002 - torch's signature
        """Batch statistics in BatchNormalization, or running ones."""
        self._mode.training = mode
        super().train(mode)
        return self

    @contextmanager
    def watching_states(self, watcher: StateWatcher) -> Iterator[None]:
        """Inside: every recurrent operator and loop shows its states, step by step."""
        self._mode.watch_states = watcher
        try:
            yield
        finally:
            self._mode.watch_states = None

    def set_constant(self, name: str, value: torch.Tensor) -> None:
        """Overwrite a frozen floating-point initialiser, such as a running statistic."""
        self._buffers[self._constants[self._slots[name]]].copy_(value)  # type: ignore[union-attr]

    def _start(self, inputs: Sequence[Any]) -> Slots:
        if len(inputs) != len(self._input_slots):
            raise TypeError(f"the graph has {len(self._input_slots)} inputs, got {len(inputs)}")
        slots = self._template.copy()
        for slot, value, width in zip(self._input_slots, inputs, self._widths, strict=True):
            slots[slot] = _widened(value, width)
        return slots

    def _outputs(self, slots: Slots) -> tuple[Any, ...]:
        return tuple(_rounded(slots[slot], to) for slot, to in zip(self._output_slots, self._rounded, strict=True))

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


def _halves(model: CheckedModel) -> dict[str, torch.dtype]:
    """The half-precision type of each output that has one."""
    elements = {value.name: _element_name(value.type) for value in model.proto.graph.output}
    return {name: HALVES[element] for name, element in elements.items() if element in HALVES}


def _element_name(kind: TypeProto) -> str:
    """The element type of a tensor, or of those in a sequence or an optional."""
    if kind.HasField("sequence_type"):
        return _element_name(kind.sequence_type.elem_type)
    if kind.HasField("optional_type"):
        return _element_name(kind.optional_type.elem_type)
    return TensorProto.DataType.Name(kind.tensor_type.elem_type)


def _widened(value: Any, width: torch.dtype) -> Any:
    """Narrower floating-point tensors, also in a sequence, in the precision that is computed in."""
    if isinstance(value, list | tuple):
        return [_widened(each, width) for each in value]
    narrower = {*HALVES.values(), *({torch.float32} if width is torch.float64 else ())}
    return value.to(width) if isinstance(value, torch.Tensor) and value.dtype in narrower else value


def _rounded(value: Any, to: torch.dtype | None) -> Any:
    """An output in its own type; a sequence becomes a list."""
    if isinstance(value, list | tuple):
        return [_rounded(each, to) for each in value]
    return value if to is None or value is None else value.to(to)


def _attribute_name(initializer: str) -> str:
    """A name torch accepts, still readable: dots are its path separator."""
    return "weight:" + initializer.replace("%", "%25").replace(".", "%2E")


def to_tensor(array: Array, precision: torch.dtype = torch.float32) -> torch.Tensor:
    """A tensor that shares the array's memory where the type allows; float32 and less become `precision`.

    Types torch does not have come as the nearest it has: 4-bit integers as int8, 4-bit and 8-bit floats as float32.
    """
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).to(precision)
    if array.dtype.isbuiltin == 2:  # numpy's mark for a type that somebody else registered
        small = array.dtype.name
        wide = np.uint8 if small.startswith("uint") else np.int8 if small.startswith("int") else np.float32
        array = array.astype(wide)
    tensor = torch.from_numpy(array)
    return tensor.to(precision) if tensor.dtype in {torch.float16, torch.float32} else tensor


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


@dataclass(frozen=True)
class _Draft:
    """A step whose last reads are not known yet."""

    node: NodeProto
    action: Action
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    parts: tuple[Step, ...] = ()
    note: str = ""

    def step(self, dead: tuple[int, ...]) -> Step:
        return Step(self.action, label(self.node), self.node.op_type, self.writes, dead, self.parts, self.note)


class _Builder:
    """Assigns slots and closures, graph by graph."""

    def __init__(
        self, model: CheckedModel, weights: _Weights, precision: torch.dtype, mode: RunMode, scope: Scope
    ) -> None:
        self.model = model
        self.weights = weights
        self.precision = precision
        self.mode = mode
        self.scope = scope
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
        outputs = [spec.name for spec in self.model.outputs]
        return self._program(self.model.nodes, outputs, find_fusions(self.model))

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

    def _program(self, nodes: Sequence[NodeProto], outputs: Sequence[str], fusions: Sequence[Fusion] = ()) -> Program:
        drafts: dict[int, _Draft] = {}
        self.read = set(outputs).union(*(captures(node).union(node.input) for node in nodes))
        for node in nodes:
            if self._dequantized_weight(node) or self._constant(node):
                continue
            draft = self._node(node)
            if draft is not None:
                drafts[id(node)] = draft
        for fusion in fusions:
            self._fuse(drafts, fusion)
        temporary = frozenset(slot for draft in drafts.values() for slot in draft.writes) - {NOTHING}
        touched = [(*draft.reads, *draft.writes) for draft in drafts.values()]
        kept = frozenset(self.slots[name] for name in outputs if name in self.slots)
        dead = last_reads(touched, temporary, kept)
        return Program.of([draft.step(last) for draft, last in zip(drafts.values(), dead, strict=True)])

    def _fuse(self, drafts: "dict[int, _Draft]", fusion: Fusion) -> None:
        """Put one operator where the last of several nodes ran; those stay for whoever looks between."""
        keys = [id(node) for node in fusion.replaced]
        constants = {name for node in fusion.replaced for name in node.input} - set(fusion.node.input)
        if not constants.isdisjoint(self.weights.parameters) or not drafts.keys() >= set(keys):
            return
        operator = lookup("", fusion.node.op_type, fusion.opset)
        assert operator is not None
        call = self._called(fusion.node, operator)
        parts = [drafts[key] for key in keys]
        between = frozenset(slot for part in parts[:-1] for slot in part.writes) - {NOTHING}
        dead = last_reads([(*part.reads, *part.writes) for part in parts], between, frozenset())
        steps = tuple(part.step(last) for part, last in zip(parts, dead, strict=True))
        reads = tuple(slot for part in parts for slot in part.reads if slot not in between)
        drafts[keys[-1]] = _Draft(fusion.replaced[-1], call.action(), reads, call.writes, steps)
        for key in keys[:-1]:
            del drafts[key]

    def _node(self, node: NodeProto) -> "_Draft | None":
        """Closure, reads and writes of a node; None where it could be computed at once."""
        operator = _operator(self.scope, node)
        call = self._expanded(node) if operator is None else self._called(node, operator)
        outside = sorted(captures(node))
        pure = operator is None or operator.pure
        known = self.constant.issuperset(filter(None, (*node.input, *outside)))
        if pure and known and self._compute(node, call.action()):
            return None
        action = self._hosted_once(call, node).action()
        reads = (*call.reads, *(self.slot(name) for name in outside))
        return _Draft(node, action, reads, call.writes, note=self._frozen_batch(node))

    def _frozen_batch(self, node: NodeProto) -> str:
        """What a Reshape to a constant leading size means for a graph whose batch axis is open."""
        if node.op_type != "Reshape" or len(node.input) < 2 or node.input[1] not in self.constant:
            return ""
        shape = host_integers(self.template[self.slots[node.input[1]]])
        known = self.model.values.get(node.input[0])
        sizes = [] if known is None else known.type.tensor_type.shape.dim
        if not shape or shape[0] < 1 or not sizes or sizes[0].dim_value > 0:
            return ""
        frozen = f"node {label(node)!r} reshapes to {list(shape)} and so fixes the batch size of the export"
        return f"{frozen}: send as many samples as then, or re-export with a dynamic batch axis"

    def _called(self, node: NodeProto, operator: Operator) -> Call:
        """A registered function with the node's attributes bound."""
        reads = _trimmed(tuple(self.slot(name) for name in node.input))
        writes = _trimmed(tuple(self.slot(name) for name in self._wanted(node)))
        function = partial(operator.function, **self._attributes(node, operator, len(writes)))
        return Call(
            function=function if function.keywords else function.func,
            reads=reads,
            writes=writes,
            many=operator.many,
            hosted=frozenset(
                place for place, kind in enumerate(operator.inputs[: len(reads)]) if kind is Kind.INTS
            ),
            bodies={name: self._body(graph, self.scope.opsets) for name, graph in _graphs(node)},
        )  # fmt: skip

    def _expanded(self, node: NodeProto) -> Call:
        """ONNX's own definition of the operator, run as a body."""
        expansion = expand(node, self.scope)
        assert expansion is not None
        return Call(
            function=_run_expansion,
            reads=tuple(self.slot(name) for name in node.input),
            writes=tuple(self.slot(name) for name in self._wanted(node)),
            many=True,
            bodies={"expansion": self._body(expansion.graph, expansion.opsets)},
        )

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

    def _compute(self, node: NodeProto, action: Action) -> bool:
        """Run a node of constants now; sequences and optionals are left to the program, as torch moves tensors only."""
        step = Step(action, label(node), node.op_type, (), ())
        slots = self.template.copy()
        with torch.no_grad():
            Program.of([step]).run(slots)
        results = {name: slots[self.slots[name]] for name in self._wanted(node) if name}
        if not all(isinstance(value, torch.Tensor) for value in results.values()):
            return False
        for name, value in results.items():
            self._place(name, value)
        return True

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

    def _constant(self, node: NodeProto) -> bool:
        """A Constant of a function body; those of the model are weights by now."""
        if node.op_type != "Constant":
            return False
        (attribute,) = node.attribute
        value = helper.get_attribute_value(attribute)
        tensor = isinstance(value, TensorProto)
        array = numpy_helper.to_array(value) if tensor else np.asarray(value, CONSTANTS[attribute.name])
        self._place(node.output[0], to_tensor(np.array(array), self.precision))
        return True

    def _body(self, graph: GraphProto, opsets: Mapping[str, int]) -> BodyProgram:
        """A subgraph: slots of its own; its tensors are captured, so that all of them lie in the module's slots."""
        scope = _inside(self.scope, graph, opsets)
        inner = _Builder(self.model, self.weights, self.precision, self.mode, scope)
        own = {value.name for value in graph.input} | {name for node in graph.node for name in node.output}
        needed = {name for node in graph.node for name in (*node.input, *captures(node))} - own - {""}
        needed |= {value.name for value in graph.output} - own
        captured = {inner.slot(name): self.slot(name) for name in sorted(needed)}
        for name in sorted(needed & self.constant):
            inner._place(name, self.template[self.slots[name]])
        inputs = tuple(inner.slot(value.name) for value in graph.input)
        outputs = [value.name for value in graph.output]
        program = inner._program(tuple(graph.node), outputs)
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
            frozenset(inner.slot(value.name) for value in graph.input if len(value.type.tensor_type.shape.dim) == 1),
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
            elif kind is Kind.OUTPUT_ELEMENT:
                values[name] = self._element_of(node.output[0])
            elif kind is Kind.INPUT_ELEMENTS:
                values[name] = tuple(map(self._element_of, node.input))
            elif kind is Kind.NAME:
                values[name] = label(node)
        return values

    def _attribute(self, attribute: AttributeProto, kind: Kind) -> Any:
        value = helper.get_attribute_value(attribute)
        if kind in {Kind.DTYPE, Kind.ELEMENT}:
            if value == TensorProto.UNDEFINED:
                return None
            element = self._element(TensorProto.DataType.Value(value.decode()) if isinstance(value, bytes) else value)
            return element.dtype if kind is Kind.DTYPE else element
        if isinstance(value, TensorProto):
            return to_tensor(np.array(numpy_helper.to_array(value)), self.precision)
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, list | tuple) or hasattr(value, "__len__"):
            return tuple(item.decode() if isinstance(item, bytes) else item for item in value)
        return value

    def _element_of(self, value: str) -> Element | None:
        known = self.scope.type_of(value)
        code = TensorProto.UNDEFINED if known is None else known.tensor_type.elem_type
        return None if code in {TensorProto.UNDEFINED, TensorProto.STRING} else self._element(code)

    def _element(self, code: int) -> Element:
        name = TensorProto.DataType.Name(code)
        dtype = DTYPES.get(code) or NEAREST.get(code)
        if dtype is None:
            raise NeverSupported(f"element type {name} carries no gradient")
        return Element(name, self.precision if dtype is torch.float32 else dtype)


def _trimmed(slots: tuple[int, ...]) -> tuple[int, ...]:
    """Without what is omitted at the end."""
    while slots and slots[-1] == NOTHING:
        slots = slots[:-1]
    return slots


def _graphs(node: NodeProto) -> Iterable[tuple[str, GraphProto]]:
    return ((attribute.name, attribute.g) for attribute in node.attribute if attribute.type == AttributeProto.GRAPH)


def _operator(scope: Scope, node: NodeProto) -> Operator | None:
    return lookup(node.domain, node.op_type, scope.version(node.domain))


def _inside(scope: Scope, graph: GraphProto, opsets: Mapping[str, int]) -> Scope:
    """The scope of a body, with types where a node in it asks for them."""
    return enter(scope, graph, opsets, infer=_asks_for_types(graph, Scope(opsets, scope.type_of)))


def _asks_for_types(graph: GraphProto, scope: Scope) -> bool:
    for node in graph.node:
        operator = _operator(scope, node)
        if depends_on_types(node, scope) if operator is None else not TYPED.isdisjoint(operator.attributes.values()):
            return True
    return any(_asks_for_types(body, scope) for node in graph.node for body in bodies(node))


def _type(model: CheckedModel, name: str) -> TypeProto | None:
    if not name:
        return TypeProto()
    if name in model.weights:
        return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(model.weights[name].dtype), None)
    known = model.values.get(name)
    return None if known is None or known.type.WhichOneof("value") is None else known.type


def _run_expansion(*values: Any, expansion: Callable[..., tuple[Any, ...]]) -> tuple[Any, ...]:
    return expansion(*values)


# ------------------------------------------------------------------ what cannot be converted


def _refuse_unsupported(model: CheckedModel, scope: Scope) -> None:
    """All nodes without a conversion, in one error."""
    nodes: dict[str, list[str]] = {}
    for where, reason in _problems(scope, model.nodes):
        nodes.setdefault(reason, []).append(where)
    if not nodes:
        return
    listed = "; ".join(f"{reason}, at {', '.join(found)}" for reason, found in nodes.items())
    if any(reason.startswith("never") for reason in nodes):
        raise NeverSupported(listed, where="graph", hint="cut the graph behind these nodes and send floats")
    raise UnsupportedOp(
        listed, where="graph", hint="re-export with plain operators of opset 13 to 20, or simplify the graph"
    )


def _problems(scope: Scope, nodes: Iterable[NodeProto]) -> Iterable[tuple[str, str]]:
    for node in nodes:
        reason = _why_unsupported(scope, node)
        if reason:
            yield label(node), reason
        for body in bodies(node):
            yield from _problems(_inside(scope, body, scope.opsets), body.node)


def _why_unsupported(scope: Scope, node: NodeProto) -> str:
    name = node.op_type if node.domain in STANDARD_DOMAINS else f"{node.domain}::{node.op_type}"
    version = scope.version(node.domain)
    if node.domain in OF_ONE_PROCESSOR:
        return f"{name} is laid out for one processor: let onnxruntime optimise to ORT_ENABLE_EXTENDED at most"
    if node.domain in STANDARD_DOMAINS:
        if node.op_type in NEVER or (node.op_type == "Constant" and _holds_strings(node)):
            return f"never: {name} works on {NEVER.get(node.op_type, 'strings')}, which carry no gradient"
        if not defs.has(node.op_type, version) and not is_runtime_own(node, version):
            return f"{name} is not in opset {version}"
    operator = _operator(scope, node)
    if operator is not None:
        return _wrong_attributes(node, operator, f"{name} (opset {version})")
    return "" if node.op_type == "Constant" else _no_definition(scope, node, f"{name} (opset {version})")


def _holds_strings(constant: NodeProto) -> bool:
    return any("string" in attribute.name or attribute.t.string_data for attribute in constant.attribute)


def _no_definition(scope: Scope, node: NodeProto, name: str) -> str:
    """Why ONNX's own definition cannot stand in for a conversion."""
    reason = f"operator {name} has no conversion yet"
    expansion = expand(node, scope)
    if expansion is None:
        unknown = [value for value in node.input if value and scope.type_of(value) is None]
        if depends_on_types(node, scope) and unknown:
            return f"{reason}: its definition depends on the types of {', '.join(unknown)}, which are unknown"
        return reason
    within = _inside(scope, expansion.graph, expansion.opsets)
    inside = next((reason for _, reason in _problems(within, expansion.graph.node)), "")
    return f"{reason}: inside, {inside}" if inside else ""


def _wrong_attributes(node: NodeProto, operator: Operator, name: str) -> str:
    given = {attribute.name for attribute in node.attribute}
    unknown = given - operator.attributes.keys() - IGNORED
    if unknown:
        return f"attribute {', '.join(sorted(unknown))} of {name} has no conversion yet"
    missing = operator.required - given
    return f"{name} lacks its attribute {', '.join(sorted(missing))}" if missing else ""
