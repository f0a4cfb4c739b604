"""Dropout of the graph: where it drops, and how much.

The ratio is an attribute until opset 11 and a constant input from opset 12 on; one that the graph computes is unknown.
"""

from collections.abc import Iterator
from typing import Final

from onnx import NodeProto

from analysis.model import CheckedModel
from analysis.model.nodes import attributes_of

RATIO: Final = 1
"""Where the input of the ratio is."""
USUAL: Final = 0.5
"""The ratio of a Dropout that names none."""


def find_dropout(model: CheckedModel) -> Iterator[tuple[NodeProto, float]]:
    """Nodes of the main graph that set a share of their input to zero in training, and that share."""
    for node in model.nodes:
        ratio = _ratio(model, node) if node.op_type == "Dropout" else None
        if ratio is not None and 0 < ratio < 1:
            yield node, ratio


def has_ratio_input(node: NodeProto) -> bool:
    """Whether the node is told its ratio by an input, not by an attribute."""
    return len(node.input) > RATIO and bool(node.input[RATIO])


def _ratio(model: CheckedModel, node: NodeProto) -> float | None:
    if not has_ratio_input(node):
        return float(attributes_of(node).get("ratio", USUAL))
    given = model.weights.get(node.input[RATIO])
    return None if given is None else float(given)
