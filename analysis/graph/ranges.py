"""Between which limits a value lies whatever the weights are: interval arithmetic along the graph.

What ends a graph, and what is known of it:

    z -- Tanh -- y                              -1 .. 1
    z -- Sigmoid -- Mul (4) -- Add (1) -- y     1 .. 5
    z -- Relu -- y                              0 .. infinity
    x / |x| -- MatMul (w / |w|) -- y            -1 .. 1, cosines
    z -- Tanh -- Mul (a factor that is learnt)  nothing
"""

import math
from collections.abc import Callable, Container, Mapping
from typing import Final, NamedTuple

import numpy as np
from onnx import NodeProto

from analysis.graph.families import PASSING, POOLING
from analysis.model import CheckedModel
from analysis.model.nodes import attributes_of
from analysis.model.weights import Array


class Limits(NamedTuple):
    """A closed interval, perhaps without an end."""

    least: float
    most: float


EVERYTHING: Final = Limits(-math.inf, math.inf)
WRITES: Final[Mapping[str, Limits]] = {
    "Tanh": Limits(-1, 1), "Softsign": Limits(-1, 1), "Erf": Limits(-1, 1), "Sin": Limits(-1, 1), "Cos": Limits(-1, 1),
    "Sigmoid": Limits(0, 1), "HardSigmoid": Limits(0, 1), "Softmax": Limits(0, 1), "Hardmax": Limits(0, 1),
    "Relu": Limits(0, math.inf), "Softplus": Limits(0, math.inf), "Exp": Limits(0, math.inf),
    "Abs": Limits(0, math.inf), "Sqrt": Limits(0, math.inf), "ReduceL2": Limits(0, math.inf),
    "ReduceSumSquare": Limits(0, math.inf), "LogSoftmax": Limits(-math.inf, 0),
}  # fmt: skip
"""What these write whatever they read."""
HANDS_ON: Final = PASSING | POOLING | {"Dropout", "Flatten", "Slice", "Split", "ReduceMean", "ReduceMax", "Expand"}
"""What writes nothing that lies outside of what it reads."""
AROUND_A_LENGTH: Final = frozenset({"Clip", "Max", "Expand", "Add", "Sqrt", "Unsqueeze", "Reshape", "Cast", "Identity"})
"""What may stand between a length and the division by it."""
DEEPEST: Final = 12
"""Nodes that are looked at, one behind the other."""
UNIT_WITHIN: Final = 1e-3


def drawn_within(normal: Array, limits: Limits) -> Array:
    """Draws of N(0, 1) moved into limits: three deviations either way are the range, or absolute from its only end."""
    least, most = limits
    if math.isfinite(least) and math.isfinite(most):
        return least + (most - least) * (np.clip(normal, -3, 3) + 3) / 6
    if math.isfinite(least):
        return least + np.abs(normal)
    return most - np.abs(normal) if math.isfinite(most) else normal


def limits_of(model: CheckedModel, value: str, learnt: Container[str], depth: int = DEEPEST) -> Limits:
    """The limits of a value; initialisers in `learnt` may become anything."""
    if value in model.weights:
        return EVERYTHING if value in learnt else _of_constant(model.weights[value])
    node = model.producers.get(value)
    if node is None or not depth:
        return EVERYTHING
    if _is_cosine(model, node):
        return Limits(-1, 1)
    if node.op_type in ARITHMETIC:
        return _combined(node.op_type, *(limits_of(model, name, learnt, depth - 1) for name in node.input))
    if node.op_type in HANDS_ON | WRITES.keys() | {"Clip"}:
        return _made_of(model, node, limits_of(model, node.input[0], learnt, depth - 1))
    return EVERYTHING


def _made_of(model: CheckedModel, node: NodeProto, entering: Limits) -> Limits:
    """What an operator on one value makes of its limits."""
    if node.op_type == "Clip":
        return _clipped(model, node, entering)
    return entering if node.op_type in HANDS_ON else _squeezed(node.op_type, entering)


def _of_constant(array: Array) -> Limits:
    if array.dtype.kind != "f" or not array.size or not np.isfinite(array).all():
        return EVERYTHING
    return Limits(float(array.min()), float(array.max()))


def _squeezed(op_type: str, entering: Limits) -> Limits:
    """The limits of what an operator writes; ReLU keeps those of what it reads."""
    if op_type == "Relu":
        return Limits(max(entering.least, 0.0), max(entering.most, 0.0))
    return WRITES[op_type]


