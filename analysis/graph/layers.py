"""Which nodes count as layers: those at which trainable weights meet data.

A bias that is added right behind a matrix product or convolution belongs to that layer, and so does the activation
behind it, found through normalisation, dropout, residual additions and reshapes. Ids follow topological order, depth
is the longest path, both independent of names and of the order in which initialisers are stored.
"""

import math
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final, NamedTuple

from onnx import NodeProto

from analysis.facts import Layer, ParameterInfo
from analysis.graph.sources import Sources, Use
from analysis.model import CheckedModel
from analysis.model.nodes import captures, label

LINEAR: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "FusedMatMul"})
ACTIVATIONS: Final = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish", "Swish",
     "Tanh", "Softplus", "Softsign", "Mish", "ThresholdedRelu", "Clip", "Erf", "FastGelu", "BiasGelu", "QuickGelu"}
)  # fmt: skip
NORMALIZATIONS: Final = frozenset(
    {"BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization",
     "MeanVarianceNormalization", "LpNormalization", "LRN", "SimplifiedLayerNormalization", "SkipLayerNormalization",
     "SkipSimplifiedLayerNormalization", "EmbedLayerNormalization", "GroupNorm", "SkipGroupNorm"}
)  # fmt: skip
TRANSPARENT: Final = NORMALIZATIONS | {
    "Add", "Sum", "Dropout", "Identity", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze",
    "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool",
}  # fmt: skip
REACH: Final = 8  # nodes between a layer and what may still be called its activation


def find_layers(model: CheckedModel, sources: Sources, trainable: AbstractSet[str]) -> tuple[Layer, ...]:
    """The layers that own these trainable initialisers, in topological order; `on_trunk` is not yet known."""
    biases = find_biases(model, sources)
    owned: dict[int, list[Use]] = {}
    nodes: dict[int, NodeProto] = {}
    for use in sources.uses:
        if use.initializer in trainable and use.role != "other":
            home = biases.get(id(use.owner), use.owner)
            owned.setdefault(id(home), []).append(use if home is use.owner else replace(use, role="bias"))
            nodes[id(home)] = home
    order = {id(node): place for place, node in enumerate(model.nodes)}
    places = sorted(owned, key=lambda key: order[key])
    depths = _depths(model, set(owned))
    outputs = {id(product): addition.output[0] for addition, product in _pairs(model, biases)}
    digits = max(2, len(str(len(places))))
    return tuple(
        _layer(
            model, f"layer-{number:0{digits}d}", nodes[key], owned[key], depths[key], outputs.get(key)
        )
        for number, key in enumerate(places, 1)
    )  # fmt: skip


def _layer(
    model: CheckedModel, layer_id: str, node: NodeProto, uses: list[Use], depth: int, biased: str | None
) -> Layer:
    output = biased or next(name for name in node.output if name)
    activation = find_activation(model, output)
    return Layer(
        id=layer_id,
        name=label(node),
        op=node.op_type,
        depth=depth,
        on_trunk=False,
        activation=activation.op if activation else None,
        parameters=_parameters(model, uses),
        output=output,
        pre_activation=activation.before if activation else None,
        activated=activation.after if activation else None,
    )


def _parameters(model: CheckedModel, uses: list[Use]) -> Mapping[str, ParameterInfo]:
    """By role; several initialisers in one role (a fused projection) are numbered."""
    parameters: dict[str, ParameterInfo] = {}
    for initializer, role in dict.fromkeys((use.initializer, use.role) for use in uses):
        taken = sum(1 for name in parameters if name.split(".")[0] == role)
        key = f"{role}.{taken + 1}" if taken else role
        parameters[key] = ParameterInfo(initializer=initializer, shape=model.weights[initializer].shape)
    return parameters


def own_uses(sources: Sources, layer: Layer) -> Iterator[Use]:
    """Where a layer itself reads weight expressions: a tied weight has uses in other layers, too."""
    return (use for use in sources.uses if label(use.owner) == layer.name)


def find_biases(model: CheckedModel, sources: Sources) -> Mapping[int, NodeProto]:
    """Additions of a constant vector right behind a linear operator: id(addition) -> that operator."""
    weighted = {id(use.owner) for use in sources.uses if use.role == "weight"}
    found: dict[int, NodeProto] = {}
    for use in sources.uses:
        if use.node.op_type != "Add" or use.node is not use.owner:
            continue
        other = next((name for name in use.node.input if name != use.value), "")
        producer = _product_behind(model, other)
        if producer is not None and id(producer) in weighted and _has_size_of_bias(model, use, producer):
            found[id(use.node)] = producer
    return found


