"""Additions that are the bias of a layer, and what makes a bias irrelevant."""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from onnx import NodeProto

from analysis.facts import Layer
from analysis.graph.families import COPYING, LINEAR
from analysis.graph.sources import Sources, Use
from analysis.model import CheckedModel
from analysis.model.quantized import scaled_product

INTEGER_PRODUCTS: Final = frozenset({"MatMulInteger", "ConvInteger", "QLinearMatMul"})
BETWEEN: Final = COPYING | {"QuantizeLinear", "DequantizeLinear", "Mul"}
Biases = Mapping[int, NodeProto]
"""id(addition) -> the linear operator whose output it adds a bias to."""


def find_biases(model: CheckedModel, sources: Sources) -> Biases:
    """Additions of a constant vector right behind a linear operator: id(addition) -> that operator."""
    weighted = {id(use.owner) for use in sources.uses if use.role == "weight"}
    found: dict[int, NodeProto] = {}
    for use in sources.uses:
        if use.node.op_type not in {"Add", "QLinearAdd"} or use.node is not use.owner:
            continue
        other = next((name for name in use.node.input if name != use.value), "")
        producer = _product_behind(model, other)
        if producer is not None and id(producer) in weighted and _has_size_of_bias(model, use, producer):
            found[id(use.node)] = producer
    return found


def _product_behind(model: CheckedModel, value: str) -> NodeProto | None:
    """The linear operator that writes a value, and nobody else reads it on the way.

    MatMul -- QuantizeLinear -- DequantizeLinear -- Add           quantised between the two
    MatMulInteger -- Cast -- Mul (s_a s_w) -- Add                 integers that become floats
    """
    while len(model.consumers.get(value, ())) == 1:
        producer = model.producers.get(value)
        if producer is None or producer.op_type in LINEAR or producer.op_type not in BETWEEN:
            return producer if producer is not None and producer.op_type in LINEAR | INTEGER_PRODUCTS else None
        if producer.op_type == "Mul" and scaled_product(model, producer) is None:
            return None
        value = producer.input[0]
    return None


def _has_size_of_bias(model: CheckedModel, use: Use, product: NodeProto) -> bool:
    """A vector, and a single number only where the product has a single channel, or nothing says how many."""
    shape = model.weights[use.initializer].shape
    if math.prod(shape) > 1:
        return bool(sum(size > 1 for size in shape) == 1)
    written = model.values.get(product.output[0])
    sizes = [] if written is None else written.type.tensor_type.shape.dim
    return not sizes or sizes[1 if product.op_type in {"Conv", "ConvTranspose"} else -1].dim_value <= 1


def added_biases(model: CheckedModel, biases: Biases) -> Iterator[tuple[NodeProto, NodeProto]]:
    """(addition, linear operator in front of it) for each of these biases, in topological order."""
    for node in model.nodes:
        if id(node) in biases:
            yield node, biases[id(node)]


def cancelling_operator(model: CheckedModel, layer: Layer) -> str | None:
    """The normalisation right behind a layer that subtracts whatever its bias adds to a channel."""
    uses = model.consumers.get(layer.output, ())
    if len(uses) == 1 and uses[0].node.op_type in {"BatchNormalization", "InstanceNormalization"}:
        return uses[0].node.op_type if any(role.startswith("bias") for role in layer.parameters) else None
    return None
