"""Outputs whose number of rows depends on the numbers in them, and tensors that leave a graph inside a sequence.

    boxes ------------------------- Gather -- Concat -- y        as many rows as there were detections
    scores -- NonMaxSuppression ----+
    scores -- Greater -- NonZero -- GatherND -- y                or as many as are large enough

Another weight, another number of rows: no loss is defined on such an output, but it is on what the rows are chosen
from. The same goes for the tensors that a sequence is made of:

    a, b -- SequenceConstruct -- y                               two outputs
"""

from collections.abc import Iterator
from typing import Final

from onnx import NodeProto

from analysis.graph.families import PASSING
from analysis.model import CheckedModel

COUNTING: Final = frozenset({"NonZero", "NonMaxSuppression", "Unique"})
"""How long their outputs are follows from the numbers that come in."""
PICKING: Final = frozenset({"Gather", "GatherND", "GatherElements"})
ON_THE_WAY: Final = PASSING | {"Concat", "Slice", "Add", "Sub", "Mul", "Div", "Flatten"}
"""What is done to chosen rows before they leave the graph."""
REACH: Final = 12
"""Nodes between a choice and the output, and as many times ten between what counts and the choice."""
COLLECTING: Final = {"SequenceConstruct": None, "SequenceInsert": 2, "SplitToSequence": 1, "Optional": 1, "Identity": 1,
                     "SequenceErase": 1}  # fmt: skip
"""Operators that write sequences or optionals, and how many of their inputs are parts of these; None: all."""


def tensors_of(model: CheckedModel, value: str) -> Iterator[str]:
    """The tensors that a sequence or an optional is made of; a tensor itself; nothing where that cannot be told."""
    if not is_collection(model, value):
        yield value
        return
    node = model.producers.get(value)
    if node is not None and node.op_type in COLLECTING:
        for name in filter(None, node.input[: COLLECTING[node.op_type]]):
            yield from tensors_of(model, name)


def is_collection(model: CheckedModel, value: str) -> bool:
    """Whether a value is known to be no tensor."""
    known = model.values.get(value)
    return known is not None and known.type.WhichOneof("value") not in {None, "tensor_type"}


def chosen_from(model: CheckedModel, value: str, reach: int = REACH) -> str:
    """What the rows of a value are chosen from by numbers that the graph computes; empty where they are all there."""
    node = model.producers.get(value)
    if node is None or not reach or not model.is_float(value):
        return ""
    if node.op_type == "Compress":
        return "" if node.input[1] in model.weights else node.input[0]
    if node.op_type in PICKING and _counts(model, node.input[1]):
        return node.input[0]
    for name in node.input if node.op_type in ON_THE_WAY else ():
        found = chosen_from(model, name, reach - 1)
        if found:
            return found
    return ""


def _counts(model: CheckedModel, indices: str) -> bool:
    """Whether indices come from an operator that counts, through integers alone."""
    waiting, seen = [indices], {indices}
    while waiting and len(seen) <= 10 * REACH:
        node: NodeProto | None = model.producers.get(waiting.pop())
        if node is None:
            continue
        if node.op_type in COUNTING or (node.op_type == "Compress" and node.input[1] not in model.weights):
            return True
        fresh = [name for name in node.input if name and name not in seen and not model.is_float(name)]
        seen.update(fresh)
        waiting.extend(fresh)
    return False
