"""Wrap blocks that keep their shape in residual connections.

y = x + f(x): the gradient has a way back on which nothing multiplies it, so it neither vanishes with depth nor
shatters. In plain networks every pair of layers becomes a block, from one activation to the second next; a single
layer where only that keeps its shape. In a transformer without skip paths, the attention and the feed-forward each
become one. Does not apply where paths part already, or to recurrent layers. Costs an addition per block. Does not
help against explosion unless the branches are normalised or small. Changes the function. Source: He et al. 2016;
Balduzzi et al. 2017.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from analysis.facts import Effect
from analysis.graph.families import LINEAR
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel

LONGEST: Final = 2
"""Layers in a block."""
SEQUENCE_RANK: Final = 3
OLDEST: Final = 7


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """A skip path around each block."""
    if model.opset() < OLDEST:
        return NotApplicable(f"opset {model.opset()} is older than {OLDEST}")
    places = _places(context)
    blocks = list(_blocks(places, context))
    if not blocks:
        return NotApplicable("no block on the trunk keeps its shape")
    editor = Editor(model)
    wrapped: dict[str, str] = {}
    for begin, end in blocks:
        wrapped[end] = editor.insert(end, [editor.node("Add", [end, wrapped.get(begin, begin)], end)])
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"wrap {len(blocks)} blocks in residual connections",
        cost=f"{len(blocks)} Add nodes inserted",
    )


def _places(context: Context) -> list[str]:
    """Values at which a block may begin or end, inputs first."""
    trunk = set(context.trunk)
    on_trunk = [layer for layer in context.layers if layer.on_trunk and layer.op in LINEAR]
    if context.attention:
        first = next((value for value in context.trunk if len(context.shapes().get(value, ())) == SEQUENCE_RANK), None)
        return [*([] if first is None else [first]), *(layer.output for layer in on_trunk)]
    ends = [layer.activated if layer.activated in trunk else layer.output for layer in on_trunk[:-1]]
    return [value for value in ends if value is not None]


def _blocks(places: Sequence[str], context: Context) -> Iterator[tuple[str, str]]:
    """(begin, end) of blocks that follow one another, as long as shapes stay equal.

    Of plain networks as long as they may be; beside attention as short, since each part of a block gets its own.
    """
    shapes, begin = context.shapes(), 0
    while begin < len(places) - 1:
        shape = shapes.get(places[begin])
        ends = range(begin + 1, min(begin + LONGEST, len(places) - 1) + 1)
        fitting = [end for end in ends if shape is not None and shapes.get(places[end]) == shape]
        if not fitting:
            begin += 1
            continue
        end = fitting[0 if context.attention else -1]
        yield places[begin], places[end]
        begin = end


TREATMENTS: Final[Mapping[str, Apply]] = {"residual": apply}
