"""Weights as rows, one a unit; and rows that equal each other."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper

from analysis.facts import Layer
from analysis.graph.layers import own_uses
from analysis.graph.sources import Sources
from analysis.model.weights import Array

PresentWeights = Mapping[str, npt.NDArray[np.generic]]
"""By initialiser: what the model holds, or what was drawn anew."""
COMPARED: Final = 256
"""Inputs by which units are told apart at first: more of them than any draw could repeat by chance. Units that agree
there, as those of an identity or a sparse matrix may, are compared whole."""


def units_first(node: NodeProto, slot: int, weight: Array) -> Array | None:
    """The weight as [units, inputs], a row for each output of a layer; None where the operator has no such rows."""
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "Conv" and weight.ndim > 2:
        return weight.reshape(len(weight), -1)
    if node.op_type == "ConvTranspose" and weight.ndim > 2:
        group = int(attributes.get("group", 1))
        parts = weight.reshape(group, len(weight) // group, weight.shape[1], -1)
        return parts.swapaxes(1, 2).reshape(group * weight.shape[1], -1)
    if node.op_type in {"Gemm", "MatMul", "FusedMatMul"} and weight.ndim == 2:
        transposed = bool(attributes.get("transB" if slot == 1 else "transA", 0))
        return weight.T if (slot == 1) != transposed else weight
    if node.op_type in {"RNN", "GRU", "LSTM"} and slot == 1:
        hidden = int(attributes["hidden_size"])
        return weight.reshape(len(weight), -1, hidden, weight.shape[2]).swapaxes(1, 2).reshape(len(weight) * hidden, -1)
    return None


def duplicate_fraction(rows: npt.NDArray[np.generic]) -> float:
    """Share of rows [units, inputs] that equal another one."""
    if len(rows) < 2:
        return 0.0
    suspects = _repeated(rows[:, :: max(1, rows.shape[1] // COMPARED)])
    return float(_repeated(rows[suspects]).sum()) / len(rows) if suspects.any() else 0.0


def _repeated(rows: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Whether each row equals another one; minus zero is zero, and a row with a NaN equals nothing.

    Rows are counted by their bytes: to sort them, as np.unique does, takes longer than a backward pass.
    """
    numbers = np.ascontiguousarray(rows, np.float32) + np.float32(0)
    written = [row.tobytes() for row in numbers]
    counts = Counter(written)
    repeated: npt.NDArray[np.bool_] = np.array([counts[row] > 1 for row in written])
    repeated &= ~np.isnan(numbers).any(axis=1)
    return repeated


def units_of(weights: PresentWeights, sources: Sources, layer: Layer) -> npt.NDArray[np.generic] | None:
    """The first weight of a layer as [units, inputs] with its bias as one more column; None where it has no units."""
    rows, bias = rows_of(weights, sources, layer), layer.parameters.get("bias")
    if rows is None or bias is None or weights[bias.initializer].size != len(rows):
        return rows
    column = weights[bias.initializer].reshape(-1, 1).astype(rows.dtype)
    return np.concatenate([rows, column], axis=1)


def rows_of(weights: PresentWeights, sources: Sources, layer: Layer) -> npt.NDArray[np.generic] | None:
    """The first weight of a layer as [units, inputs]; None where it has none, or is computed from several."""
    weight = layer.parameters.get("weight")
    name = None if weight is None else weight.initializer
    use = next((use for use in own_uses(sources, layer) if use.initializer == name == use.value), None)
    if use is None:
        return None
    return units_first(use.node, list(use.node.input).index(use.value), weights[use.value])
