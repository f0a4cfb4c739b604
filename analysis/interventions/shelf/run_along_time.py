"""Let recurrent layers run along time: exchange the first two axes before them, and back after them.

A layer that counts time first and is handed samples first takes the samples for the steps of one sequence
(`batch_first`). A Transpose before each recurrent node and one behind it put both axes in their place; initial states
of zero, whose number followed the wrong axis, are left to the operator. The weights are kept. Costs two nodes for each.
Changes the function. Source: the documentation of torch.nn.LSTM, `batch_first`.
"""

from collections.abc import Mapping
from typing import Final

from onnx import NodeProto

from analysis.facts import Effect
from analysis.graph.slots import RECURRENT
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel
from analysis.model.nodes import attributes_of, label

LENGTHS: Final = 4
STATES: Final = (5, 6)
"""Where a recurrent node is told the lengths of sequences, and its initial states."""
SHAPING: Final = frozenset(
    {"Shape", "Gather", "Concat", "Unsqueeze", "Squeeze", "ConstantOfShape", "Expand", "Constant", "Slice", "Cast",
     "Identity", "Mul", "Equal", "Where", "Reshape"}
)  # fmt: skip
"""What zeros of a computed shape are made with."""


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Transposes around every recurrent node, if one of them runs along the samples."""
    nodes = [node for node in model.nodes if node.op_type in RECURRENT]
    if context.baseline.batch.along_samples not in {label(node) for node in nodes}:
        return NotApplicable("no recurrent layer runs along the samples")
    if any(attributes_of(node).get("layout") or _given(node, LENGTHS) for node in nodes):
        return NotApplicable("a recurrent layer knows the lengths of its sequences, or where its samples are")
    states = [(node, node.input[slot]) for node in nodes for slot in STATES if _given(node, slot)]
    if not all(_is_zero(model, state) for _, state in states):
        return NotApplicable("initial states are no zeros")
    editor = Editor(model)
    for node in nodes:
        _turn(editor, node)
    for node, state in states:
        editor.redirect(node, state, "")
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words="let the recurrent layers run along time (batch_first), by exchanging the first two axes around them",
        cost=f"{2 * len(nodes)} nodes inserted",
    )


def _turn(editor: Editor, node: NodeProto) -> None:
    """[N, T, I] becomes [T, N, I] in front of the node, and Y [T, D, N, H] becomes [N, D, T, H] behind it."""
    value = node.input[0]
    before = editor.node("Transpose", [value], value, perm=[1, 0, 2])
    editor.place(value, [before])
    editor.redirect(node, value, before.output[0])
    if node.output[0]:
        editor.insert_after(node.output[0], "Transpose", perm=[2, 1, 0, 3])


def _given(node: NodeProto, slot: int) -> bool:
    return len(node.input) > slot and bool(node.input[slot])


def _is_zero(model: CheckedModel, value: str) -> bool:
    """Whether a state is made of shapes alone: ConstantOfShape without a value, or a stored tensor of zeros."""
    waiting, seen = [value], set[str]()
    while waiting:
        name = waiting.pop()
        node = model.producers.get(name)
        if name in model.weights and name == value:
            return not model.weights[name].any()
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.op_type not in SHAPING:
            return False
        if node.op_type != "Shape":
            waiting += node.input
    return True


TREATMENTS: Final[Mapping[str, Apply]] = {"batch_first": apply}
