"""Where a network attends: the Softmax between two products of data, and the operators that hold one.

Scores are q k' of data with data, perhaps scaled, masked and reshaped on their way to the Softmax; its weights go into
a product with the values:

    q ----------------+
    k -- Transpose --- MatMul -- Mul (1/sqrt d) -- Add (mask) -- Softmax -- MatMul -- ...
                                                          v ---------------+

A Softmax that weighs something else is no attention: of experts, or of a pooling gate, whose scores are a product of
data with a weight:

    x -- MatMul (weight) -- Softmax -- Mul -- ...
    x --------------------------------+
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from onnx import NodeProto, helper

from analysis.graph.families import COPYING, PASSING
from analysis.graph.sources import Sources
from analysis.model import CheckedModel
from analysis.model.nodes import STANDARD_DOMAINS

REACH: Final = 8
"""Nodes between a product and its Softmax."""
PRODUCTS: Final = frozenset({"MatMul", "Einsum", "FusedMatMul"})
ON_THE_WAY: Final = PASSING | {"Add", "Sub", "Mul", "Div", "Where", "Clip", "Expand", "Dropout", "Flatten", "Tanh"}
SCALING: Final = frozenset({"Mul", "Div"})
SHIFTING: Final = COPYING | {"Add", "Sub", "Where", "Dropout"}
"""What leaves a shift of all scores of a query alone; as does a product with a number, not a bound or a Tanh."""
MIXING: Final = frozenset({"Add", "Where", "Mul"})
"""How the constant of a mask gets among the scores."""
RESHAPED: Final = frozenset({"Reshape", "Flatten", "Expand", "Squeeze", "Unsqueeze"})
"""What leaves the last axis alone between scores and their Softmax."""
MASKED_SCORE: Final = -5000.0
"""Most masks are -10000 and less; scores never come near."""
LEAST_MASK: Final = -50.0
"""A constant this far down gives no weight, and no bias of a position is so large: Swin's masks are -100."""


@dataclass(frozen=True, slots=True)
class AttentionSite:
    """One attention of the main graph."""

    node: NodeProto
    """The Softmax; or the operator Attention of the standard, which holds it."""
    scores: str | None = None
    """What the Softmax reads; None where an operator holds it."""
    axis: int = -1
    keys: str | None = None
    """The value that the keys come from: what a linear layer wrote, reshaped and scaled since."""
    masked_below: float = MASKED_SCORE
    """Keys with a score under this are masked."""


def find_attention(model: CheckedModel, sources: Sources) -> tuple[AttentionSite, ...]:
    """All of them, in topological order."""
    return tuple(site for node in model.nodes for site in _sites(model, sources, node))


def find_product(model: CheckedModel, sources: Sources, site: AttentionSite) -> NodeProto | None:
    """The product of queries and keys whose scores a Softmax reads."""
    path = () if site.scores is None else _path_from_product(model, sources, site.scores)
    return path[0] if path else None


def _sites(model: CheckedModel, sources: Sources, node: NodeProto) -> Iterator[AttentionSite]:
    if node.op_type == "Attention" and node.domain in STANDARD_DOMAINS:
        yield AttentionSite(node, keys=_origin(model, node.input[1]))
    if node.op_type != "Softmax":
        return
    scores = node.input[0]
    path = _path_from_product(model, sources, scores)
    if path and _weighs_data(model, sources, node):
        axis = _axis(model, node)
        keys, masked_below = _keys(model, path, axis), _masked_below(model, sources, scores)
        yield AttentionSite(node, scores, axis, keys, masked_below)


def _axis(model: CheckedModel, softmax: NodeProto) -> int:
    given = [helper.get_attribute_value(attribute) for attribute in softmax.attribute if attribute.name == "axis"]
    axis = int(given[0]) if given and model.opset() >= 13 else -1
    known = model.values.get(softmax.input[0])
    rank = len(known.type.tensor_type.shape.dim) if known is not None else 0
    return axis - rank if 0 <= axis < rank else axis


