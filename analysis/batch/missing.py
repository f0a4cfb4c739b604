"""Inputs whose missing numbers the graph fills in itself: there a batch may hold NaN, as its user's data do."""

from typing import Final

from onnx import NodeProto

from analysis.model import CheckedModel

MOVING: Final = frozenset(
    {
        "Cast",
        "Identity",
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Gather",
        "Slice",
        "Split",
        "Concat",
    }
)  # fmt: skip
WHERE_FALSE: Final = 2
"""The place of what is taken where the condition does not hold."""


def fills_in(model: CheckedModel, value: str) -> bool:
    """Whether no NaN of a value gets past a Where that asks for it, on any way.

    x --+-- IsNaN --+
        +-- Where (-, filled in, x) -- ..
    """
    readers = model.consumers.get(value, ())
    return bool(readers) and all(_stops(model, value, node, slot) for node, slot in readers)


def _stops(model: CheckedModel, value: str, node: NodeProto, slot: int) -> bool:
    if node.op_type == "Where" and slot == WHERE_FALSE:
        asked = model.producers.get(node.input[0])
        return asked is not None and asked.op_type == "IsNaN" and asked.input[0] == value
    if node.op_type in MOVING and (slot == 0 or node.op_type == "Concat"):
        return all(fills_in(model, name) for name in node.output)
    return node.op_type == "IsNaN"
