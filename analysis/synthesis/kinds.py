"""What an input of the graph is for, read off what the graph does with it.

    ids ---- (arithmetic) ----.
                              Gather        ids: they choose rows of a table
    table --------------------'

    h0 ------------- LSTM (initial_h)       state
    lengths -------- LSTM (sequence_lens)   lengths
    image ---------- Conv (3 channels)      picture

Names decide only what the graph leaves open: an integer that is nothing else is a mask, a float called state is one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from onnx import NodeProto

from analysis.graph.families import walk_back
from analysis.graph.slots import RECURRENT
from analysis.model import CheckedModel
from analysis.model.checked import ValueSpec
from analysis.model.nodes import attributes_of


class Kind(StrEnum):
    """What an input holds."""

    NUMBERS = "numbers"
    PICTURE = "pictures"
    IDS = "ids"
    MASK = "a mask of ones"
    LENGTHS = "full lengths"
    STATE = "states of zeros"
    RATE = "a sample rate"


@dataclass(frozen=True, slots=True)
class Table:
    """What ids choose from."""

    index: str
    """The value that is the index, behind whatever arithmetic the graph does with the ids."""
    rows: int | None
    """None where the graph does not say."""


MASK_NAME: Final = re.compile(r"mask|valid|padding", re.IGNORECASE)
LENGTH_NAME: Final = re.compile(r"(^|[._/-])(\w*len(gth)?s?|\w*_sizes?)$", re.IGNORECASE)
STATE_NAME: Final = re.compile(r"(^|[._/-])([hc][0n]?|\w*state\w*|\w*hidden\w*|\w*cache\w*|\w*past\w*)", re.IGNORECASE)
RATE_NAME: Final = re.compile(r"^(sr|fs|sample_?rate|sampling_?rate)$", re.IGNORECASE)
PASSING: Final = frozenset(
    {"Cast", "CastLike", "Concat", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile"}
    | {"Transpose", "Unsqueeze", "Pad", "Dropout"}
)
ARITHMETIC: Final = frozenset(
    {"Abs", "Add", "Ceil", "Clip", "Div", "Floor", "Max", "Min", "Mod", "Mul", "Neg", "Round", "Sub", "Where"}
)
"""What may stand between ids and their table."""
CONVOLUTIONS: Final = frozenset({"Conv", "FusedConv", "ConvTranspose", "QLinearConv", "ConvInteger"})
CHANNELS: Final = frozenset({1, 3, 4})
LEAST_SIDE: Final = 8
PICTURE_RANK: Final = 4
MOST_ROWS: Final = 1 << 20
"""Of a table that is written out."""


def kind_of(model: CheckedModel, spec: ValueSpec) -> Kind:
    """What an input holds."""
    ends = {(node.op_type, slot) for node, slot in _ends(model, spec.name, PASSING)}
    named = "" if len(model.inputs) == 1 else spec.name
    return _by_slot(ends) or _by_name(spec, named) or _by_shape(model, spec, named, ends)


def _by_slot(ends: set[tuple[str, int]]) -> Kind | None:
    """What a recurrent operator takes it for."""
    slots = {slot for operator, slot in ends if operator in RECURRENT}
    if slots & {5, 6}:
        return Kind.STATE
    return Kind.LENGTHS if 4 in slots else None


def _by_name(spec: ValueSpec, named: str) -> Kind | None:
    """What it is called, where other inputs stand beside it."""
    if spec.dtype == "bool" or MASK_NAME.search(named):
        return Kind.MASK
    return Kind.RATE if RATE_NAME.match(named) and len(spec.shape or ()) < 2 else None


def _by_shape(model: CheckedModel, spec: ValueSpec, named: str, ends: set[tuple[str, int]]) -> Kind:
    """Ids where it chooses rows, else pictures by their axes, else by type and name."""
    if tables_of(model, spec):
        return Kind.IDS
    if is_picture(model, spec):
        return Kind.PICTURE
    if _is_integer(spec):
        return _integers(spec, named, ends)
    return Kind.STATE if STATE_NAME.search(named) else Kind.NUMBERS


def tables_of(model: CheckedModel, spec: ValueSpec) -> tuple[Table, ...]:
    """The tables that an input chooses rows of: integers, or floats that the graph makes integers of."""
    found = {}
    for node, slot in _ends(model, spec.name, PASSING | ARITHMETIC):
        table = _table(model, node, slot)
        if table is not None:
            found[table.index] = table
    return tuple(found.values())


def is_picture(model: CheckedModel, spec: ValueSpec) -> bool:
    """Whether an input has height, width and the channels of a picture, in either order."""
    shape = spec.shape
    if shape is None or len(shape) != PICTURE_RANK:
        return False
    channels = known_channels(model, spec)
    for axis in (1, 3):
        sides = [shape[place] for place in (2, 3)] if axis == 1 else [shape[place] for place in (1, 2)]
        size = shape[axis] if isinstance(shape[axis], int) else channels if axis == 1 else None
        if size in CHANNELS and all(not isinstance(side, int) or side >= LEAST_SIDE for side in sides):
            return True
    return False


def known_channels(model: CheckedModel, spec: ValueSpec) -> int | None:
    """What the first convolution expects along axis 1, where nothing but a cast stands before it."""
    for node, slot in _ends(model, spec.name, frozenset({"Cast", "Identity"})):
        weight = model.weights.get(node.input[1]) if node.op_type in {"Conv", "FusedConv"} and slot == 0 else None
        if weight is not None and weight.ndim >= 2:
            return int(weight.shape[1]) * int(attributes_of(node).get("group", 1))
    return None


def rank_of(model: CheckedModel, spec: ValueSpec) -> int:
    """How many axes an input of unknown rank is given: what its first reader needs."""
    for node, slot in _ends(model, spec.name, PASSING - {"Reshape", "Flatten", "Squeeze", "Unsqueeze"}):
        weight = model.weights.get(node.input[1]) if len(node.input) > 1 else None
        if node.op_type in CONVOLUTIONS and slot == 0 and weight is not None:
            return weight.ndim
        if node.op_type in RECURRENT and slot == 0:
            return 3
        if node.op_type in {"Gemm", "MatMul", "Gather"}:
            return 2
    return 1


def _integers(spec: ValueSpec, named: str, ends: set[tuple[str, int]]) -> Kind:
    """Integers that choose no rows: sizes by name, numbers where they are multiplied by weights, else a mask."""
    if LENGTH_NAME.search(named) and len(spec.shape or ()) <= 1:
        return Kind.LENGTHS
    multiplied = any(operator in CONVOLUTIONS | {"MatMul", "Gemm"} | ARITHMETIC for operator, _ in ends)
    return Kind.NUMBERS if spec.dtype == "uint8" or (multiplied and named == "") else Kind.MASK


def _is_integer(spec: ValueSpec) -> bool:
    return spec.dtype.startswith(("int", "uint"))


def _table(model: CheckedModel, node: NodeProto, slot: int) -> Table | None:
    """The table of a node that reads ids at a slot."""
    if node.op_type == "Gather" and slot == 1:
        return _rows(model, node, node.input[0], attributes_of(node).get("axis", 0))
    if node.op_type == "EmbedLayerNormalization" and slot in {0, 1}:
        table = model.weights.get(node.input[2 if slot == 0 else 4])
        return None if table is None else Table(node.input[slot], int(table.shape[0]))
    if node.op_type == "OneHot" and slot == 0:
        depth = model.weights.get(node.input[1])
        return Table(node.input[0], None if depth is None else int(depth.reshape(-1)[0]))
    if node.op_type == "Equal" and slot in {0, 1}:
        return _counted(model, node, node.input[1 - slot])
    return None


def _counted(model: CheckedModel, node: NodeProto, other: str) -> Table | None:
    """A table written out: ids compared with 0, 1, 2 ..., which makes them vectors of one 1 each."""
    weight = model.weights.get(walk_back(model, other, PASSING))
    if weight is None or weight.dtype.kind not in "fiu" or not 1 < weight.size <= MOST_ROWS:
        return None
    counted = np.array_equal(weight.reshape(-1), np.arange(weight.size))
    own = next(name for name in node.input if name != other)
    return Table(own, int(weight.size)) if counted else None


def _rows(model: CheckedModel, node: NodeProto, data: str, axis: int) -> Table | None:
    """Rows of a table of weights, whatever decodes it; positions within other values are no ids."""
    while data not in model.weights:
        producer = model.producers.get(data)
        if producer is None or producer.op_type not in {"DequantizeLinear", "Cast", "Identity", "Transpose"}:
            return None
        if producer.op_type == "Transpose":
            return Table(node.input[1], None)
        data = producer.input[0]
    return Table(node.input[1], int(model.weights[data].shape[axis]))


def _ends(model: CheckedModel, name: str, passing: frozenset[str]) -> Iterator[tuple[NodeProto, int]]:
    """Who reads a value, or what passing operators make of it: nodes and the slots at which they do."""
    reached, waiting = {name}, [name]
    while waiting:
        for node, slot in model.consumers.get(waiting.pop(), ()):
            yield node, slot
            if node.op_type in passing and slot >= 0:
                fresh = [output for output in node.output if output and output not in reached]
                reached.update(fresh)
                waiting.extend(fresh)