def _clipped(model: CheckedModel, node: NodeProto, entering: Limits) -> Limits:
    attributes = attributes_of(node)
    bounds = [float(attributes.get("min", -math.inf)), float(attributes.get("max", math.inf))]
    for place, name in enumerate(node.input[1:3]):
        if name in model.weights:
            bounds[place] = float(np.asarray(model.weights[name], np.float64).reshape(-1)[0])
        elif name:
            return EVERYTHING
    low, high = bounds
    return Limits(min(max(entering.least, low), high), min(max(entering.most, low), high))


def _add(one: Limits, other: Limits) -> Limits:
    return Limits(one.least + other.least, one.most + other.most)


def _negated(one: Limits) -> Limits:
    return Limits(-one.most, -one.least)


def _multiplied(one: Limits, other: Limits) -> Limits:
    corners = [0.0 if 0.0 in (a, b) else a * b for a in one for b in other]
    return Limits(min(corners), max(corners))


def _divided(one: Limits, other: Limits) -> Limits:
    if other.least <= 0 <= other.most:
        return EVERYTHING
    return _multiplied(one, Limits(1 / other.most, 1 / other.least))


ARITHMETIC: Final[Mapping[str, Callable[[Limits, Limits], Limits]]] = {
    "Add": _add,
    "Sub": lambda one, other: _add(one, _negated(other)),
    "Mul": _multiplied,
    "Div": _divided,
}


def _combined(op_type: str, *operands: Limits) -> Limits:
    found = ARITHMETIC[op_type](*operands) if len(operands) == 2 else EVERYTHING
    return EVERYTHING if any(math.isnan(end) for end in found) else found


# ------------------------------------------------------------------ cosines


def _is_cosine(model: CheckedModel, node: NodeProto) -> bool:
    """A product of two directions: of length 1 each, or divided by both lengths."""
    if node.op_type == "Gemm" and len(node.input) > 2:
        return False
    if node.op_type in {"MatMul", "Gemm"}:
        axes = (-1, -2) if node.op_type == "MatMul" or not attributes_of(node).get("transB") else (-1, -1)
        return all(_is_direction(model, name, axis) for name, axis in zip(node.input, axes, strict=False))
    factors = _summed_product(model, node)
    if factors:
        return all(_is_direction(model, name, -1) for name in factors)
    factors = _summed_product(model, model.producers.get(node.input[0])) if node.op_type == "Div" else ()
    return bool(factors) and set(_lengths(model, node.input[1])) == set(factors)


def _summed_product(model: CheckedModel, node: NodeProto | None) -> tuple[str, ...]:
    """The two factors whose products are summed."""
    product = model.producers.get(node.input[0]) if node is not None and node.op_type == "ReduceSum" else None
    return tuple(product.input) if product is not None and product.op_type == "Mul" else ()


def _is_direction(model: CheckedModel, value: str, axis: int) -> bool:
    """Whether rows of a value, along this axis where it is a stored weight, have length 1."""
    if value in model.weights:
        weight = np.asarray(model.weights[value])
        if weight.ndim < 2 or weight.dtype.kind != "f":
            return False
        return bool((np.abs(np.linalg.norm(weight.astype(np.float64), axis=axis) - 1) < UNIT_WITHIN).all())
    node = model.producers.get(value)
    if node is None:
        return False
    if node.op_type in PASSING | {"Expand"}:
        return _is_direction(model, node.input[0], -1 if node.op_type == "Transpose" else axis)
    if node.op_type == "LpNormalization":
        return int(attributes_of(node).get("p", 2)) == 2
    return node.op_type == "Div" and _lengths(model, node.input[1]) == (node.input[0],)


def _lengths(model: CheckedModel, value: str, depth: int = DEEPEST) -> tuple[str, ...]:
    """The values whose lengths are multiplied here: |a|, or |a| |b|."""
    node = model.producers.get(value)
    if node is None or not depth:
        return ()
    if node.op_type in {"ReduceL2", "ReduceSumSquare"}:
        return (node.input[0],)
    factors = _summed_product(model, node)
    if factors:
        return (factors[0],) if len(set(factors)) == 1 else ()
    if node.op_type == "ReduceSum":
        power = model.producers.get(node.input[0])
        return (power.input[0],) if power is not None and power.op_type == "Pow" else ()
    if node.op_type == "Mul":
        return tuple(name for factor in node.input for name in _lengths(model, factor, depth - 1))
    return _lengths(model, node.input[0], depth - 1) if node.op_type in AROUND_A_LENGTH else ()
