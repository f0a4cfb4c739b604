"""Where a network attends: the Softmax between two products of data, and the operators that hold one.

Scores are q k' of data with data, perhaps scaled, masked and reshaped on their way to the Softmax; its weights go into
a product with the values. A Softmax that weighs something else (experts, a pooling gate) is no attention.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from onnx import NodeProto, helper

from analysis.model import STANDARD_DOMAINS, CheckedModel
from analysis.sources import Sources

REACH: Final = 8
"""Nodes between a product and its Softmax."""
PRODUCTS: Final = frozenset({"MatMul", "Einsum", "FusedMatMul"})
ON_THE_WAY: Final = frozenset(
    {"Add", "Sub", "Mul", "Div", "Where", "Cast", "Reshape", "Transpose", "Identity", "Clip", "Expand", "Dropout",
     "Squeeze", "Unsqueeze", "Flatten", "Tanh"}
)  # fmt: skip
RESHAPING: Final = frozenset({"Reshape", "Transpose", "Identity", "Cast", "Squeeze", "Unsqueeze"})
SCALING: Final = frozenset({"Mul", "Div"})


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


def find_attention(model: CheckedModel, sources: Sources) -> tuple[AttentionSite, ...]:
    """All of them, in topological order."""
    return tuple(site for node in model.nodes for site in _sites(model, sources, node))


def find_product(model: CheckedModel, sources: Sources, site: AttentionSite) -> NodeProto | None:
    """The product of queries and keys whose scores a Softmax reads."""
    return None if site.scores is None else _product_before(model, sources, site.scores)


def _sites(model: CheckedModel, sources: Sources, node: NodeProto) -> Iterator[AttentionSite]:
    if node.op_type == "Attention" and node.domain in STANDARD_DOMAINS:
        yield AttentionSite(node, keys=_origin(model, node.input[1]))
    if node.op_type != "Softmax":
        return
    product = _product_before(model, sources, node.input[0])
    if product is not None and _weighs_data(model, sources, node):
        keys = _origin(model, product.input[1]) if product.op_type != "Einsum" else None
        yield AttentionSite(node, node.input[0], _axis(model, node), keys)


def _axis(model: CheckedModel, softmax: NodeProto) -> int:
    given = [helper.get_attribute_value(attribute) for attribute in softmax.attribute if attribute.name == "axis"]
    return int(given[0]) if given and model.opset() >= 13 else -1


def _product_before(model: CheckedModel, sources: Sources, value: str) -> NodeProto | None:
    """The product of data with data that a value comes from."""
    pending = [value]
    for _ in range(REACH):
        nodes = [node for node in map(model.producers.get, pending) if node is not None]
        for node in nodes:
            if node.op_type in PRODUCTS and _joins_data(sources, node):
                return node
        pending = [name for node in nodes if node.op_type in ON_THE_WAY for name in node.input if name]
        if not pending:
            break
    return None


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
        if node.op_type not in RESHAPING and not scaled:
            return value
        value = next(name for name in node.input if name not in model.weights)
    return None
