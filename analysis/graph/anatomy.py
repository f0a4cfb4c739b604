"""What the graph and its weights show without running: branches that start closed, gates, heads, quantisers.

These facts explain numbers that would look like an illness and are none: a bias that a normalisation cancels, a
residual branch that was initialised to zero, a layer-scale of 1e-6. Nothing here judges.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.facts import Anatomy, Layer, is_matrix
from analysis.graph.attention import AttentionSite
from analysis.graph.fans import units_first
from analysis.graph.heads import LINKS, Head
from analysis.graph.layers import ACTIVATIONS, LINEAR, cancelling_operator, own_uses
from analysis.graph.sources import Sources
from analysis.model import CheckedModel
from analysis.model.nodes import label

SMALL_SCALE: Final = 0.1
"""Layer-scale starts at 1e-6 (Touvron et al. 2021) to 0.1; a scale that works in earnest is near 1."""
FAINT: Final = 0.02
"""Norm of a unit's weights in a last layer that was scaled down by design: 0.001 times the usual 0.3 to 1 in BEiT (Bao
et al. 2022), 0.01 in policy networks (Andrychowicz et al. 2021)."""
QUANTIZERS: Final = ("QuantizeLinear", "DynamicQuantize", "QLinear", "QGemm")
"""How the names of operators begin that round to integers."""
READ_AS_LOGITS: Final = ACTIVATIONS - {"Tanh"}
"""Behind these a logit lies on one side of 0, or has no slope; tanh is a usual end of a regression."""
PLAIN: Final = frozenset({"Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
FEWEST_CONVOLUTIONS: Final = 3
COMPUTED: Final = re.compile(r"onnx::Conv_\d+$")
"""The name torch's exporter gives to the product of a convolution's weight and the normalisation behind it."""
SOME_ZERO: Final = {"Mul": (0, 1), "MatMul": (0, 1)}
"""Operators that write zeros where one of these inputs is zero."""
ALL_ZERO: Final = {
    "Div": (0,), "Reshape": (0,), "Transpose": (0,), "Expand": (0,), "Unsqueeze": (0,), "Squeeze": (0,), "Slice": (0,),
    "Identity": (0,), "Cast": (0,), "Add": (0, 1), "Sub": (0, 1), "BatchNormalization": (1, 2),
}  # fmt: skip
"""And where all of them are. Weights are standardised by a BatchNormalization whose scale is the gain (Brock et al.
2021)."""
COMPARED: Final = 256
"""Inputs by which units are told apart at first: more of them than any draw could repeat by chance. Units that agree
there, as those of an identity or a sparse matrix may, are compared whole."""


Weights = Mapping[str, npt.NDArray[np.generic]]
"""By initialiser: what the model holds, or what was drawn anew."""


def find_anatomy(
    weights: Weights,
    model: CheckedModel,
    sources: Sources,
    layers: Sequence[Layer],
    head: Head,
    attention: Sequence[AttentionSite],
    unit: float = 1.0,
) -> Anatomy:
    """All of it, for a model with these weights; `unit`: of its outputs."""
    closed = closed_head(weights, model, sources, layers, head, unit)
    zero_head = None if closed is None else closed.layer.id
    return Anatomy(
        zero_branches=tuple(
            layer.id
            for layer in layers
            if not layer.on_trunk and layer.id != zero_head and _is_zero(weights, model, sources, layer)
        ),
        zero_head=zero_head,
        layer_scales=dict(_layer_scales(weights, layers)),
        cancelled=dict(_cancelled(model, layers, attention)),
        straight_through=tuple(label(node) for node in model.nodes if node.op_type.startswith(QUANTIZERS)),
        head_operators=head.stripped[::-1],
        head_activation=_head_activation(model, head),
        stacked_links=tuple(_stacked_links(model, head)),
        channel_norm_spread=_channel_norm_spread(weights, sources, layers),
        fresh_biases=not any(np.any(weights[name]) for name in _convolution_biases(layers)),
        folded_share=_folded_share(layers),
    )


class ClosedHead(NamedTuple):
    """A last layer of zeros, or nearly: whatever enters it gets no gradient until it has learnt something."""

    layer: Layer
    entering: str
    """The value it reads."""


def closed_head(
    weights: Weights, model: CheckedModel, sources: Sources, layers: Sequence[Layer], head: Head, unit: float = 1.0
) -> ClosedHead | None:
    """The layer in front of the logits, if it was initialised to zero or next to nothing.

    `unit` is that of the outputs: a last layer that writes kilometres where metres are wanted is small for that.
    """
    value = head.value
    outputs = {layer.output: layer for layer in layers}
    while value not in outputs and (node := model.producers.get(value)) is not None and node.op_type in PLAIN:
        value = node.input[0]
    layer = outputs.get(value)
    if layer is None or layer.op not in LINEAR:
        return None
    if not _is_zero(weights, model, sources, layer) and not _is_faint(weights, sources, layer, FAINT * min(unit, 1.0)):
        return None
    use = next(use for use in own_uses(sources, layer) if use.initializer == layer.parameters["weight"].initializer)
    return ClosedHead(layer, next(name for name in use.owner.input if name and name not in sources.of))


def duplicate_fraction(rows: npt.NDArray[np.generic]) -> float:
    """Share of rows [units, inputs] that equal another one."""
    if len(rows) < 2:
        return 0.0
    suspects = _repeated(rows[:, :: max(1, rows.shape[1] // COMPARED)])
    return float(_repeated(rows[suspects]).sum()) / len(rows) if suspects.any() else 0.0


def _repeated(rows: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Whether each row equals another one."""
    _, which, counts = np.unique(
        np.ascontiguousarray(rows, np.float32), axis=0, return_inverse=True, return_counts=True
    )
    repeated: npt.NDArray[np.bool_] = counts[which.reshape(-1)] > 1
    return repeated


