"""Put operators with a slope in place of steps that no gradient comes through.

A sign, a threshold and a rounded number are constant almost everywhere: whatever stands in front of them never learns.
Each such step behind a weight that gets no gradient because of it is replaced by what it is the limit of:

    Sign(x)                             Tanh(x)
    Cast(x > c), Cast(x >= c)           Sigmoid(x - c); the other way round for < and <=
    Round(x), Floor(x), Ceil(x)         x

The weights are kept. Costs a node or two for each. Changes the function; where steps are needed in use, train with
these and put the steps back behind them. Source: Bengio et al. 2013 (Estimating or propagating gradients through
stochastic neurons); Hubara et al. 2016 (Binarized neural networks, section 2.3).
"""

from collections.abc import Iterator, Mapping
from typing import Final

import onnx
from onnx import NodeProto

from analysis.facts import Effect
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.sites import counted
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel
from analysis.model.nodes import attributes_of, captures

ROUNDING: Final = frozenset({"Round", "Floor", "Ceil"})
ABOVE: Final = frozenset({"Greater", "GreaterOrEqual"})
BELOW: Final = frozenset({"Less", "LessOrEqual"})
FLOATS: Final = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE})
OLDEST: Final = 7
"""Before, arithmetic did not broadcast, and new nodes would have to say how."""


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Every step behind a layer that has no slope to the loss."""
    if model.opset() < OLDEST:
        return NotApplicable(f"opset {model.opset()} is older than {OLDEST}")
    outputs = {layer.id: layer.output for layer in context.layers}
    silent = {outputs[each.id] for each in context.baseline.stats if each.is_cut_off}
    editor, replaced = Editor(model), list[str]()
    for node in _behind(model, silent):
        if node.op_type in ROUNDING:
            editor.bypass(node)
        elif node.op_type == "Sign":
            editor.replace_between(node.output[0], [editor.node("Tanh", node.input, *[node.output[0]] * 2)])
        elif (comparison := _compared(model, node)) is not None:
            editor.replace_between(node.output[0], _soft(editor, comparison, node.output[0]))
        else:
            continue
        replaced.append(node.op_type if node.op_type != "Cast" else "threshold")
    if not replaced:
        return NotApplicable("no step keeps the gradient from a weight")
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"replace steps that have no slope ({', '.join(counted(replaced))}) by smooth ones",
        cost=f"{len(replaced)} nodes changed",
    )


def _behind(model: CheckedModel, values: set[str]) -> Iterator[NodeProto]:
    """Nodes that read what these values made."""
    found = set(values)
    for node in model.nodes:
        if not found.isdisjoint(node.input) or not found.isdisjoint(captures(node)):
            found.update(node.output)
            yield node


def _compared(model: CheckedModel, node: NodeProto) -> NodeProto | None:
    """The comparison of two numbers that a Cast makes a 0 or 1 of."""
    before = model.producers.get(node.input[0]) if node.op_type == "Cast" else None
    if before is None or before.op_type not in ABOVE | BELOW or attributes_of(node)["to"] not in FLOATS:
        return None
    return before if model.is_float(before.input[0]) else None


def _soft(editor: Editor, comparison: NodeProto, after: str) -> list[NodeProto]:
    larger, smaller = comparison.input if comparison.op_type in ABOVE else reversed(comparison.input)
    difference = editor.node("Sub", [larger, smaller], after)
    return [difference, editor.node("Sigmoid", difference.output, after, after)]


TREATMENTS: Final[Mapping[str, Apply]] = {"smoothed": apply}
