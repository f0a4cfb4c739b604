"""Whether a network is one linear map of its inputs: layers between which nothing bends.

    x -- Gemm -- Add -- Reshape -- MatMul -- y        one linear map in two layers
    x -- Gemm -- Relu -- MatMul -- y                  none: Relu bends
    x -- Gemm -- Mul (a value of the same x) -- y     none: a product of two signals
    ids -- Gather (a table) -- MatMul -- y            none: a look-up is linear in no number
    x -- Gemm --+-- Concat -- y                       no layers behind one another: two regressions side by side
    x -- Gemm --+

BatchNormalization in eval mode is an affine map, and so is Dropout; Softmax and Sigmoid at the end stand behind the
logits and are no part of it.
"""

from collections.abc import Sequence
from typing import Final

from onnx import NodeProto

from analysis.facts import Layer
from analysis.graph.families import LINEAR, PASSING
from analysis.model import CheckedModel
from analysis.model.nodes import bodies

AFFINE: Final = LINEAR | PASSING | frozenset(
    {"Add", "Sub", "Sum", "Neg", "Mean", "Mul", "Div", "BatchNormalization", "Dropout", "Flatten", "Concat", "Split",
     "Slice", "Pad", "Expand", "Tile", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "DepthToSpace",
     "SpaceToDepth"}
)  # fmt: skip
"""Linear in each signal that enters; with two of them Mul, Div and matrix products are not."""
COUNTING: Final = frozenset({"Shape", "Size"})
BILINEAR: Final = LINEAR | {"Mul", "Div"}


def linear_layers(model: CheckedModel, layers: Sequence[Layer], logits: str) -> tuple[str, ...]:
    """Matrices behind one another between inputs and logits that are one linear map; empty where something bends."""
    inputs = {spec.name for spec in model.inputs}
    signals, found = _signals(model, inputs), set[str]()
    if logits not in signals:
        return ()
    waiting = [logits]
    while waiting:
        value = waiting.pop()
        node = model.producers.get(value)
        if node is None or value in found:
            continue
        found.add(value)
        entering = [name for name in node.input if name in signals]
        if not _is_affine(node, entering):
            return ()
        waiting += entering
    return _in_a_row(model, [each for each in layers if each.op in LINEAR and each.output in found], found)


def _in_a_row(model: CheckedModel, layers: Sequence[Layer], values: set[str]) -> tuple[str, ...]:
    """Those of layers that have another one before or behind them."""
    written = {each.output for each in layers}
    behind, before = set[str](), set[str]()
    for node in model.nodes:
        if any(name in behind or name in written for name in node.input):
            behind.update(values.intersection(node.output))
    for node in reversed(model.nodes):
        if any(name in before or name in written for name in values.intersection(node.output)):
            before.update(node.input)
    return tuple(each.id for each in layers if each.output in behind or each.output in before)


def _is_affine(node: NodeProto, entering: Sequence[str]) -> bool:
    if node.op_type not in AFFINE or any(True for _ in bodies(node)):
        return False
    if node.op_type == "Div" and node.input[1] in entering:
        return False
    return node.op_type not in BILINEAR or len(entering) == 1


def _signals(model: CheckedModel, inputs: set[str]) -> set[str]:
    """Values that depend on the numbers of an input, not only on how many there are."""
    signals = set(inputs)
    for node in model.nodes:
        if node.op_type not in COUNTING and any(name in signals for name in node.input):
            signals.update(filter(None, node.output))
    return signals
