"""Take the activation off the output, or put a sigmoid in place of a softmax.

Tanh reaches no target of 4, ReLU none below zero, and a Softmax whose values a cross-entropy takes for logits leaves a
loss that cannot come down. `linear_output` hands on what entered the activation, where the outputs cannot reach their
targets or the loss brings the same link again; an activation that is not in the way is kept. `sigmoid_output` writes a
Sigmoid where a Softmax over one unit always says 1, and where one over several, whose values add up to 1, is asked for
a yes or no of each. Costs nothing; no weight is touched. Changes the function. Source: LeCun et al. 1998 (Efficient
BackProp, section 4.5); Schoop et al. 2021 (UMLAUT).
"""

from collections.abc import Mapping
from typing import Final

from onnx import NodeProto

from analysis.facts import Effect
from analysis.facts.outputs import is_softmax_of_bits
from analysis.graph.families import ACTIVATIONS, PASSING, walk_back
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel

ENDS: Final = ACTIVATIONS | {"Softmax", "LogSoftmax", "Abs", "Exp"}
BEHIND: Final = PASSING | {"Dropout", "Flatten"}
IN_THE_WAY: Final = 0.1
"""Least loss over chance within the range of the outputs."""


def linear(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """The output without its activation."""
    outputs = context.baseline.outputs
    node = _end(model, context)
    if outputs is None or node is None:
        return NotApplicable("the output that the loss is taken of ends in no activation")
    if is_softmax_of_bits(outputs, context.baseline.targets):
        return NotApplicable("the loss takes probabilities")
    if not outputs.doubled and (outputs.floor or 0.0) <= IN_THE_WAY:
        return NotApplicable(f"the {node.op_type} at the output is not in the way of the targets")
    editor = Editor(model)
    editor.bypass(node)
    why = "the loss brings its own" if outputs.doubled else "it keeps the outputs from their targets"
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"take the {node.op_type} off the output ({why})",
        cost="1 node removed",
    )


def sigmoid(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """A probability of one unit, or of each."""
    outputs, node = context.baseline.outputs, _end(model, context)
    if node is None or node.op_type != "Softmax" or outputs is None:
        return NotApplicable("the output is no Softmax")
    if outputs.link_units == 1:
        why = "over one unit, which is always 1"
    elif is_softmax_of_bits(outputs, context.baseline.targets):
        why = "whose values add up to 1, as several classes may be right at once"
    else:
        return NotApplicable("one of the classes of the Softmax is right")
    editor = Editor(model)
    after = node.output[0]
    editor.replace_between(after, [editor.node("Sigmoid", [node.input[0]], after, after)])
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"put a Sigmoid in place of the Softmax {why}",
        cost="1 node changed",
    )


def _end(model: CheckedModel, context: Context) -> NodeProto | None:
    """The activation that the trunk ends in."""
    last = walk_back(model, context.trunk[-1], BEHIND) if context.trunk else ""
    node = model.producers.get(last)
    return node if node is not None and node.op_type in ENDS else None


TREATMENTS: Final[Mapping[str, Apply]] = {"linear_output": linear, "sigmoid_output": sigmoid}
