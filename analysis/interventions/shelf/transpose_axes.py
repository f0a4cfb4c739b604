"""Exchange axes by a Transpose where a Reshape was written for it.

    x [samples, steps, features] -- Reshape -- [steps, samples, features]

has the shape that is wanted and not the numbers: what follows reads a bit of one sample, a bit of the next (`view` in
place of `permute`). Where a Reshape shares samples out among others, and the shape behind it is the one before it in
another order, a Transpose to that order is put in its place. Costs nothing; the weights are kept. Changes the function.
Source: the documentation of torch.Tensor.view.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

from analysis.facts import Effect
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel
from analysis.model.nodes import label

MOST_AXES: Final = 6


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """The Reshape that runs along the samples."""
    found = [node for node in model.nodes if label(node) == context.baseline.batch.along_samples]
    if not found or found[0].op_type != "Reshape":
        return NotApplicable("no Reshape shares samples out")
    (node,), shapes = found, {name: value.shape for name, value in context.inputs.items()} | dict(context.shapes())
    before, after = (shapes.get(name) for name in (node.input[0], node.output[0]))
    order = None if before is None or after is None else _order(before, after)
    if order is None:
        return NotApplicable("the shape behind the Reshape is not the one before it in another order")
    editor, value = Editor(model), node.output[0]
    editor.replace_between(value, [editor.node("Transpose", [node.input[0]], value, value, perm=order)])
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"exchange the axes by a transpose to {list(order)} where a reshape (view) was written for it",
        cost="1 node changed",
    )


def _order(before: Sequence[int], after: Sequence[int]) -> tuple[int, ...] | None:
    """Of the axes before, with as few of them elsewhere as may be; None where there is none, or it changes nothing."""
    if sorted(before) != sorted(after) or len(before) > MOST_AXES:
        return None
    orders = (
        order
        for order in itertools.permutations(range(len(before)))
        if list(order) != sorted(order) and [before[axis] for axis in order] == list(after)
    )
    return min(orders, key=lambda order: sum(axis != place for place, axis in enumerate(order)), default=None)


TREATMENTS: Final[Mapping[str, Apply]] = {"transposed": apply}
