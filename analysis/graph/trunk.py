"""Tensors that every path from the inputs to the loss passes through.

A branch may carry a tiny gradient in a perfectly healthy network (query projections, layer-scale, squeeze-excite
gates), so vanishing is judged on the trunk alone: the dominators of the logits in the graph of differentiable data
flow (Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm, 2001; nodes come in topological order, so one round
is enough). In a residual network that is the residual stream, in a plain one every layer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

from onnx import NodeProto

from analysis.facts import Layer, is_matrix
from analysis.graph.families import LOOKUPS, SUMS
from analysis.graph.sources import Sources, gradient_inputs
from analysis.model import CheckedModel

PRODUCTS: Final = frozenset({"MatMul", "Mul", "Div", "Einsum"})
SHORTEST: Final = 3  # tensors from the first weights to the logits
SOURCE: Final = ""  # joins all inputs; no value has this name


@dataclass(frozen=True, slots=True)
class Trunk:
    """The dominators of the logits, inputs first."""

    values: tuple[str, ...]
    end: str
    """The logits; in a graph that computes its own loss, the last layer's output."""
    start: str | None
    """First trunk tensor at or after a layer; flow is measured from here to the logits."""
    entry: str | None
    """What the first layer sees: the last trunk tensor before it, an input or what the graph makes of it without
    weights (it may standardise it), or the first trunk tensor that carries floats, such as an embedding."""
    reason: str = ""
    """Why there is no start."""


def find_trunk(model: CheckedModel, sources: Sources, layers: Iterable[Layer], logits: str) -> Trunk:
    """The trunk that ends in `logits`."""
    weighted, read, carrying = _weighted_nodes(sources, layers), _read_from_inputs(model), _float_inputs(model)
    behind: dict[str, set[str]] = {name: {SOURCE} for name in _data_inputs(model, sources, weighted)}
    for node in model.nodes:
        inputs = gradient_inputs(model, sources, node)
        enters = id(node) in weighted and (
            not read.isdisjoint(node.input)
            if node.op_type in LOOKUPS
            else carrying.isdisjoint(inputs) and not read.isdisjoint(inputs)
        )
        if enters or not carrying.isdisjoint(inputs):
            carrying.update(node.output)
        for output in filter(model.is_float, filter(None, node.output)):
            behind[output] = {*inputs, SOURCE} if enters else {*inputs}
        if total := _read_sum(model, node):
            del behind[node.output[0]]
            behind[node.output[0]] = {total}  # in order, behind the sum
    values = _dominators(behind, logits)
    if not values:
        return Trunk((), logits, None, None, "the logits do not depend on a floating-point input or an embedding")
    start = _start(model, values, weighted)
    first = _start(model, values, weighted | _matrices(sources))
    entry = values[0] if first is None else values[max(values.index(first) - 1, 0)]
    if start is None or len(values) - values.index(start) < SHORTEST:
        return Trunk(
            values, logits, None, entry, f"fewer than {SHORTEST} tensors lie on every path from weights to logits"
        )
    return Trunk(values, logits, start, entry)


def block_ends(model: CheckedModel, trunk: Trunk, layers: Sequence[Layer]) -> dict[str, str]:
    """Where paths join on the trunk again, by id of the last layer beside it before: the outputs of residual blocks.

    x --+---------------------------+
        +-- layer-03 -- layer-05 -- Add -- y        {"layer-05": the output of Add}
    """
    order = {name: place for place, node in enumerate(model.nodes) for name in node.output}
    beside = sorted((order[layer.output], layer.id) for layer in layers if not layer.on_trunk and layer.output in order)
    ends: dict[str, str] = {}
    previous = -1
    for value in trunk.values:
        here = order.get(value, -1)
        inside = [layer for place, layer in beside if previous < place < here]
        if inside and _joins(model, value):
            ends[inside[-1]] = value
        previous = here
    return ends


def _joins(model: CheckedModel, value: str) -> bool:
    """Whether its node reads several values that are no weights."""
    inputs = {each.name for each in model.inputs}
    return sum(name in model.producers or name in inputs for name in model.producers[value].input) > 1


def _read_sum(model: CheckedModel, node: NodeProto) -> str:
    """The residual stream, where a fused normalisation reads and continues it.

    n, , , s = SkipLayerNormalization(r, b, g)        n is made of s = r + b, and whoever reads s goes around n alone
    """
    total = [*node.output, *[""] * 4][SUMS.get(node.op_type, len(node.output))]
    return total if total in model.consumers else ""


