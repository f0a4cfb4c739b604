"""The activation behind a layer, in one node or written out in several.

It is found through normalisation, dropout, residual additions, reshapes and products that mix places by the data:

    layer -> BatchNormalization -> Add (skip) -> Relu       Relu
    layer -> MatMul (an adjacency and this) -> Relu         Relu
    layer -> Sigmoid -> Mul (with the layer's output)       Swish
    layer -> Div -> Erf -> Add -> Mul -> Mul                Gelu
"""

from functools import partial
from typing import Final, NamedTuple

from onnx import NodeProto

from analysis.graph.families import ACTIVATIONS, LAYING_OUT, NORMALIZATIONS, POOLING, walk_ahead
from analysis.model import CheckedModel
from analysis.model.nodes import captures

TRANSPARENT: Final = NORMALIZATIONS | LAYING_OUT | POOLING | {"Add", "Sum", "Dropout", "Identity", "Flatten"}
"""What may stand between a layer and its activation; behind a Cast begins something else."""
MOST_VALUES: Final = 64  # that the left factor of a product may be made of
REACH: Final = 8  # nodes between a layer and what may still be called its activation


class Activation(NamedTuple):
    """An activation function in the graph, perhaps written out in several nodes."""

    op: str
    before: str
    after: str


def find_activation(model: CheckedModel, value: str) -> Activation | None:
    """The activation that a pre-activation runs into, or None.

    x * Sigmoid(x) is a Swish, and an Erf within reach is a Gelu written out.
    """
    for reached, readers in walk_ahead(model, value, TRANSPARENT, REACH, partial(_mixes_places, model)):
        for node in readers:
            if node.op_type in ACTIVATIONS:
                return _named(model, node, reached)
        written_out = _written_out_gelu(model, reached)
        if written_out:
            return Activation("Gelu", reached, written_out)
    return None


def _mixes_places(model: CheckedModel, node: NodeProto, value: str) -> bool:
    """Whether a value is multiplied from the left by what inputs alone made, as an adjacency is.

    A X     [places, places] [places, features]
    """
    if node.op_type != "MatMul" or node.input[1] != value:
        return False
    waiting, seen = [node.input[0]], set[str]()
    while waiting:
        name = waiting.pop()
        if name == value or (name in model.weights and model.weights[name].ndim > 1) or len(seen) > MOST_VALUES:
            return False
        producer = model.producers.get(name)
        if name not in seen and producer is not None:
            waiting += [*producer.input, *captures(producer)]
        seen.add(name)
    return True


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


def _scaled_again(model: CheckedModel, value: str) -> bool:
    """Whether the only thing that happens to the value is another multiplication by a single number."""
    uses = model.consumers.get(value, ())
    if len(uses) != 1 or uses[0].node.op_type != "Mul":
        return False
    return any(name in model.weights and model.weights[name].size == 1 for name in uses[0].node.input)