def _path_from_product(model: CheckedModel, sources: Sources, value: str) -> tuple[NodeProto, ...]:
    """The product of data with data that a value comes from, and the nodes from there to the value."""
    pending: list[tuple[str, tuple[NodeProto, ...]]] = [(value, ())]
    for _ in range(REACH):
        found = [(model.producers.get(name), behind) for name, behind in pending]
        paths = [(node, *behind) for node, behind in found if node is not None]
        for path in paths:
            if path[0].op_type in PRODUCTS and _joins_data(sources, path[0]):
                return path
        pending = [(name, path) for path in paths if path[0].op_type in ON_THE_WAY for name in path[0].input if name]
        if not pending:
            break
    return ()


def _keys(model: CheckedModel, path: Sequence[NodeProto], axis: int) -> str | None:
    """What the factor of the product comes from whose rows the Softmax runs over.

    None where a shift of all scores of a query does not reach the Softmax as such, and where the axis is not known.
    """
    product, *behind = path
    for node in reversed(behind):
        if node.op_type == "Transpose":
            axis = _before_transpose(node, axis)
        elif not _keeps_shift(model, node, axis):
            return None
    factor = {-1: 1, -2: 0}.get(axis)
    return None if factor is None or product.op_type == "Einsum" else _origin(model, product.input[factor])


def _keeps_shift(model: CheckedModel, node: NodeProto, axis: int) -> bool:
    """Whether scores that are shifted alike along an axis, counted from the end, leave a node shifted alike."""
    if node.op_type in SCALING:
        return any(name in model.weights and model.weights[name].size == 1 for name in node.input)
    return node.op_type in SHIFTING or (node.op_type in RESHAPED and axis == -1)


def _masked_below(model: CheckedModel, sources: Sources, scores: str) -> float:
    """Half of the least constant that goes into the scores behind the product, where that is a mask.

    It is stored as a whole, or the graph makes it of conditions: a Where chooses the constant, a Mul spreads it.
    """
    pending, least = {scores}, 0.0
    for _ in range(REACH):
        nodes = [model.producers[name] for name in pending if name in model.producers]
        nodes = [node for node in nodes if node.op_type in ON_THE_WAY]
        mixed = {name for node in nodes if node.op_type in MIXING for name in node.input}
        constants = [model.weights[source] for name in mixed for source in sources.of.get(name, ())]
        least = min([least, *(float(each.min()) for each in constants if each.size)])
        pending = {name for node in nodes for name in node.input if name}
    return max(least / 2, MASKED_SCORE) if least <= LEAST_MASK else MASKED_SCORE


def _before_transpose(node: NodeProto, axis: int) -> int:
    """Where an axis, counted from the end, was before."""
    permutation = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), None)
    return -1 - axis if permutation is None else permutation[axis] - len(permutation)


def _weighs_data(model: CheckedModel, sources: Sources, softmax: NodeProto) -> bool:
    """Whether the weights go into a product with data."""
    pending = [softmax.output[0]]
    for _ in range(REACH):
        nodes = [use.node for value in pending for use in model.consumers.get(value, ())]
        if any(node.op_type in PRODUCTS and _joins_data(sources, node) for node in nodes):
            return True
        pending = [node.output[0] for node in nodes if node.op_type in ON_THE_WAY]
    return False


def _joins_data(sources: Sources, node: NodeProto) -> bool:
    return len(node.input) == 2 and not any(name in sources.of for name in node.input)


def _origin(model: CheckedModel, value: str) -> str | None:
    """Back through reshaping and scaling by a number, while nobody else reads along."""
    for _ in range(REACH):
        node = model.producers.get(value)
        if node is None or len(model.consumers.get(value, ())) > 1:
            return None
        scaled = node.op_type in SCALING and any(name in model.weights for name in node.input)
        if node.op_type not in PASSING and not scaled:
            return value
        value = next(name for name in node.input if name not in model.weights)
    return None
