"""A sample axis that an exporter fixed, open again: the edit of the graph.

torch's exporter fixes every size unless it is told not to, and traces what a program makes of sizes as constants. Which
of them count samples is found by `analysis.subject.trace`; here they are written anew, from the size that an input has:

    Reshape(x, [8, -1])                   Reshape(x, [0, -1])
    Reshape(x, [80, 16])                  Reshape(x, [-1, 16])
    Expand(x, [8, 10, 16])                Expand(x, Concat(samples, [10, 16]))
    LSTM(x, .., h0) with h0 [1, 8, 16]    LSTM(x, .., Expand(h0[:, :1], Concat([1], samples, [1])))
    GatherND(x, [[0, 9], .. [7, 9]])      GatherND(x, [[0, 9]] + Range(samples) x [1, 0])

with samples = Gather(Shape(input), axis). What must not be taken for a size: Gather(x, [8]), which is an index.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from onnx import ModelProto, NodeProto, ValueInfoProto, helper

from analysis.errors import InvalidModel
from analysis.model.checked import CheckedModel, spec_of
from analysis.model.nodes import all_nodes
from analysis.model.onnx_tools import check_graph
from analysis.model.weights import Array

OLDEST_OPSET: Final = 9
"""From which Expand is there, and whatever is written here broadcasts."""
RANGE_OPSET: Final = 11
NAMES: Final = ("batch", "batch_size", "samples", "n")
"""What the open axis is called: the first that the graph has no other use for."""
SIZES: Final[Mapping[str, tuple[int, ...]]] = {
    "Reshape": (1,), "Expand": (1,), "Tile": (1,), "Slice": (1, 2), "Resize": (3,), "AffineGrid": (1,),
}  # fmt: skip
"""Inputs that hold sizes, by operator."""


@dataclass(frozen=True, slots=True)
class SizeEntry:
    """One entry of a constant that holds sizes is a multiple of the number of samples."""

    writes: str
    """The first value that the node writes."""
    slot: int
    index: int
    sizes: tuple[int, ...]
    """As exported."""
    keeps: bool
    """Of a Reshape: its input has the same axis in the same place."""


@dataclass(frozen=True, slots=True)
class EqualRows:
    """What does not depend on the inputs has one equal row for every sample along an axis."""

    writes: str
    slot: int
    axis: int
    rank: int


@dataclass(frozen=True, slots=True, eq=False)
class CountedRows:
    """Integers whose rows along an axis are the first one + n x step for sample n."""

    writes: str
    slot: int
    axis: int
    step: Array
    """Shaped like a row, the axis kept with length 1."""


Change = SizeEntry | EqualRows | CountedRows


@dataclass(frozen=True, slots=True)
class SampleAxis:
    """Where a value counts samples: `axis` has `outer` x samples x `inner` entries."""

    axis: int
    outer: int = 1
    inner: int = 1

    @property
    def factor(self) -> int:
        """How many entries a sample has along the axis."""
        return self.outer * self.inner


def open_axis(
    model: CheckedModel,
    size: int,
    axes: Mapping[str, int],
    where: Mapping[str, SampleAxis],
    changes: Sequence[Change] | None = None,
) -> CheckedModel:
    """The model with these input axes of fixed `size` open, after these changes.

    `where`: which values count samples, and along which axis; of all values, or, where nothing was traced (no
    `changes`), of the outputs. Raises InvalidModel.
    """
    proto = ModelProto()
    proto.CopyFrom(model.proto)
    edit = _Edit(model, size, changes or ())
    if changes:
        edit.count(*next(iter(axes.items())))
    for node in proto.graph.node:
        for change in edit.changes:
            if change.writes == first_output(node):
                edit.apply(node, change)
        edit.nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(edit.nodes)
    places = {**where, **{name: SampleAxis(axis) for name, axis in axes.items()}}
    name = _free_name(proto)
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        if value.name in places:
            _open(value, places[value.name], name)
        elif value.name in edit.shrunk:
            value.type.tensor_type.shape.dim[edit.shrunk[value.name]].dim_value = 1
    if changes is None:
        del proto.graph.value_info[:]
    opened = model.edited(proto, model.weights.updated(edit.weights))
    check_graph(proto, opened.weights)
    declared = {value.name: spec_of(value) for value in (*proto.graph.input, *proto.graph.output)}
    return replace(
        opened,
        inputs=tuple(declared[spec.name] for spec in model.inputs),
        outputs=tuple(declared[spec.name] for spec in model.outputs),
        constants=model.constants | (edit.weights.keys() - edit.shrunk.keys()),
    )


def first_output(node: NodeProto) -> str:
    """The first value that a node writes, by which a change names it."""
    return next((name for name in node.output if name), "")


@dataclass
class _Edit:
    """New nodes and tensors, each under a name that is its own and written once."""

    model: CheckedModel
    size: int
    changes: Sequence[Change]
    nodes: list[NodeProto] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)
    shrunk: dict[str, int] = field(default_factory=dict)
    """Initialisers of which one row is left, and along which axis."""
    taken: set[str] = field(default_factory=set)
    axis: int = 0
    shape: str = ""
    """The shape of the input that is asked."""
    samples: str = ""
    """The number of samples [1]."""

    def count(self, name: str, axis: int) -> None:
        """Read the number of samples off an input."""
        self.taken |= {value for node in all_nodes(self.model.nodes) for value in (*node.input, *node.output)}
        self.taken |= {*self.model.weights, *(spec.name for spec in self.model.inputs)}
        self.shape, self.axis = self._write("Shape", [name], "shape"), axis
        self.samples = self._write("Gather", [self.shape, self._constant([axis], "axis")], "samples")

    def apply(self, node: NodeProto, change: Change) -> None:
        """Give a node another input in the place of a constant one."""
        source = node.input[change.slot]
        if isinstance(change, SizeEntry):
            node.input[change.slot] = self._sizes(node, change)
        elif isinstance(change, EqualRows):
            shape = self._vector([1] * change.rank, change.axis)
            node.input[change.slot] = self._write("Expand", [self._first_row(source, change), shape], "rows")
        else:
            node.input[change.slot] = self._counted(source, change)

    def _sizes(self, node: NodeProto, change: SizeEntry) -> str:
        values = list(change.sizes)
        before, after = values[: change.index], values[change.index + 1 :]
        if node.op_type == "Reshape":
            literal = any(each.name == "allowzero" and each.i for each in node.attribute)
            if change.keeps and not literal:
                return self._constant([*before, 0, *after], "shape")
            if -1 not in values:
                return self._constant([*before, -1, *after], "shape")
        return self._vector(values, change.index, values[change.index] // self.size)

    def _vector(self, values: Sequence[int], index: int, factor: int = 1) -> str:
        """These integers with `factor` x samples at an index."""
        entry = self.samples
        if factor != 1:
            entry = self._write("Mul", [entry, self._constant([factor], "factor")], "multiple")
        before, after = values[:index], values[index + 1 :]
        parts = [self._constant(before, "sizes")] if before else []
        parts += [entry, *([self._constant(after, "sizes")] if after else [])]
        return self._write("Concat", parts, "sizes", axis=0) if len(parts) > 1 else entry

    def _first_row(self, source: str, change: EqualRows | CountedRows) -> str:
        if self.size == 1:
            return source
        if source in self.model.weights and isinstance(change, EqualRows) and self._alike(source, change.axis):
            self.shrunk[source] = change.axis
            self.weights[source] = np.take(self.model.weights[source], [0], axis=change.axis)
            return source
        return self._write("Gather", [source, self._constant([0], "first")], "row", axis=change.axis)

    def _alike(self, source: str, axis: int) -> bool:
        """Whether every reader of an initialiser is given its first row."""
        changed = {
            (each.writes, each.slot) for each in self.changes if isinstance(each, EqualRows) and each.axis == axis
        }
        readers = self.model.consumers[source]
        return all((first_output(each.node), each.slot) in changed for each in readers)

    def _counted(self, source: str, change: CountedRows) -> str:
        """row + Range(samples) x step."""
        if self.model.opset() < RANGE_OPSET:
            raise InvalidModel(f"Range needs opset {RANGE_OPSET}", where=change.writes)
        kind, rank = change.step.dtype, change.step.ndim
        limit = self._write("Gather", [self.shape, self._constant(self.axis, "axis")], "count")
        numbers = self._write("Range", [self._constant(0, "start"), limit, self._constant(1, "delta")], "numbers")
        if kind != np.int64:
            element = helper.np_dtype_to_tensor_dtype(kind)
            numbers = self._write("Cast", [numbers], "numbers", to=element)
        shape = [-1 if axis == change.axis else 1 for axis in range(rank)]
        column = self._write("Reshape", [numbers, self._constant(shape, "shape")], "column")
        moved = self._write("Mul", [column, self._tensor(change.step, "step")], "moved")
        return self._write("Add", [self._first_row(source, change), moved], "rows")

    def _constant(self, values: Sequence[int] | int, name: str) -> str:
        return self._tensor(np.asarray(values, np.int64), name)

    def _tensor(self, array: Array, name: str) -> str:
        name = self._free(name)
        self.weights[name] = array
        return name

    def _write(self, operator: str, inputs: Sequence[str], name: str, **attributes: int) -> str:
        name = self._free(name)
        node = helper.make_node(operator, inputs, [name], name=name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return name

    def _free(self, name: str) -> str:
        """A name that no value has."""
        name = f"batch_axis/{name}"
        free = next(
            each for number in itertools.count() if (each := f"{name}_{number}" if number else name) not in self.taken
        )
        self.taken.add(free)
        return free


def _free_name(proto: ModelProto) -> str:
    """A name of a dimension that stands for nothing else yet."""
    values = (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)
    taken = {each.dim_param for value in values for each in value.type.tensor_type.shape.dim}
    return next((name for name in NAMES if name not in taken), NAMES[0])


def _open(value: ValueInfoProto, place: SampleAxis, name: str) -> None:
    """Declare an axis open, by name where it has one entry a sample."""
    shape = value.type.tensor_type.shape
    if place.axis < len(shape.dim):
        shape.dim[place.axis].Clear()
        if place.factor == 1:
            shape.dim[place.axis].dim_param = name
