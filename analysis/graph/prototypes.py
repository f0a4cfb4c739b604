"""Operands that are several places for each sample: prototypes, centres of a kernel. One place is a statistic.

x [N, 1, D] -- Sub (c [P, D]) -- Pow (2) -- ReduceSum     distances of each sample to P places
x [N, D] ----- Sub (c [D]) --- Div (d [D]) -- MatMul      mean and deviation of the features
"""

from typing import Final

from onnx import NodeProto

from analysis.graph.families import COPYING, walk_back
from analysis.graph.sources import Use
from analysis.model import CheckedModel

REACH: Final = 4
"""Nodes from a difference to the sum of its squares."""
NORMS: Final = frozenset({"ReduceL1", "ReduceL2", "ReduceSumSquare"})


def several_of_each(model: CheckedModel, use: Use, data: str) -> bool:
    """Whether what a node writes has more numbers than the data that it reads beside an operand: several of each.

    Where sizes are unknown: an axis was put in for that, and the operand has sizes along two axes or more.
    """
    before, after = (_sizes(model, name) for name in (data, use.node.output[0]))
    if before and all(before[1:]) and len(after) >= len(before):
        padded = [1] * (len(after) - len(before)) + before
        return any(size == 1 != grown for size, grown in zip(padded, after, strict=True))
    shape = model.shape(use.value) or model.weights[use.initializer].shape
    return _has_new_axis(model, data) and sum(size > 1 for size in shape) > 1


def is_summed_as_distance(model: CheckedModel, node: NodeProto) -> bool:
    """Whether what a node writes is summed, squared or without its sign: a norm, or a few nodes of arithmetic between.

    Sub -- Mul (itself) -- ReduceSum        Sub -- Div (s) -- Abs -- ReduceMean        Sub -- ReduceL2
    """
    signless = False
    for _ in range(REACH):
        readings = model.consumers.get(node.output[0], ())
        if not readings or any(reading.node is not readings[0].node for reading in readings):
            return False
        node = readings[0].node
        signless |= node.op_type in {"Abs", "Pow", *NORMS} or (node.op_type == "Mul" and len(readings) > 1)
        if node.op_type in {"ReduceSum", "ReduceMean", *NORMS}:
            return signless
        if node.op_type not in {"Abs", "Pow", "Mul", "Div", "Neg", "Cast"}:
            return False
    return False


def _has_new_axis(model: CheckedModel, value: str) -> bool:
    node = model.producers.get(walk_back(model, value, COPYING))
    if node is not None and node.op_type == "Reshape":
        return 1 in model.weights.get(node.input[1], ())
    return node is not None and node.op_type == "Unsqueeze"


def _sizes(model: CheckedModel, value: str) -> list[int]:
    """Of a value, 0 where one is open; none where nothing is known."""
    known = model.values.get(value)
    return [] if known is None else [size.dim_value for size in known.type.tensor_type.shape.dim]
