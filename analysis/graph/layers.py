"""Which nodes count as layers: those at which trainable weights meet data.

A bias that is added right behind a matrix product or convolution belongs to that layer, and so does the activation
behind it. Ids follow topological order, depth is the longest path, both independent of names and of the order in which
initialisers are stored.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from onnx import NodeProto

from analysis.facts import Layer, ParameterInfo
from analysis.graph.activations import find_activation
from analysis.graph.biases import Biases, added_biases
from analysis.graph.sources import Sources, Use
from analysis.model import CheckedModel
from analysis.model.nodes import captures, label
from analysis.model.quantized import scaled_output


def find_layers(
    model: CheckedModel, sources: Sources, biases: Biases, trainable: AbstractSet[str]
) -> tuple[Layer, ...]:
    """The layers that own these trainable initialisers, in topological order; `on_trunk` is not yet known."""
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
    outputs = {id(product): addition.output[0] for addition, product in added_biases(model, biases)}
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
    output = biased or (scaled_output(model, node) if node.output[0] else next(filter(None, node.output)))
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


def own_uses(sources: Sources, layer: Layer) -> tuple[Use, ...]:
    """Where a layer itself reads weight expressions: a tied weight has uses in other layers, too."""
    return sources.by_owner.get(layer.name, ())


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
