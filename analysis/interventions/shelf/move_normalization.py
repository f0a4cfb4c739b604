"""Normalise in front of each residual branch instead of behind its addition: post-LN to pre-LN.

In a post-LN transformer every block ends in a LayerNormalization on the residual stream, which scales the gradient at
each of them; deep ones do not train without warm-up. With the normalisation moved to the start of the branch the
stream is left alone. Each LayerNormalization behind an addition of a skip path goes to where its branch leaves the
stream; a new one, scale 1 and shift 0, stands behind the last block. Costs nothing. Changes the function. Source:
Xiong et al. 2020 (On Layer Normalization in the Transformer Architecture).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import NodeProto

from analysis.facts import Effect
from analysis.graph.families import NORMALIZATIONS
from analysis.interventions.contract import Context, NotApplicable, Recipe
from analysis.interventions.kit.layer_norm import insert_layer_norm
from analysis.interventions.kit.sites import values_before
from analysis.interventions.kit.surgery import Editor
from analysis.interventions.treatment import Apply
from analysis.model import CheckedModel


@dataclass(frozen=True, slots=True)
class _Block:
    """A residual block that ends in a normalisation."""

    norm: NodeProto
    addition: NodeProto
    skip: str
    """The value that goes around the branch."""


def apply(model: CheckedModel, context: Context) -> Recipe | NotApplicable:
    """Every block whose LayerNormalization follows its addition."""
    blocks = _blocks(model, context)
    if not blocks:
        return NotApplicable("no LayerNormalization follows the addition of a skip path")
    editor = Editor(model)
    for block in blocks:
        _put_in_front(editor, block, blocks)
    for block in blocks:
        editor.bypass(block.norm, block.addition.output[0])
    last = blocks[-1]
    weight = model.weights[context.sources.of[last.norm.input[1]][0]]
    scale = editor.add_tensor(f"{last.norm.output[0]}_final.scale", np.ones_like(weight))
    bias = editor.add_tensor(f"{last.norm.output[0]}_final.bias", np.zeros_like(weight))
    insert_layer_norm(editor, last.addition.output[0], scale, bias)
    return Recipe(
        model=editor.finish(),
        effect=Effect.CHANGES_FUNCTION,
        words=f"normalise in front of the {len(blocks)} residual branches instead of behind them (pre-LN)",
        cost=f"{len(blocks)} LayerNormalization nodes moved, one added",
    )


def _blocks(model: CheckedModel, context: Context) -> list[_Block]:
    trunk = set(context.trunk)
    found = []
    for node in model.nodes:
        addition = model.producers.get(node.input[0]) if node.op_type == "LayerNormalization" else None
        if addition is None or addition.op_type != "Add" or node.input[1] not in context.sources.of:
            continue
        alone = len(model.consumers.get(addition.output[0], ())) == 1
        skips = [name for name in addition.input if name in trunk and _feeds(model, name, addition)]
        if alone and len(skips) == 1 and not _is_normalized_in_front(model, skips[0], addition):
            found.append(_Block(node, addition, skips[0]))
    return found


def _feeds(model: CheckedModel, skip: str, addition: NodeProto) -> bool:
    """Whether the other summand depends on this one."""
    return any(name != skip and skip in values_before(model, [name]) for name in addition.input)


def _is_normalized_in_front(model: CheckedModel, skip: str, addition: NodeProto) -> bool:
    """Whether the branch begins with a normalisation, as in a pre-LN block."""
    return any(use.node.op_type in NORMALIZATIONS for use in model.consumers[skip] if use.node is not addition)


def _put_in_front(editor: Editor, block: _Block, blocks: Sequence[_Block]) -> None:
    """The norm of a block, once more, between the stream and everything that leaves it for the branch."""
    streams = {each.norm.output[0]: each.addition.output[0] for each in blocks}
    stream = streams.get(block.skip, block.skip)
    parameters = [name for name in block.norm.input[1:] if name]
    base = f"{block.norm.output[0]}_in_front"
    moved = editor.node("LayerNormalization", [stream, *parameters], base)
    moved.attribute.extend(block.norm.attribute)
    readers = [use.node for use in editor.model.consumers[block.skip] if use.node is not block.addition]
    editor.place(stream, [moved])
    for reader in readers:
        editor.redirect(reader, block.skip, moved.output[0])


TREATMENTS: Final[Mapping[str, Apply]] = {"pre_ln": apply}
