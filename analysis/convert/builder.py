"""Slots and closures, graph by graph."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from analysis.convert.attributes import Attributes
from analysis.convert.definitions import Scope, expand
from analysis.convert.fuse import Fusion, find_fusions
from analysis.convert.integers import Stored, floats_of, on_integers
from analysis.convert.program import NOTHING, Action, BodyProgram, Call, Program, Slots, Step, host_integers, last_reads
from analysis.convert.registry import Kind, Operator, RunMode, lookup
from analysis.convert.scopes import operator_of, scope_inside
from analysis.convert.tensors import TrainableWeights, to_tensor
from analysis.errors import BadOptions
from analysis.model import CheckedModel
from analysis.model.hoist import CONSTANTS
from analysis.model.nodes import captures, label


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


class Builder:
    """Assigns slots and closures, graph by graph."""

    def __init__(
        self, model: CheckedModel, weights: TrainableWeights, precision: torch.dtype, mode: RunMode, scope: Scope
    ) -> None:
        self.model = model
        self.weights = weights
        self.precision = precision
        self.mode = mode
        self.scope = scope
        self.attributes = Attributes(scope, precision, mode)
        self.slots: dict[str, int] = {"": NOTHING}
        self.template: Slots = [None]
        self.constant: set[str] = set()
        """Values known at conversion."""
        self.read: set[str] = set()
        """Values that some node, body or output reads."""

    def build(self) -> Program:
        """The main graph."""
        self._enter()
        outputs = [spec.name for spec in self.model.outputs]
        return self._program(self.model.nodes, outputs, find_fusions(self.model))

    def separate(self) -> list[tuple[NodeProto, Action]]:
        """The nodes of the main graph that cannot be computed at once, each by itself, shapes read when it runs."""
        self._enter()
        self.read = {name for node in self.model.nodes for name in (*node.input, *captures(node))}
        self.read |= {spec.name for spec in self.model.outputs}
        return [(node, call.action()) for node in self.model.nodes if (call := self._alone(node)) is not None]

    def _alone(self, node: NodeProto) -> Call | None:
        """What a node does; None where that was computed."""
        return None if self._dequantized_weight(node) or self._constant(node) else self._call(node)

    def _enter(self) -> None:
        """Slots of weights and inputs."""
        for name in self.model.weights:
            self._place(name, self._initial(name))
        for spec in self.model.inputs:
            self.slot(spec.name)

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
        return Program.of([draft.step(last) for draft, last in zip(drafts.values(), dead, strict=True)], self.mode)

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
        call = self._call(node)
        if call is None:
            return None
        action = self._hosted_once(call, node).action()
        reads = (*call.reads, *(self.slot(name) for name in sorted(captures(node))))
        return _Draft(node, action, reads, call.writes, note=self._frozen_batch(node))

    def _call(self, node: NodeProto) -> Call | None:
        """What a node does; None where it depends on constants alone and was computed."""
        operator = operator_of(self.scope, node)
        call = self._expanded(node) if operator is None else self._called(node, operator)
        pure = operator is None or operator.pure
        known = self.constant.issuperset(filter(None, (*node.input, *captures(node))))
        return None if pure and known and self._compute(node, call.action()) else call

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
        bound = partial(operator.function, **self.attributes.of(node, operator, len(writes)))
        function = bound if bound.keywords else bound.func
        stored = self._stored_as_integers(node)
        if stored:
            function = partial(on_integers, function, tuple(stored.values()), len(reads))
            reads = (*reads, *(slot for each in stored.values() for slot in each.units))
        return Call(
            function=function,
            reads=reads,
            writes=writes,
            many=operator.many,
            hosted=frozenset(
                place for place, kind in enumerate(operator.inputs[: len(node.input)]) if kind is Kind.INTS
            ),
            bodies={name: self._body(graph, self.scope.opsets) for name, graph in _graphs(node)},
        )  # fmt: skip

    def _stored_as_integers(self, node: NodeProto) -> dict[int, Stored]:
        """By its place among the inputs each trained weight of a quantised operator, which becomes floats."""
        found: dict[int, Stored] = {}
        for place, name in enumerate(node.input):
            meaning = self.model.quantized.get(name) if name in self.weights.quantized else None
            if meaning is None:
                continue
            scales = [self.template[self.slots[each]] for each in meaning.scales]
            zero_point = self.template[self.slots[meaning.zero_point]]
            if name not in self.weights.parameters:
                floats = floats_of(self.weights.quantized[name], scales, zero_point, meaning.axis)
                self.weights.parameters[name] = nn.Parameter(floats.to(self.precision))
                self.template[self.slots[name]] = self.weights.parameters[name]
                self.constant.discard(name)
            units = tuple(self.slots[each] for each in (*meaning.scales, meaning.zero_point) if each)
            found[place] = Stored(place, len(scales), bool(meaning.zero_point), meaning.axis, units)
        return found

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
                    f"its scale {node.input[1]} cannot train beside it",
                    where=name,
                    hint=f'freeze it with the options {{"freeze": ["{name}"]}}, or the scale',
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
        scope = scope_inside(self.scope, graph, opsets)
        inner = Builder(self.model, self.weights, self.precision, self.mode, scope)
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


def _trimmed(slots: tuple[int, ...]) -> tuple[int, ...]:
    """Without what is omitted at the end."""
    while slots and slots[-1] == NOTHING:
        slots = slots[:-1]
    return slots


def _graphs(node: NodeProto) -> Iterable[tuple[str, GraphProto]]:
    return ((attribute.name, attribute.g) for attribute in node.attribute if attribute.type == AttributeProto.GRAPH)


def _run_expansion(*values: Any, expansion: Callable[..., tuple[Any, ...]]) -> tuple[Any, ...]:
    return expansion(*values)
