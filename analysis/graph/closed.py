"""Layers of zeros, or nearly: nothing leaves them, and what enters them gets no gradient at first."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from analysis.facts import Layer, is_matrix
from analysis.graph.families import LINEAR, PASSING, walk_back
from analysis.graph.heads import Head
from analysis.graph.layers import own_uses
from analysis.graph.sources import Sources
from analysis.graph.units import PresentWeights, rows_of
from analysis.model import CheckedModel

FAINT: Final = 0.02
"""Norm of a unit's weights in a last layer that was scaled down by design: 0.001 times the usual 0.3 to 1 in BEiT (Bao
et al. 2022), 0.01 in policy networks (Andrychowicz et al. 2021)."""
PLAIN: Final = (PASSING | {"Dropout", "Flatten"}) - {"Transpose"}
"""What may stand between a last layer and the logits; what is transposed there are no classes any more."""
SOME_ZERO: Final = {"Mul": (0, 1), "MatMul": (0, 1)}
"""Operators that write zeros where one of these inputs is zero."""
ALL_ZERO: Final = {
    "Div": (0,), "Reshape": (0,), "Transpose": (0,), "Expand": (0,), "Unsqueeze": (0,), "Squeeze": (0,), "Slice": (0,),
    "Identity": (0,), "Cast": (0,), "Add": (0, 1), "Sub": (0, 1), "BatchNormalization": (1, 2),
}  # fmt: skip
"""And where all of them are. Weights are standardised by a BatchNormalization whose scale is the gain (Brock et al.
2021)."""


class ClosedHead(NamedTuple):
    """A last layer of zeros, or nearly: whatever enters it gets no gradient until it has learnt something."""

    layer: Layer
    entering: str
    """The value it reads."""


def closed_head(
    weights: PresentWeights,
    model: CheckedModel,
    sources: Sources,
    layers: Sequence[Layer],
    head: Head,
    unit: float = 1.0,
) -> ClosedHead | None:
    """The layer in front of the logits, if it was initialised to zero or next to nothing.

    `unit` is that of the outputs: a last layer that writes kilometres where metres are wanted is small for that.
    """
    outputs = {layer.output: layer for layer in layers}
    layer = outputs.get(walk_back(model, head.value, PLAIN, until=outputs))
    if layer is None or layer.op not in LINEAR:
        return None
    if not is_closed(weights, model, sources, layer) and not _is_faint(weights, sources, layer, FAINT * min(unit, 1.0)):
        return None
    use = next(use for use in own_uses(sources, layer) if use.initializer == layer.parameters["weight"].initializer)
    return ClosedHead(layer, next(name for name in use.owner.input if name and name not in sources.of))


def is_closed(weights: PresentWeights, model: CheckedModel, sources: Sources, layer: Layer) -> bool:
    """Whether nothing can leave the layer: all its matrices are zero, or the scale that ends it."""
    uses = own_uses(sources, layer)
    matrices = {use.value for use in uses if is_matrix(use.role)}
    deciding = matrices or {use.value for use in uses if use.role == "scale"}
    return bool(deciding) and all(_comes_out_zero(weights, model, value) for value in deciding)


def _comes_out_zero(weights: PresentWeights, model: CheckedModel, value: str) -> bool:
    """Whether a weight expression is zero: a gain of zero closes a branch whatever direction it scales."""
    if value in weights:
        return not np.any(weights[value])
    node = model.producers.get(value)
    if node is None:
        return False
    which = SOME_ZERO if node.op_type in SOME_ZERO else ALL_ZERO
    zeros = (_comes_out_zero(weights, model, node.input[slot]) for slot in which.get(node.op_type, ()))
    return any(zeros) if which is SOME_ZERO else node.op_type in ALL_ZERO and all(zeros)


def _is_faint(weights: PresentWeights, sources: Sources, layer: Layer, norm: float) -> bool:
    """Whether a layer makes its inputs so much smaller that somebody must have meant it, whatever it adds to them."""
    rows = rows_of(weights, sources, layer)
    return rows is not None and float(np.square(rows, dtype=np.float64).sum(axis=1).mean()) <= norm**2
