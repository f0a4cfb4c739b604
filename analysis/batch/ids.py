"""Ids that the batch sends into a table of the model: one that the table does not have is told before anything runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import NodeProto, TensorProto

from analysis.errors import BadBatch
from analysis.model import CheckedModel
from analysis.model.nodes import attributes_of, label
from analysis.model.weights import Array

KEEPING: Final = frozenset({"Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"})
"""What hands on every number of its first input, whatever becomes of the shape."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A Gather from weights."""

    node: str
    table: str
    rows: int


def check_ids(inputs: Mapping[str, Array], model: CheckedModel) -> None:
    """Raises BadBatch with the id, where it stands, the table and the node that looks it up.

    ids -- Cast, Reshape, ... -- Gather(weights, -)     held against the rows of the weights
    ids -- Clip, Where, Mod, ... -- Gather(weights, -)  not: the graph itself may keep them in range
    """
    for name, array in inputs.items():
        if array.dtype.kind in "iu":
            for lookup in _lookups(model, name):
                _check(name, array, lookup)


def _check(name: str, array: Array, lookup: Lookup) -> None:
    wrong = (array >= lookup.rows) | (array < -lookup.rows)  # negative ones count from the end
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), array.shape)
        raise BadBatch(
            f"id {int(array[place])} at {[int(each) for each in place]} is not in table {lookup.table!r}, which has "
            f"rows 0 to {lookup.rows - 1} ({int(wrong.sum())} of {array.size} ids are out of range)",
            where=name,
            hint=f"looked up by node {lookup.node}; is the vocabulary that of the model?",
        )


def _lookups(model: CheckedModel, value: str) -> Iterator[Lookup]:
    waiting = [value]
    while waiting:
        for node, slot in model.consumers.get(waiting.pop(), ()):
            table = model.weights.get(node.input[0]) if node.op_type == "Gather" and slot == 1 else None
            if table is not None and table.ndim:
                axis = attributes_of(node).get("axis", 0)
                yield Lookup(label(node), node.input[0], table.shape[axis])
            elif slot == 0 and (node.op_type in KEEPING or _keeps(node)):
                waiting.append(node.output[0])


def _keeps(node: NodeProto) -> bool:
    return node.op_type == "Cast" and attributes_of(node).get("to") == TensorProto.INT64