def _is_zero(weights: Weights, model: CheckedModel, sources: Sources, layer: Layer) -> bool:
    """Whether nothing can leave the layer: all its matrices are zero, or the scale that ends it."""
    uses = list(own_uses(sources, layer))
    matrices = {use.value for use in uses if is_matrix(use.role)}
    deciding = matrices or {use.value for use in uses if use.role == "scale"}
    return bool(deciding) and all(_comes_out_zero(weights, model, value) for value in deciding)


def _comes_out_zero(weights: Weights, model: CheckedModel, value: str) -> bool:
    """Whether a weight expression is zero: a gain of zero closes a branch whatever direction it scales."""
    if value in weights:
        return not np.any(weights[value])
    node = model.producers.get(value)
    if node is None:
        return False
    which = SOME_ZERO if node.op_type in SOME_ZERO else ALL_ZERO
    zeros = (_comes_out_zero(weights, model, node.input[slot]) for slot in which.get(node.op_type, ()))
    return any(zeros) if which is SOME_ZERO else node.op_type in ALL_ZERO and all(zeros)


def _is_faint(weights: Weights, sources: Sources, layer: Layer, norm: float) -> bool:
    """Whether a layer makes its inputs so much smaller that somebody must have meant it, whatever it adds to them."""
    rows = _rows_of(weights, sources, layer)
    return rows is not None and float(np.square(rows, dtype=np.float64).sum(axis=1).mean()) <= norm**2


def _layer_scales(weights: Weights, layers: Sequence[Layer]) -> Iterator[tuple[str, float]]:
    for layer in layers:
        scale = layer.parameters.get("scale")
        if layer.op != "Mul" or layer.on_trunk or scale is None:
            continue
        largest = float(str(np.abs(weights[scale.initializer].astype(np.float32)).max(initial=0.0)))  # 0.1, as written
        if 0 < largest <= SMALL_SCALE:
            yield scale.initializer, largest


def _cancelled(
    model: CheckedModel, layers: Sequence[Layer], attention: Sequence[AttentionSite]
) -> Iterator[tuple[str, str]]:
    """Biases that a normalisation subtracts again, and those of keys, which move all scores of a query alike."""
    keys = {site.keys for site in attention}
    for layer in layers:
        operator = cancelling_operator(model, layer) or ("Softmax" if layer.output in keys else None)
        biases = [info.initializer for role, info in layer.parameters.items() if role.split(".")[0] == "bias"]
        if operator is not None and layer.op in LINEAR:
            yield from ((name, operator) for name in biases)


def _head_activation(model: CheckedModel, head: Head) -> str | None:
    node = model.producers.get(head.value)
    return node.op_type if node is not None and node.op_type in READ_AS_LOGITS - set(LINKS) else None


def _stacked_links(model: CheckedModel, head: Head) -> Iterator[str]:
    """Softmax and sigmoid nodes whose probabilities are read as logits."""
    node = model.producers.get(head.value)
    while node is not None and (node.op_type in PLAIN or node.op_type in LINKS):
        if node.op_type in LINKS:
            yield label(node)
        node = model.producers.get(node.input[0])


def _convolution_biases(layers: Sequence[Layer]) -> Iterator[str]:
    return (
        layer.parameters["bias"].initializer for layer in layers if layer.op == "Conv" and "bias" in layer.parameters
    )


def _folded_share(layers: Sequence[Layer]) -> float | None:
    parameters = [layer.parameters for layer in layers if layer.op == "Conv" and "weight" in layer.parameters]
    if len(parameters) < FEWEST_CONVOLUTIONS:
        return None
    folded = ["bias" not in each or bool(COMPUTED.match(each["weight"].initializer)) for each in parameters]
    return sum(folded) / len(folded)


def _channel_norm_spread(weights: Weights, sources: Sources, layers: Sequence[Layer]) -> float | None:
    """A folded normalisation leaves every channel with a factor of its own."""
    spreads = []
    for layer in layers:
        weight = layer.parameters.get("weight")
        if layer.op != "Conv" or weight is None or "bias" not in layer.parameters:
            continue
        rows = _rows_of(weights, sources, layer)
        norms = np.linalg.norm(rows.astype(np.float64), axis=1) if rows is not None else np.zeros(0)
        if len(norms) > 1 and norms.min() > 0:
            spreads.append(math.log10(norms.max() / norms.min()))
    return float(np.median(spreads)) if spreads else None


def units_of(weights: Weights, sources: Sources, layer: Layer) -> npt.NDArray[np.generic] | None:
    """The first weight of a layer as [units, inputs] with its bias as one more column; None where it has no units."""
    rows, bias = _rows_of(weights, sources, layer), layer.parameters.get("bias")
    if rows is None or bias is None or weights[bias.initializer].size != len(rows):
        return rows
    column = weights[bias.initializer].reshape(-1, 1).astype(rows.dtype)
    return np.concatenate([rows, column], axis=1)


def _rows_of(weights: Weights, sources: Sources, layer: Layer) -> npt.NDArray[np.generic] | None:
    weight = layer.parameters.get("weight")
    name = None if weight is None else weight.initializer
    use = next((use for use in own_uses(sources, layer) if use.initializer == name == use.value), None)
    if use is None:
        return None
    return units_first(use.node, list(use.node.input).index(use.value), weights[use.value])
