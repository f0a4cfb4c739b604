"""Where treatments may act: hidden activations, ends of residual branches; never gates, never heads."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import helper

from analysis.facts import Layer
from analysis.graph.families import NORMALIZATIONS, PASSING, walk_ahead
from analysis.interventions.contract import Context
from analysis.model import CheckedModel
from analysis.model.nodes import captures

GATES: Final = frozenset({"Sigmoid", "HardSigmoid", "Tanh"})
ON_A_BRANCH: Final = PASSING | {"Dropout"}
"""What may stand between the last layer of a residual branch and the addition."""
REACH: Final = 6
"""Nodes between the end of a branch and its addition."""


def hidden_activations(model: CheckedModel, context: Context) -> dict[str, Layer]:
    """Activations that stand between layers and are no gates: the value behind each, and its layer."""
    leading_on = values_before(model, (layer.output for layer in context.layers))
    return {
        layer.activated: layer
        for layer in context.layers
        if layer.activated is not None and layer.activated in leading_on and not _is_gate(model, layer)
    }


def values_before(model: CheckedModel, values: Iterable[str]) -> set[str]:
    """Every value that one of these depends on."""
    targets, found = set(values), set[str]()
    for node in reversed(model.nodes):
        if not targets.isdisjoint(node.output) or not found.isdisjoint(node.output):
            found.update(node.input)
            found.update(captures(node))
    return found


def _is_gate(model: CheckedModel, layer: Layer) -> bool:
    """Whether the activation multiplies another value of the graph."""
    if layer.activation not in GATES or layer.activated is None:
        return False
    return any(
        use.node.op_type == "Mul" and all(name not in model.weights for name in use.node.input)
        for use in model.consumers.get(layer.activated, ())
    )


@dataclass(frozen=True, slots=True)
class BranchEnd:
    """The last layer of a residual branch, and where the branch is added."""

    layer: Layer
    addition: str


def branch_ends(model: CheckedModel, context: Context) -> list[BranchEnd]:
    """Layers off the trunk whose output is added to a value of the trunk, nothing but reshapes in between."""
    trunk, outputs = set(context.trunk), {layer.output: layer for layer in context.layers if not layer.on_trunk}
    found = []
    for node in model.nodes:
        if node.op_type != "Add" or node.output[0] not in trunk:
            continue
        ends = [(_end(model, outputs, name), name) for name in node.input]
        skips = [name for _, name in ends if name in trunk]
        found += [
            BranchEnd(end, node.output[0]) for end, name in ends if end is not None and name not in skips and skips
        ]
    return found


def _end(model: CheckedModel, outputs: dict[str, Layer], value: str) -> Layer | None:
    for _ in range(REACH):
        if value in outputs:
            return outputs[value]
        node = model.producers.get(value)
        if node is None or node.op_type not in ON_A_BRANCH:
            return None
        value = node.input[0]
    return None


def is_normalized(model: CheckedModel, value: str, passing: frozenset[str]) -> bool:
    """Whether a normalisation follows a value, through these operators at most."""
    readers = (nodes for _, nodes in walk_ahead(model, value, passing, REACH + 2))
    return any(node.op_type in NORMALIZATIONS for nodes in readers for node in nodes)


def dtype_of(model: CheckedModel, value: str) -> "np.dtype[np.floating]":
    """The floating type of a value: what a new tensor beside it has to be of."""
    known = model.values.get(value)
    element = 0 if known is None else known.type.tensor_type.elem_type
    return np.dtype(helper.tensor_dtype_to_np_dtype(element) if element else np.float32)


def counted(names: Sequence[str | None]) -> Iterator[str]:
    """`11 Sigmoid`, `2 Tanh`: in alphabetical order."""
    for name in sorted({name for name in names if name is not None}):
        yield f"{names.count(name)} {name}"
