"""Who reads an input, and what it chooses from: rows of a table, or positions within other values.

ids ---- (arithmetic) ----.                 edges ---- (Split, Squeeze) ----.
Gather                                           Gather, ScatterElements
table of weights ---------'                 a value of the graph -----------'
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from onnx import GraphProto, NodeProto

from analysis.graph.families import walk_back
from analysis.model import CheckedModel
from analysis.model.checked import Reading, ValueSpec, consumers_in
from analysis.model.nodes import attributes_of, bodies


@dataclass(frozen=True, slots=True)
class Table:
    """What ids choose from."""

    index: str
    """The value that is the index, behind whatever arithmetic the graph does with the ids."""
    rows: int | None
    """Those that stand in front of the padding at its end; None where the graph does not say."""
    padded: int = 0
    """Its rows from here on are no padding."""


PASSING: Final = frozenset(
    {"Cast", "CastLike", "Concat", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Tile"}
    | {"Transpose", "Unsqueeze", "Pad", "Dropout"}
)
ARITHMETIC: Final = frozenset(
    {"Abs", "Add", "Ceil", "Clip", "Div", "Floor", "Max", "Min", "Mod", "Mul", "Neg", "Round", "Sub", "Where"}
)
"""What may stand between ids and their table."""
INDEXED: Final = frozenset({"Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "Scatter"})
"""What reads positions at slot 1."""
BOXES_OF: Final = ("RoiAlign", 2)
"""Which sample each box is of."""
PICKING: Final = frozenset({"Gather", "GatherElements", "GatherND"})
"""What hands on a part of what it reads at slot 0: a column of ids."""
SPECIAL_ROWS: Final = 4
"""The first ids of a vocabulary, among which padding is: [PAD] [UNK], or <s> <pad> </s> <unk>."""
MOST_ROWS: Final = 1 << 20
"""Of a table that is written out."""


def tables_of(model: CheckedModel, spec: ValueSpec) -> tuple[Table, ...]:
    """The tables that an input chooses rows of: integers, or floats that the graph makes integers of."""
    found: dict[Table, None] = {}
    for node, slot in readers(model, spec.name, PASSING | ARITHMETIC):
        table = _table(model, node, slot)
        if table is not None:
            seen = table.index in model.producers  # those of a body cannot be looked at
            found[table if seen else replace(table, index=spec.name)] = None
    return tuple(found)


def indexed_by(model: CheckedModel, spec: ValueSpec) -> tuple[Table, ...]:
    """The tables whose index an input is, where it is nothing else: each row that all of them have will do."""
    readers = [each for each in model.consumers.get(spec.name, ()) if each[0].op_type != "Shape"]
    tables = [_table(model, node, slot) for node, slot in readers]
    known = tuple(table for table in tables if table is not None and table.rows)
    return known if len(known) == len(tables) else ()


def positions_of(model: CheckedModel, spec: ValueSpec) -> tuple[Table, ...]:
    """What an input chooses from within values that the graph computes."""
    found = {
        node.input[slot]: Table(node.input[slot], None)
        for node, slot in readers(model, spec.name, PASSING | ARITHMETIC)
        if ((node.op_type in INDEXED and slot == 1) or (node.op_type, slot) == BOXES_OF)
        and _table(model, node, slot) is None
    }
    return tuple(found.values())


def readers(
    model: CheckedModel, name: str, passing: frozenset[str], *, unmixed: bool = False
) -> Iterator[tuple[NodeProto, int]]:
    """Who reads a value, or what passing operators make of it: nodes and the slots at which they do, in bodies too.

    `unmixed`: those operators let it pass whose other operands are constants or weights.
    """
    waiting: list[tuple[str, Mapping[str, tuple[Reading, ...]]]] = [(name, model.consumers)]
    reached = {(name, id(model.consumers))}
    while waiting:
        value, consumers = waiting.pop()
        onward = []
        for node, slot in consumers.get(value, ()):
            yield node, slot
            passes = node.op_type in passing or (node.op_type in PICKING and slot == 0)
            if slot < 0:
                onward += [(value, consumers_in(body.node)) for body in bodies(node) if value not in _own(body)]
            elif passes and not (unmixed and _mixes(model, node, slot)):
                onward += [(output, consumers) for output in node.output if output]
        fresh = [each for each in onward if (each[0], id(each[1])) not in reached]
        reached.update((output, id(there)) for output, there in fresh)
        waiting += fresh


def _own(body: GraphProto) -> set[str]:
    return {value.name for value in body.input}


def _mixes(model: CheckedModel, node: NodeProto, slot: int) -> bool:
    """Whether a node reads another value that is computed."""
    return any(name and place != slot and name not in model.weights for place, name in enumerate(node.input))


def _table(model: CheckedModel, node: NodeProto, slot: int) -> Table | None:
    """The table of a node that reads ids at a slot."""
    if node.op_type == "Gather" and slot == 1:
        return _rows(model, node, node.input[0], attributes_of(node).get("axis", 0))
    if node.op_type in {"EmbedLayerNormalization", "QEmbedLayerNormalization"} and slot in {0, 1}:
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
    table = model.weights[data]
    if axis != 0:
        return Table(node.input[1], int(table.shape[axis]))
    return Table(node.input[1], len(table) - _padded_behind(table), _padded(table))


def _padded(table: np.ndarray) -> int:
    """Behind the last of the first rows that is all zeros, as a table keeps the row of the padding (`padding_idx`).

    Without a mask that fits it is no token of any text: its sum with a position that is zero, too, has no direction,
    and a normalisation behind it no finite slope.
    """
    if table.ndim != 2 or table.dtype.kind != "f" or len(table) <= SPECIAL_ROWS:
        return 0
    empty = np.flatnonzero(~table[:SPECIAL_ROWS].any(axis=1))
    return int(empty[-1]) + 1 if 0 < empty.size < SPECIAL_ROWS else 0


def _padded_behind(table: np.ndarray) -> int:
    """Rows of zeros at the end of a table: the padding (`padding_idx=vocabulary`), or what fills up a round number."""
    if table.ndim != 2 or table.dtype.kind != "f":
        return 0
    used = np.flatnonzero(table.any(axis=1))
    return len(table) - 1 - int(used[-1]) if used.size > 1 else 0