def _product_behind(model: CheckedModel, value: str) -> NodeProto | None:
    """The linear operator that writes a value, perhaps through a Cast, and nobody else reads it on the way."""
    while len(model.consumers[value]) == 1:
        producer = model.producers.get(value)
        if producer is None or producer.op_type not in {"Cast", "Identity"}:
            return producer if producer is not None and producer.op_type in LINEAR else None
        value = producer.input[0]
    return None


def _has_size_of_bias(model: CheckedModel, use: Use, product: NodeProto) -> bool:
    """A vector, and a single number only where the product has a single channel."""
    shape = model.weights[use.initializer].shape
    if math.prod(shape) > 1:
        return bool(sum(size > 1 for size in shape) == 1)
    written = model.shape(product.output[0])
    return written is None or written[1 if product.op_type in {"Conv", "ConvTranspose"} else -1] == 1


def _pairs(model: CheckedModel, biases: Mapping[int, NodeProto]) -> Iterator[tuple[NodeProto, NodeProto]]:
    for node in model.nodes:
        if id(node) in biases:
            yield node, biases[id(node)]


def _depths(model: CheckedModel, layers: AbstractSet[int]) -> dict[int, int]:
    """Longest path to each layer, counted in layers."""
    reached: dict[str, int] = {}
    depths: dict[int, int] = {}
    for node in model.nodes:
        depth = max((reached.get(name, 0) for name in (*node.input, *captures(node))), default=0) + (id(node) in layers)
        if id(node) in layers:
            depths[id(node)] = depth
        for name in node.output:
            reached[name] = depth
    return depths


class Activation(NamedTuple):
    """An activation function in the graph, perhaps written out in several nodes."""

    op: str
    before: str
    after: str


def find_activation(model: CheckedModel, value: str) -> Activation | None:
    """The activation that a pre-activation runs into, or None.

    x * Sigmoid(x) is a Swish, and an Erf within reach is a Gelu written out.
    """
    for _ in range(REACH):
        uses = model.consumers.get(value, ())
        for node, _slot in uses:
            if node.op_type in ACTIVATIONS:
                return _named(model, node, value)
        written_out = _written_out_gelu(model, value)
        if written_out:
            return Activation("Gelu", value, written_out)
        ahead = [node for node, _slot in uses if node.op_type in TRANSPARENT]
        if not ahead:
            return None
        value = ahead[0].output[0]
    return None


def _named(model: CheckedModel, node: NodeProto, value: str) -> Activation:
    output = node.output[0]
    if node.op_type in {"Sigmoid", "HardSigmoid"}:
        for product, _slot in model.consumers.get(output, ()):
            if product.op_type == "Mul" and set(product.input) == {output, value}:
                name = "Swish" if node.op_type == "Sigmoid" else "HardSwish"
                return Activation(name, value, product.output[0])
    return Activation("Relu6" if _clips_at_zero(model, node) else node.op_type, value, output)


def _clips_at_zero(model: CheckedModel, node: NodeProto) -> bool:
    if node.op_type != "Clip":
        return False
    low = next((attribute.f for attribute in node.attribute if attribute.name == "min"), None)
    if len(node.input) > 1 and node.input[1] in model.weights:
        low = float(model.weights[node.input[1]].astype(float).reshape(-1)[0])
    return low == 0


def _written_out_gelu(model: CheckedModel, value: str) -> str | None:
    """x/2 * (1 + erf(x/sqrt 2)): the output of the last product, where the value runs into an Erf."""
    for scaled, _slot in model.consumers.get(value, ()):
        if scaled.op_type not in {"Div", "Mul"}:
            continue
        follower = next((node for node, _ in model.consumers.get(scaled.output[0], ())), None)
        if follower is None or follower.op_type != "Erf":
            continue
        output, gated = follower.output[0], False
        for _ in range(4):
            following = [node for node, _ in model.consumers.get(output, ()) if node.op_type in {"Add", "Mul"}]
            if len(following) != 1:
                break
            output = following[0].output[0]
            gated |= following[0].op_type == "Mul" and not any(name in model.weights for name in following[0].input)
            if gated and not _scaled_again(model, output):
                return output
    return None


def cancelling_operator(model: CheckedModel, layer: Layer) -> str | None:
    """The normalisation right behind a layer that subtracts whatever its bias adds to a channel."""
    uses = model.consumers.get(layer.output, ())
    if len(uses) == 1 and uses[0].node.op_type in {"BatchNormalization", "InstanceNormalization"}:
        return uses[0].node.op_type if any(role.startswith("bias") for role in layer.parameters) else None
    return None


def _scaled_again(model: CheckedModel, value: str) -> bool:
    """Whether the only thing that happens to the value is another multiplication by a single number."""
    uses = model.consumers.get(value, ())
    if len(uses) != 1 or uses[0].node.op_type != "Mul":
        return False
    return any(name in model.weights and model.weights[name].size == 1 for name in uses[0].node.input)
