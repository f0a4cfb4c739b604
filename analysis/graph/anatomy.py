"""What the graph and its weights show without running: branches that start closed, gates, heads, quantisers.

These facts explain numbers that would look like an illness and are none: a bias that a normalisation cancels, a
residual branch that was initialised to zero, a layer-scale of 1e-6. Nothing here judges.

    x -- Conv -- Relu -- Conv (0) -- Add        a branch that starts closed: the second Conv
     +------------------------------+
    x -- Conv -- Mul (1e-6) -- Add              a layer-scale: Mul off the trunk, its factor at most SMALL_SCALE
     +-------------------------+
    x -- Conv (bias) -- BatchNormalization      a bias that is cancelled
    x -- Gemm -- Softmax -- Softmax             stacked links: the probabilities of the first are read as logits
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from analysis.facts import Anatomy, Layer
from analysis.graph.attention import AttentionSite
from analysis.graph.biases import cancelling_operator
from analysis.graph.closed import PLAIN, closed_head, is_closed
from analysis.graph.dropout import find_dropout
from analysis.graph.families import ACTIVATIONS, LINEAR, NORMALIZATIONS
from analysis.graph.heads import LINKS, Head
from analysis.graph.linear_map import linear_layers
from analysis.graph.sources import Sources
from analysis.graph.units import PresentWeights, rows_of
from analysis.model import CheckedModel
from analysis.model.nodes import label

SMALL_SCALE: Final = 0.1
"""Layer-scale starts at 1e-6 (Touvron et al. 2021) to 0.1; a scale that works in earnest is near 1."""
QUANTIZERS: Final = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "DynamicQuantize", "QLinear", "QGemm")
"""How the names of operators begin that round to integers."""
READ_AS_LOGITS: Final = ACTIVATIONS - {"Tanh"}
"""Behind these a logit lies on one side of 0, or has no slope; tanh is a usual end of a regression."""
FEWEST_CONVOLUTIONS: Final = 3
COMPUTED: Final = re.compile(r"onnx::Conv_\d+$")
"""The name torch's exporter gives to the product of a convolution's weight and the normalisation behind it."""


def find_anatomy(
    weights: PresentWeights,
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
    zeros = [layer for layer in layers if layer.id != zero_head and is_closed(weights, model, sources, layer)]
    return Anatomy(
        zero_branches=tuple(layer.id for layer in zeros if not layer.on_trunk),
        zero_layers=tuple(layer.id for layer in zeros if layer.on_trunk),
        zero_head=zero_head,
        layer_scales=dict(_layer_scales(weights, layers)),
        cancelled=dict(_cancelled(model, layers, attention)),
        straight_through=tuple(label(node) for node in model.nodes if node.op_type.startswith(QUANTIZERS)),
        head_operators=head.stripped[::-1],
        head_activation=_head_activation(model, head),
        stacked_links=tuple(_stacked_links(model, head)),
        linear_layers=linear_layers(model, layers, head.value),
        most_dropout=max((ratio for _, ratio in find_dropout(model)), default=None),
        channel_norm_spread=_channel_norm_spread(weights, sources, layers),
        fresh_biases=not any(np.any(weights[name]) for name in _convolution_biases(layers)),
        folded_share=_folded_share(layers),
        kept_statistics=None if model.signature is None else model.signature.has_statistics,
    )


def _layer_scales(weights: PresentWeights, layers: Sequence[Layer]) -> Iterator[tuple[str, float]]:
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
    """Of all convolutions; beside normalisations that are left, such as those of attention, only names tell."""
    parameters = [layer.parameters for layer in layers if layer.op == "Conv" and "weight" in layer.parameters]
    if len(parameters) < FEWEST_CONVOLUTIONS:
        return None
    normalized = any(layer.op in NORMALIZATIONS for layer in layers)  # then a bias may be missing for that
    folded = [
        ("bias" not in each and not normalized) or bool(COMPUTED.match(each["weight"].initializer))
        for each in parameters
    ]
    return sum(folded) / len(folded)


def _channel_norm_spread(weights: PresentWeights, sources: Sources, layers: Sequence[Layer]) -> float | None:
    """A folded normalisation leaves every channel with a factor of its own."""
    spreads = []
    for layer in layers:
        weight = layer.parameters.get("weight")
        if layer.op != "Conv" or weight is None or "bias" not in layer.parameters:
            continue
        rows = rows_of(weights, sources, layer)
        norms = np.linalg.norm(rows.astype(np.float64), axis=1) if rows is not None else np.zeros(0)
        if len(norms) > 1 and norms.min() > 0:
            spreads.append(math.log10(norms.max() / norms.min()))
    return float(np.median(spreads)) if spreads else None