def last_layer_output(trunk: Trunk, layers: Iterable[Layer]) -> str | None:
    """The last layer's output on the trunk."""
    outputs = {layer.output for layer in layers}
    return next((value for value in reversed(trunk.values) if value in outputs), None)


def mark_trunk(layers: Iterable[Layer], trunk: Trunk) -> tuple[Layer, ...]:
    """The layers, told whether their output lies on the trunk."""
    values = frozenset(trunk.values)
    return tuple(replace(layer, on_trunk=layer.output in values) for layer in layers)


def _dominators(behind: Mapping[str, Iterable[str]], logits: str) -> tuple[str, ...]:
    """What every path from SOURCE to the logits passes, in order; empty where there is no path.

    `behind`: what each value is made of, in topological order. Of several the nearest that all their paths pass is
    looked for, up the tree of those before.
    """
    above, depth = {SOURCE: SOURCE}, {SOURCE: 0}

    def meet(one: str, other: str) -> str:
        while one != other:
            one, other = (one, above[other]) if depth[one] < depth[other] else (above[one], other)
        return one

    for value, entering in behind.items():
        reached = [name for name in entering if name in above]
        if reached:
            above[value] = reduce(meet, reached)
            depth[value] = depth[above[value]] + 1
    chain: list[str] = []
    at = logits if logits in above else SOURCE
    while at != SOURCE:
        chain.append(at)
        at = above[at]
    return tuple(reversed(chain))


def _weighted_nodes(sources: Sources, layers: Iterable[Layer]) -> set[int]:
    owned = {info.initializer for layer in layers for info in layer.parameters.values()}
    return {id(use.owner) for use in sources.uses if use.initializer in owned and use.role != "other"}


def _matrices(sources: Sources) -> set[int]:
    """Nodes that read a weight matrix, whether it trains or not."""
    return {id(use.owner) for use in sources.uses if is_matrix(use.role)}


def _start(model: CheckedModel, values: tuple[str, ...], weighted: set[int]) -> str | None:
    """The first of the values behind a weighted node; its bias is taken in."""
    behind = _behind(model, weighted)
    return next((value for value in values if value in behind), None)


def _float_inputs(model: CheckedModel) -> set[str]:
    return {spec.name for spec in model.inputs if model.is_float(spec.name)}


def _read_from_inputs(model: CheckedModel) -> set[str]:
    """Values that depend on what the inputs hold, not on their shapes alone."""
    read = {spec.name for spec in model.inputs}
    for node in model.nodes:
        if node.op_type not in {"Shape", "Size"} and not read.isdisjoint(node.input):
            read.update(node.output)
    return read


def _data_inputs(model: CheckedModel, sources: Sources, weighted: set[int]) -> list[str]:
    """Float inputs that are features: they meet a weight before any Softmax, and not as a factor of what has features.

    A float mask does not, nor does the adjacency of A (X W), of (A X) W, or a scale that a layer's output is
    multiplied by.
    """
    behind = _behind(model, weighted)
    meeting: set[str] = set()
    for node in reversed(model.nodes):
        if id(node) in weighted:
            meeting.update(gradient_inputs(model, sources, node))
        elif node.op_type != "Softmax" and not meeting.isdisjoint(node.output):
            inputs = gradient_inputs(model, sources, node)
            meeting.update(inputs if node.op_type not in PRODUCTS else _carriers(node, inputs, behind))
    floats = [spec.name for spec in model.inputs if model.is_float(spec.name)]
    return [name for name in floats if name in meeting] or floats


def _carriers(node: NodeProto, factors: Sequence[str], behind: set[str]) -> Sequence[str]:
    """The factors that a product has its features from: those behind a weight, else of a MatMul the right one."""
    learnt = [name for name in factors if name in behind]
    return learnt or ([node.input[1]] if node.op_type == "MatMul" and node.input[1] in factors else factors)


def _behind(model: CheckedModel, weighted: set[int]) -> set[str]:
    """Values that some weight went into."""
    behind: set[str] = set()
    for node in model.nodes:
        if id(node) in weighted or not behind.isdisjoint(node.input):
            behind.update(node.output)
    return behind
